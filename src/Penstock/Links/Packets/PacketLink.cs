using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock;

/// <summary>
/// A link whose other end is the application: it injects IP packets that have arrived somewhere else (a WireGuard tunnel, a mobile VPN's file descriptor, a
/// test) and reads those that the stack sends. Packets begin with the IP header; those read have complete checksums.
/// </summary>
/// <remarks>
/// All members are thread-safe; <see cref="ReadAsync"/> and <see cref="WaitToReadAsync"/> allow one waiting reader. Reading and injecting allocate nothing.
/// When the stack is disposed, the link is too: reads end, injected packets are dropped.
/// </remarks>
public sealed class PacketLink : Link
{
    private const int MaximumPacket = 65535;
    private readonly PacketLinkOptions _options;
    private readonly OutboundQueue _queue;
    private ILinkClient? _client;
    private long _injected, _dropped;
    private int _disposed;

    /// <summary>Makes a link; add it to a stack with <see cref="NetworkStack.AddInterface"/>.</summary>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public PacketLink(PacketLinkOptions? options = null)
        : base((options ?? new PacketLinkOptions()).Name)
    {
        _options = (options ?? new PacketLinkOptions()).Clone();
        _options.Validate();
        _queue = new OutboundQueue(_options.QueueLimit, _options.SuperSegments);
    }

    /// <inheritdoc/>
    public override int Mtu => _options.Mtu;

    /// <summary>Packets that wait to be read.</summary>
    public int QueuedPackets => _queue.Count;

    /// <summary>Packets that were injected and taken.</summary>
    public long InjectedPackets => Volatile.Read(ref _injected);

    /// <summary>Packets that were injected and dropped: no stack, no memory, or too many waiting to be processed.</summary>
    public long DroppedPackets => Volatile.Read(ref _dropped);

    // Super-segments are always taken: the queue splits them while they are read, unless the reader wants them whole.
    internal override LinkOffloads Offloads => LinkOffloads.Checksum | LinkOffloads.TcpSegmentation | LinkOffloads.ScatterGather;

    internal override bool MergesReceived => _options.MergeReceived;

    /// <summary>
    /// Hands the stack a packet that arrived. The bytes are copied. Nothing in them is trusted: a malformed packet is counted by the stack
    /// (<see cref="NetworkStack.GetCounter"/>), not refused here.
    /// </summary>
    /// <returns>
    /// False: dropped, because the link belongs to no stack yet or is disposed, the stack's <see cref="NetworkStackOptions.MemoryLimit"/> is reached, or
    /// <see cref="PacketLinkOptions.QueueLimit"/> packets wait to be processed.
    /// </returns>
    /// <exception cref="ArgumentException">The packet is empty or longer than the MTU (65535 with super-segments).</exception>
    public bool Inject(ReadOnlySpan<byte> packet)
    {
        CheckLength(packet.Length, nameof(packet));
        return InjectChecked(packet);
    }

    /// <summary>Hands the stack packets that arrived together, in order; see <see cref="Inject"/>. Stops at the first that is dropped.</summary>
    /// <returns>How many were taken.</returns>
    /// <exception cref="ArgumentException">A packet is empty or longer than the MTU; none was taken then.</exception>
    public int InjectBatch(ReadOnlySpan<ReadOnlyMemory<byte>> packets)
    {
        foreach (ReadOnlyMemory<byte> packet in packets)
        {
            CheckLength(packet.Length, nameof(packets));
        }

        for (int i = 0; i < packets.Length; i++)
        {
            if (!InjectChecked(packets[i].Span))
            {
                return i;
            }
        }

        return packets.Length;
    }

    /// <summary>Reads a packet if one waits.</summary>
    /// <param name="destination">Room for the packet: <see cref="Mtu"/> bytes are always enough, 65535 with super-segments.</param>
    /// <param name="length">Bytes of the packet.</param>
    /// <exception cref="ArgumentException">The destination is too short for this packet, which stays in the queue.</exception>
    public bool TryRead(Span<byte> destination, out int length)
    {
        bool read = _queue.TryRead(destination, out length, out bool space);
        if (space)
        {
            Volatile.Read(ref _client)?.OnSpace();
        }

        return read;
    }

    /// <summary>Reads as many packets as wait and fit, each into a buffer of its own.</summary>
    /// <param name="buffers">Room for each packet, as in <see cref="TryRead"/>.</param>
    /// <param name="lengths">Bytes of each packet; at least as many as there are buffers.</param>
    /// <returns>How many packets were read.</returns>
    /// <exception cref="ArgumentException">Fewer lengths than buffers; or the first buffer is too short for its packet, which stays in the queue.</exception>
    public int ReadBatch(ReadOnlySpan<Memory<byte>> buffers, Span<int> lengths)
    {
        if (lengths.Length < buffers.Length)
        {
            throw new ArgumentException($"There are {buffers.Length} buffers and room for {lengths.Length} lengths.", nameof(lengths));
        }

        int count = 0;
        while (count < buffers.Length)
        {
            // A short buffer behind the first ends the batch: what was read must not be lost to an exception.
            Span<byte> buffer = buffers[count].Span;
            if ((count > 0 && buffer.Length < LongestRead) || !TryRead(buffer, out lengths[count]))
            {
                break;
            }

            count++;
        }

        return count;
    }

    /// <summary>Reads a packet, waiting for one.</summary>
    /// <param name="destination">Room for the packet, as in <see cref="TryRead"/>.</param>
    /// <param name="cancellationToken">Ends the wait; no packet is lost.</param>
    /// <returns>Bytes of the packet.</returns>
    /// <exception cref="ObjectDisposedException">The link has been disposed.</exception>
    /// <exception cref="OperationCanceledException">The wait was canceled.</exception>
    /// <exception cref="InvalidOperationException">Another reader waits, or packets go to <see cref="PacketLinkOptions.OnPacket"/>.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> ReadAsync(Memory<byte> destination, CancellationToken cancellationToken = default)
    {
        int length;
        while (!TryRead(destination.Span, out length))
        {
            if (!await WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                throw new ObjectDisposedException(Name, $"Packet link '{Name}' was disposed.");
            }
        }

        return length;
    }

    /// <summary>Waits until a packet can be read; another reader may still be faster.</summary>
    /// <returns>False: the link has been disposed and nothing more will come.</returns>
    /// <exception cref="OperationCanceledException">The wait was canceled.</exception>
    /// <exception cref="InvalidOperationException">Another reader waits, or packets go to <see cref="PacketLinkOptions.OnPacket"/>.</exception>
    public ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken = default)
    {
        if (_options.OnPacket is not null)
        {
            throw new InvalidOperationException("Packets of this link go to PacketLinkOptions.OnPacket; there is nothing to read.");
        }

        return _queue.WaitAsync(cancellationToken);
    }

    internal override void Attach(ILinkClient client)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        if (Interlocked.CompareExchange(ref _client, client, null) is not null)
        {
            throw new InvalidOperationException($"Packet link '{Name}' already belongs to a stack.");
        }
    }

    internal override bool Transmit(PacketBuffer packet)
    {
        ILinkClient? client = Volatile.Read(ref _client);
        if (client is null || Volatile.Read(ref _disposed) != 0)
        {
            packet.Free();
            return true;
        }

        if (_options.OnPacket is not { } handler)
        {
            return _queue.TryAdd(packet, client.WorkerOf(0).Driver);
        }

        Handle(packet, handler, client);
        return true;
    }

    private protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            ILinkClient? client = Volatile.Read(ref _client);
            _queue.Close(client?.WorkerOf(0).Driver);
            client?.OnFailed(new ObjectDisposedException(Name, $"Packet link '{Name}' was disposed."));
        }
    }

    private int LongestRead => _options.SuperSegments ? MaximumPacket : Mtu;

    private void CheckLength(int length, string argument)
    {
        if (length == 0 || length > LongestRead)
        {
            ThrowBadLength(length, argument);
        }
    }

    [DoesNotReturn]
    private void ThrowBadLength(int length, string argument) =>
        throw new ArgumentException(
            length == 0 ? "A packet has at least one byte." : $"The packet has {length} bytes; link '{Name}' takes at most {LongestRead}.", argument);

    private bool InjectChecked(ReadOnlySpan<byte> bytes)
    {
        ILinkClient? client = Volatile.Read(ref _client);
        if (client is null || Volatile.Read(ref _disposed) != 0)
        {
            Interlocked.Increment(ref _dropped);
            return false;
        }

        Worker worker = client.WorkerOf(0);
        PacketBuffer? packet = worker.ReadyCount >= _options.QueueLimit ? null : PacketCopy.TryRent(client.Pool, bytes.Length, out Slab? slab);
        if (packet is null)
        {
            client.OnReceiveDropped();
            Interlocked.Increment(ref _dropped);
            return false;
        }

        bytes.CopyTo(packet.FirstSpan);
        packet.ArrivalNanos = worker.NowNanos;
        packet.SegmentCount = 1;
        if (bytes.Length > Mtu)
        {
            NoteSegments(packet, bytes);
        }

        Interlocked.Increment(ref _injected);
        client.Deliver(packet, 0);
        return true;
    }

    /// <summary>A packet beyond the MTU was merged by whoever injects it: it stands for as many segments as its MTU would have made of it.</summary>
    private void NoteSegments(PacketBuffer packet, ReadOnlySpan<byte> bytes)
    {
        if (IPv4Header.TryParse(bytes, out IPv4Header ip, out _, verifyChecksum: false)
            && ip.Protocol == IpProtocol.Tcp
            && TcpHeader.TryParse(ip.Payload(bytes), out TcpSegmentHeader tcp, out _))
        {
            int headers = ip.HeaderLength + tcp.HeaderLength;
            packet.GsoSize = Math.Max(1, Mtu - headers);
            packet.SegmentCount = Math.Max(1, (ip.TotalLength - headers + packet.GsoSize - 1) / packet.GsoSize);
        }
    }

    /// <summary>Gives each wire packet to the handler, in memory that lives for the call.</summary>
    private void Handle(PacketBuffer packet, PacketHandler handler, ILinkClient client)
    {
        int pieces = _options.SuperSegments ? 1 : Segmentation.SegmentsOf(packet);
        int longest = _options.SuperSegments ? packet.TotalLength : Segmentation.LengthOf(packet, 0);
        Slab? slab = client.Pool.RentSlab(longest);
        if (slab is null)
        {
            // As a device without memory: lost, and TCP repairs it.
            Interlocked.Add(ref _dropped, pieces);
            packet.Free();
            return;
        }

        try
        {
            for (int i = 0; i < pieces; i++)
            {
                int length = _options.SuperSegments
                    ? Segmentation.WriteWhole(packet, slab.Array, complete: true)
                    : Segmentation.WriteSegment(packet, i, slab.Array, complete: true);
                handler(slab.Array.AsSpan(0, length));
            }
        }
#pragma warning disable CA1031 // Whatever the handler throws, TCP's work around this call has to go on.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            client.OnFailed(failure);
        }
        finally
        {
            slab.Release();
            packet.Free();
        }
    }
}
