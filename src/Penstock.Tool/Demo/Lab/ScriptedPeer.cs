using System.Net;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.Tcp;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tool.Demo.Lab;

/// <summary>
/// One connection of a real stack in virtual time whose peer is the experiment: it says segment by segment what arrives. Segments of 1460 bytes, window scale 7, no timestamps.
/// </summary>
internal sealed class ScriptedPeer : IDisposable
{
    public const int Mss = 1460;
    private const int Scale = 7;

    public ScriptedPeer(DemoSettings settings, Omission without = default, bool scatterGather = true, bool sack = true, bool pure = true, long memoryLimit = 1L << 30)
    {
        Stack = new NetworkStack(new NetworkStackOptions { Name = "scripted", Driver = Time, Seed = 7, MemoryLimit = memoryLimit, CloseTimeout = TimeSpan.Zero }) { Omitted = without };
        VirtualPair.Tune(Stack, new PairOptions { Flush = FlushPolicy.Sixteen, Timestamps = false, PureZeroCopy = pure }, settings);
        Link = new ScriptedLink(scatterGather);
        Stack.AddInterface(Link, InterfaceAddress.Parse("10.0.0.1/24"));
        Socket = Stack.BeginConnectTcp(new IPEndPoint(IPAddress.Parse("10.0.0.2"), 80), new TcpConnectOptions());
        Acked = Link.SentEnd;
        var options = default(TcpOptions);
        options.HasMss = options.HasWindowScale = true;
        options.Mss = Mss;
        options.WindowScale = Scale;
        options.SackPermitted = sack;
        Deliver(TcpFlags.SynAck, Next, options: options);
        Next += 1;
        Deliver(TcpFlags.Ack, Next);
    }

    public VirtualTime Time { get; } = new();

    public NetworkStack Stack { get; }

    public ScriptedLink Link { get; }

    public TcpSocket Socket { get; }

    public TcpConnection Connection => Socket.Connection;

    /// <summary>The peer's next sequence number.</summary>
    public SequenceNumber Next { get; set; } = new(5000);

    /// <summary>What the peer has acknowledged.</summary>
    public SequenceNumber Acked { get; private set; }

    /// <summary>The window field of what the peer sends; it counts units of 128 bytes.</summary>
    public uint Window { get; set; } = ushort.MaxValue;

    /// <summary>Nothing holds the sender back but what the experiment is about.</summary>
    public ScriptedPeer Open(int sendBuffer)
    {
        Connection.Cwnd.Window = 100_000;
        Connection.Memory.SendBuffer = sendBuffer;
        Connection.Memory.SendBufferLocked = true;
        return this;
    }

    /// <summary>From now on nothing may be sent, so all stays in the write queue.</summary>
    public void CloseWindow()
    {
        Window = 0;
        Ack(Acked);
    }

    /// <summary>Sends from the application's memory; must fit.</summary>
    public ZeroCopySend SendZeroCopy(ReadOnlyMemory<byte> data, TcpSendFlags flags = TcpSendFlags.None)
    {
        ValueTask<ZeroCopySend> sending = Socket.SendZeroCopyAsync(data, flags);
        return sending.IsCompleted ? sending.GetAwaiter().GetResult() : throw new InvalidOperationException("The send buffer is full: give the experiment more.");
    }

    public void Ack(SequenceNumber acknowledgment)
    {
        Acked = acknowledgment;
        Deliver(TcpFlags.Ack, Next);
    }

    /// <summary>Acknowledges all that was sent, and has whoever waits for memory told.</summary>
    public void AckAll()
    {
        Ack(Link.SentEnd);
        Time.RunReady();
    }

    /// <summary>A segment arrives with the last acknowledgment: processed now if the connection is free, else queued in its backlog.</summary>
    public void Deliver(TcpFlags flags, SequenceNumber sequence, int length = 0, TcpOptions options = default)
    {
        PacketBuffer? packet = length > 0 ? PacketCopy.TryRent(Stack.Pool, length, out _) : Stack.Pool.RentBuffer();
        if (packet is null)
        {
            return;
        }

        packet.Sequence = sequence;
        packet.EndSequence = sequence + (length + ((flags & (TcpFlags.Syn | TcpFlags.Fin)) != 0 ? 1 : 0));
        packet.Acknowledgment = Acked;
        packet.TcpFlags = flags;
        packet.Window = Window;
        packet.Options = options;
        packet.SegmentCount = 1;
        packet.Checksum = ChecksumState.Verified;
        packet.Source = Connection.Key.Remote;
        packet.SourcePort = Connection.Key.RemotePort;
        packet.Destination = Connection.Key.Local;
        packet.DestinationPort = Connection.Key.LocalPort;
        packet.ArrivalNanos = Time.NowNanos;
        Connection.ReceivePacket(packet, null!);
    }

    /// <summary>Ends the connection at once.</summary>
    public void End()
    {
        Socket.Abort();
        Time.RunReady();
        Link.Holds = false;
        Link.LetGo();
        Time.RunReady();
    }

    public void Dispose()
    {
        End();
        Time.Run(async () => await Stack.DisposeAsync().ConfigureAwait(true), TimeSpan.FromMinutes(1));
    }
}
