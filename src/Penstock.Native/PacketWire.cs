using Penstock.Bsd;
using Penstock.Buffers;
using Penstock.Links;

namespace Penstock.Native;

/// <summary>
/// A wire whose other end is the caller: what the stack sends waits to be taken, what is injected arrives. Like a TUN device it takes payload where it lies and copies it when it goes
/// out, and splits nothing that is injected, however long.
/// </summary>
internal sealed class PacketWire(int mtu, Pace pace) : Link("packets")
{
    private static readonly TimeSpan s_busyLimit = TimeSpan.FromMilliseconds(50);

    /// <summary>What nobody takes is dropped beyond this, as a device's queue would.</summary>
    private const int QueueLimit = 16384;

    private readonly Queue<(byte[] Bytes, long Nanos)> _sent = new();
    private ILinkClient? _client;

    public override int Mtu => mtu;

    internal override LinkOffloads Offloads => LinkOffloads.ScatterGather;

    public bool HasPackets
    {
        get
        {
            lock (_sent)
            {
                return _sent.Count > 0;
            }
        }
    }

    /// <summary>The oldest packet that was sent, with the moment at which it was.</summary>
    public bool TryTake(out byte[] bytes, out long nanos)
    {
        lock (_sent)
        {
            bool any = _sent.TryDequeue(out (byte[] Bytes, long Nanos) packet);
            (bytes, nanos) = any ? packet : ([], 0);
            return any;
        }
    }

    /// <summary>Waits in real time for a packet.</summary>
    public bool WaitForPacket(TimeSpan limit)
    {
        long begin = TimeProvider.System.GetTimestamp();
        lock (_sent)
        {
            while (_sent.Count == 0)
            {
                double left = (limit - TimeProvider.System.GetElapsedTime(begin)).TotalMilliseconds;
                if (left <= 0 || !Monitor.Wait(_sent, (int)Math.Min(Math.Ceiling(left), int.MaxValue)))
                {
                    return _sent.Count > 0;
                }
            }

            return true;
        }
    }

    /// <summary>A packet arrives. False: the stack has no memory for it.</summary>
    public bool Inject(ReadOnlySpan<byte> bytes)
    {
        ILinkClient client = _client!;
        if (PacketCopy.TryMake(client.Pool, bytes) is not { } packet)
        {
            return false;
        }

        packet.ArrivalNanos = client.WorkerOf(0).NowNanos;
        packet.SegmentCount = 1;
        client.Deliver(packet, 0);
        return true;
    }

    /// <summary>
    /// Waits in real time until the stack's worker has taken what was injected: as with a TUN device of the kernel's, whose write returns when the packet has been processed. A stack that is
    /// busy all the time is not waited for beyond a moment.
    /// </summary>
    public void WaitUntilProcessed()
    {
        var worker = _client!.WorkerOf(0);
        long begin = TimeProvider.System.GetTimestamp();
        var spin = default(SpinWait);
        while ((worker.HasReady || worker.HasMorePackets || worker.IsRunning) && TimeProvider.System.GetElapsedTime(begin) < s_busyLimit)
        {
            spin.SpinOnce();
        }
    }

    internal override void Attach(ILinkClient client) => _client = client;

    internal override bool Transmit(PacketBuffer packet)
    {
        byte[] bytes = new byte[packet.TotalLength];
        packet.Head.CopyTo(bytes);
        packet.CopyPayloadTo(0, bytes.AsSpan(packet.HeadLength));
        packet.NoteCopied();
        packet.Free();
        long now = pace.NowNanos;
        lock (_sent)
        {
            if (_sent.Count < QueueLimit)
            {
                _sent.Enqueue((bytes, now));
                Monitor.PulseAll(_sent);
            }
        }

        return true;
    }

    private protected override void Dispose(bool disposing)
    {
    }
}
