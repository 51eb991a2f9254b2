using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock;

/// <summary>
/// A link around another one that writes what crosses, in both directions, as a pcapng file that Wireshark and tcpdump read. Packets are written as
/// they cross: a super-segment in one piece, with the checksums that the wire packet would have. Times are those of the stack's clock, so runs in virtual time
/// give equal files, byte for byte; in real time the file's clock starts anywhere.
/// </summary>
/// <remarks>
/// All members are thread-safe. A stream that fails ends the capture, never the traffic: see <see cref="Failure"/>. The stream is written to in
/// the middle of sending and receiving, so it should be one that does not block for long.
/// </remarks>
public sealed class CaptureLink : Link
{
    private readonly Link _inner;
    private readonly PcapNgWriter _writer;
    private ILinkClient? _client;
    private long _missed;
    private int _disposed;

    /// <summary>Captures to a stream. The new link is the one to add to the stack; it owns <paramref name="inner"/>.</summary>
    /// <param name="inner">The link to watch; not added to a stack before.</param>
    /// <param name="destination">Written to, never read; disposed with this link unless <paramref name="leaveOpen"/>.</param>
    /// <param name="leaveOpen">True: the stream is flushed but not disposed.</param>
    public CaptureLink(Link inner, Stream destination, bool leaveOpen = false)
        : base(NameOf(inner))
    {
        _inner = inner;
        _writer = new PcapNgWriter(destination, inner.Name, leaveOpen);
    }

    /// <summary>Captures to a file, which is replaced if it exists.</summary>
    /// <exception cref="IOException">The file can not be created.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written.</exception>
    public static CaptureLink ToFile(Link inner, string path)
    {
        ArgumentNullException.ThrowIfNull(inner);
        ArgumentException.ThrowIfNullOrEmpty(path);

        // Not buffered again: the writer hands over large pieces. Readable by others while it grows.
        return new CaptureLink(inner, new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 1));
    }

    /// <inheritdoc/>
    public override int Mtu => _inner.Mtu;

    /// <summary>Packets written so far.</summary>
    public long Packets => _writer.Packets;

    /// <summary>Packets that crossed and could not be written because the stack was out of memory for the copy.</summary>
    public long MissedPackets => Volatile.Read(ref _missed);

    /// <summary>What the stream threw, when that has ended the capture; else null.</summary>
    public Exception? Failure => _writer.Failure;

    internal override LinkOffloads Offloads => _inner.Offloads;

    internal override bool LetsGoAtOnce => _inner.LetsGoAtOnce;

    internal override bool MergesReceived => _inner.MergesReceived;

    internal override int QueueCount => _inner.QueueCount;

    /// <summary>Hands what was captured so far to the stream and flushes that.</summary>
    public void Flush() => _writer.Flush();

    internal override Driver? CreateDriver(int queue) => _inner.CreateDriver(queue);

    internal override void Attach(ILinkClient client)
    {
        if (!client.Pool.TryTakeRoom(_writer.BufferSize))
        {
            throw new InsufficientMemoryException(
                $"The stack's memory limit leaves no room for the capture of '{Name}', {_writer.BufferSize} bytes. Raise NetworkStackOptions.MemoryLimit.");
        }

        _client = client;
        try
        {
            _inner.Attach(new Tap(this, client));
        }
        catch
        {
            client.Pool.GiveRoom(_writer.BufferSize);
            _client = null;
            throw;
        }
    }

    internal override bool Transmit(PacketBuffer packet)
    {
        ILinkClient client = _client!;
        if (_writer.Failure is not null)
        {
            return _inner.Transmit(packet);
        }

        // Copied before, for the packet is gone afterwards; written after, for a refused packet has not crossed.
        int length = packet.TotalLength;
        long now = client.WorkerOf(0).NowNanos;
        Slab? slab = client.Pool.RentSlab(length);
        if (slab is not null)
        {
            Span<byte> copy = slab.Array.AsSpan(0, length);
            Segmentation.WriteWhole(packet, copy, complete: true);
            packet.NoteCopied();
            if (packet.Checksum == ChecksumState.Verified)
            {
                WriteTransportChecksum(copy);
            }
        }

        bool taken = _inner.Transmit(packet);
        if (taken && slab is not null)
        {
            _writer.Write(slab.Array.AsSpan(0, length), default, now, PacketDirection.Outbound);
        }
        else if (taken)
        {
            Interlocked.Increment(ref _missed);
        }

        slab?.Release();
        return taken;
    }

    private protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            // First the link, so that nothing more arrives that would be missing from the file.
            _inner.Dispose();
            _writer.Dispose();
            _client?.Pool.GiveRoom(_writer.BufferSize);
        }
    }

    private static string NameOf(Link inner)
    {
        ArgumentNullException.ThrowIfNull(inner);
        return inner.Name;
    }

    private void CaptureInbound(PacketBuffer packet, int queue)
    {
        if (_writer.Failure is not null)
        {
            return;
        }

        long now = _client!.WorkerOf(queue).NowNanos;
        if (packet.Checksum != ChecksumState.Verified && packet.FragmentCount == 1)
        {
            _writer.Write(packet.FirstSpan, default, now, PacketDirection.Inbound);
            return;
        }

        Slab? slab = _client.Pool.RentSlab(packet.Length);
        if (slab is null)
        {
            Interlocked.Increment(ref _missed);
            return;
        }

        Span<byte> copy = slab.Array.AsSpan(0, packet.Length);
        packet.CopyPayloadTo(0, copy);
        packet.NoteCopied();
        if (packet.Checksum == ChecksumState.Verified)
        {
            WriteTransportChecksum(copy);
        }

        _writer.Write(copy, default, now, PacketDirection.Inbound);
        slab.Release();
    }

    /// <summary>
    /// The link vouched for this packet, so the checksum in it may never have been computed: computes it. What is not whole TCP or UDP is left as it is.
    /// </summary>
    private static void WriteTransportChecksum(Span<byte> packet)
    {
        if (!IPv4Header.TryParse(packet, out IPv4Header ip, out _, verifyChecksum: false) || ip.IsFragment)
        {
            return;
        }

        int offset = ip.Protocol switch
        {
            IpProtocol.Tcp when ip.PayloadLength >= TcpHeader.MinLength => TcpHeader.ChecksumOffset,
            IpProtocol.Udp when ip.PayloadLength >= UdpHeader.WireLength => UdpHeader.ChecksumOffset,
            _ => -1,
        };
        if (offset < 0)
        {
            return;
        }

        Span<byte> transport = packet[ip.HeaderLength..ip.TotalLength];
        transport[offset] = transport[offset + 1] = 0;
        uint sum = Checksum.Add(transport, Checksum.PseudoHeader(ip.Source, ip.Destination, ip.Protocol, (uint)transport.Length));
        Segmentation.WriteChecksum(packet, transport, Checksum.Finish(sum));
    }

    /// <summary>Stands between the inner link and the stack.</summary>
    private sealed class Tap(CaptureLink link, ILinkClient client) : ILinkClient
    {
        public PacketPool Pool => client.Pool;

        public Worker WorkerOf(int queue) => client.WorkerOf(queue);

        public void Deliver(PacketBuffer packet, int queue)
        {
            link.CaptureInbound(packet, queue);
            client.Deliver(packet, queue);
        }

        public void OnSpace() => client.OnSpace();

        public void OnFailed(Exception reason) => client.OnFailed(reason);

        public void OnReceiveDropped() => client.OnReceiveDropped();
    }
}
