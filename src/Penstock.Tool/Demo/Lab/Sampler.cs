namespace Penstock.Tool.Demo.Lab;

/// <summary>What was there at one moment.</summary>
internal readonly record struct Sample(double Millis, long Backlog, int BacklogPackets, int WriteQueue, int PeerReceiveMemory, int PeerOutOfOrder);

/// <summary>Looks at both ends of a connection at fixed intervals, without owning them, also while a call lasts.</summary>
internal sealed class Sampler
{
    private readonly List<Sample> _samples = [];
    private Ticker? _ticker;

    public IReadOnlyList<Sample> Samples => _samples;

    public static Sampler Start(VirtualPair pair, long everyNanos)
    {
        var sampler = new Sampler();
        long begin = pair.Time.NowNanos;
        sampler._ticker = Ticker.Start(pair.Clock, everyNanos, now =>
        {
            Tcp.TcpConnection near = pair.Sender.Connection;
            Tcp.TcpConnection far = pair.Peer.Connection;
            sampler._samples.Add(new Sample(
                (now - begin) / 1e6, near.BacklogBytes, near.BacklogPackets, near.Memory.WriteQueueBytes, far.Memory.ReceiveAlloc, far.Snapshot().OutOfOrder));
        });
        return sampler;
    }

    public void Stop() => _ticker!.Stop();
}
