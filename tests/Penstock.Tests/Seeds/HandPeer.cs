using System.Net;
using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Tcp;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>
/// One connection of a real stack in virtual time, whose peer is the test: it says segment by segment what arrives and when, also while the socket is owned by a send (see
/// <see cref="InCopy"/>). Segments of 1460 bytes, window scale 7, no timestamps.
/// </summary>
internal sealed class HandPeer : ICopySeam, IAsyncDisposable
{
    public const int Mss = 1460;
    public const int Scale = 7;
    private int _copies;

    public HandPeer(
        Action<TcpSettings>? settings = null, bool sack = true, long memoryLimit = 1L << 30, TcpConnectOptions? options = null, int mtu = 1500, string name = "penstock",
        Func<Link, Link>? decorate = null)
    {
        Stack = new NetworkStack(new NetworkStackOptions { Name = name, Driver = Time, Seed = 7, MemoryLimit = memoryLimit, CloseTimeout = TimeSpan.Zero });
        Stack.Tcp.Settings.Timestamps = false;
        settings?.Invoke(Stack.Tcp.Settings);
        Proof.Apply(Stack);
        Link = new WireLink(mtu, () => Time.NowNanos);
        Stack.AddInterface(decorate is null ? Link : decorate(Link), InterfaceAddress.Parse("10.0.0.1/24"));
        Socket = Stack.BeginConnectTcp(new IPEndPoint(IPAddress.Parse("10.0.0.2"), 80), options ?? new TcpConnectOptions());
        First = Link.Sent[^1].Sequence + 1;
        var syn = default(TcpOptions);
        syn.HasMss = syn.HasWindowScale = true;
        syn.Mss = Mss;
        syn.WindowScale = Scale;
        syn.SackPermitted = sack;
        Acked = First;
        Deliver(TcpFlags.SynAck, Next, First, window: 65535, options: syn);
        Next++;
        Assert.Equal(TcpConnectionState.Established, Connection.State);
        Stack.CopySeam = this;
    }

    public VirtualTime Time { get; } = new();

    public NetworkStack Stack { get; }

    public WireLink Link { get; }

    public TcpSocket Socket { get; }

    public TcpConnection Connection => Socket.Connection;

    /// <summary>The first byte that the stack sends.</summary>
    public uint First { get; }

    /// <summary>The peer's next sequence number.</summary>
    public uint Next { get; set; } = 5000;

    /// <summary>What the peer last acknowledged.</summary>
    public uint Acked { get; set; }

    /// <summary>The window field of what the peer sends, to be shifted by <see cref="Scale"/>.</summary>
    public uint Window { get; set; } = 65535;

    /// <summary>Called after each copied chunk with its number from 1, the socket owned.</summary>
    public Action<int>? InCopy { get; set; }

    public TcpSettings Settings => Stack.Tcp.Settings;

    /// <summary>The end of everything the stack has sent.</summary>
    public uint SentEnd
    {
        get
        {
            uint end = First;
            foreach (SentSegment sent in Link.Sent)
            {
                if ((int)(sent.End - end) > 0)
                {
                    end = sent.End;
                }
            }

            return end;
        }
    }

    /// <summary>Sizes of the chunks of the last send.</summary>
    public List<int> Chunks { get; } = [];

    public void OnCopied(int bytes)
    {
        Chunks.Add(bytes);
        InCopy?.Invoke(++_copies);
    }

    /// <summary>A large window both ways of thinking: the peer's offer and the congestion window.</summary>
    public HandPeer Open(int congestionWindow = 100_000)
    {
        Connection.Cwnd.Window = congestionWindow;
        Ack(Acked);
        return this;
    }

    public HandPeer SendBuffer(int bytes)
    {
        Connection.Memory.SendBuffer = bytes;
        Connection.Memory.SendBufferLocked = true;
        return this;
    }

    /// <summary>Sends without waiting: what fits is queued.</summary>
    public int Send(int bytes, TcpSendFlags flags = TcpSendFlags.None) => Send(bytes, flags, out _);

    public int Send(int bytes, TcpSendFlags flags, out SocketError error)
    {
        _copies = 0;
        Chunks.Clear();
        return Socket.TrySend(Pattern(bytes), flags, out error);
    }

    /// <summary>Sends from the application's memory what fits the send buffer, which must be all of it.</summary>
    public ZeroCopySend SendZeroCopy(byte[] pages, int offset, int count, TcpSendFlags flags = TcpSendFlags.None)
    {
        int start = PageStart(pages) + offset;
        Task<ZeroCopySend> sending = Socket.SendZeroCopyAsync(pages.AsMemory(start, count), flags).AsTask();
        Assert.True(sending.IsCompletedSuccessfully);
        return sending.Result;
    }

    /// <summary>A window of nothing: what is sent from now on stays in the write queue.</summary>
    public HandPeer CloseWindow()
    {
        Window = 0;
        Ack(Acked);
        return this;
    }

    /// <summary>Acknowledges everything, as far as windows let it out, and has released memory given back.</summary>
    public void AckAll()
    {
        Window = 65535;
        Connection.Cwnd.Window = 100_000;
        do
        {
            Ack(SentEnd);
        }
        while (Connection.UnacknowledgedBytes > 0);
        Time.RunReady();
    }

    /// <summary>Pinned memory with so many whole pages from <see cref="PageStart"/> on, filled with a pattern.</summary>
    public static byte[] PinnedPages(int count)
    {
        byte[] memory = GC.AllocateArray<byte>((count + 1) * 4096, pinned: true);
        Pattern(count * 4096).CopyTo(memory.AsSpan(PageStart(memory)));
        return memory;
    }

    public static int PageStart(byte[] pinned)
    {
        nint address = System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0);
        return (int)(-address & 4095);
    }

    public static byte[] Pattern(int bytes)
    {
        byte[] data = new byte[bytes];
        for (int i = 0; i < bytes; i++)
        {
            data[i] = (byte)((i * 7) + (i >> 8));
        }

        return data;
    }

    public void Ack(uint acknowledgment)
    {
        Acked = acknowledgment;
        Deliver(TcpFlags.Ack, Next, acknowledgment);
    }

    /// <summary>In-order data of the peer.</summary>
    public void Data(int length, TcpFlags more = 0)
    {
        Deliver(TcpFlags.Ack | more, Next, Acked, length);
        Next += (uint)length;
    }

    public void Reset() => Deliver(TcpFlags.RstAck, Next, Acked);

    /// <summary>A segment arrives: processed now if the connection is free, else queued in its backlog.</summary>
    public void Deliver(TcpFlags flags, uint sequence, uint acknowledgment, int length = 0, uint? window = null, TcpOptions options = default, byte tos = 0, int fragments = 1)
    {
        if (Make(flags, sequence, acknowledgment, length, window, options, tos, fragments) is { } packet)
        {
            Connection.ReceivePacket(packet, null!);
        }
    }

    public unsafe PacketBuffer? Make(
        TcpFlags flags, uint sequence, uint acknowledgment, int length = 0, uint? window = null, TcpOptions options = default, byte tos = 0, int fragments = 1)
    {
        PacketPool pool = Stack.Pool;
        if (pool.RentBuffer() is not { } packet)
        {
            return null;
        }

        for (int i = 0; i < fragments && length > 0; i++)
        {
            int part = i == fragments - 1 ? length - packet.Length : length / fragments;
            if (pool.RentSlab(part) is not { } slab)
            {
                packet.Free();
                return null;
            }

            slab.Array.AsSpan(0, part).Fill((byte)sequence);
            packet.Append(slab, slab.Address, part);
            packet.TrueSize += slab.Size;
        }

        bool longer = (flags & (TcpFlags.Syn | TcpFlags.Fin)) != 0;
        packet.Sequence = new SequenceNumber(sequence);
        packet.EndSequence = packet.Sequence + (length + (longer ? 1 : 0));
        packet.Acknowledgment = new SequenceNumber(acknowledgment);
        packet.TcpFlags = flags;
        packet.Window = window ?? Window;
        packet.Options = options;
        packet.Tos = tos;
        packet.SegmentCount = 1;
        packet.Checksum = ChecksumState.Verified;
        packet.Source = Connection.Key.Remote;
        packet.SourcePort = Connection.Key.RemotePort;
        packet.Destination = Connection.Key.Local;
        packet.DestinationPort = Connection.Key.LocalPort;
        packet.ArrivalNanos = Time.NowNanos;
        return packet;
    }

    public void Check() => Assert.Null(Connection.VerifyInvariants());

    public ValueTask DisposeAsync()
    {
        Stack.CopySeam = null;
        Link.OnSent = null;
        Link.LetGo();
        Socket.Dispose();
        Time.Run(async () => await Stack.DisposeAsync(), TimeSpan.FromMinutes(1));
        Assert.Equal(0, Stack.Pool.RentedBuffers);
        Assert.Equal(0, Stack.Pool.RentedSlabs);
        Assert.Equal(0, Stack.Tcp.Memory.AllocatedPages);

        // Also of sends that still waited.
        Time.RunReady();
        Assert.Equal(0, Stack.Tcp.PinnedBytes);
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }
}

/// <summary>A subscription that only notes whether it fired.</summary>
internal sealed class NotingWaiter : SocketWaiter
{
    public int Fired { get; private set; }

    public override void Fire(SocketEvents events) => Fired++;

    public static NotingWaiter Add(TcpConnection connection, SocketEvents interest)
    {
        var waiter = new NotingWaiter { Interest = interest };
        connection.Own();
        connection.AddWaiter(waiter);
        connection.Release();
        return waiter;
    }
}
