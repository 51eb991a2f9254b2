using Penstock.Buffers;
using Penstock.Tcp;

namespace Penstock.Tool.Demo.Lab;

/// <summary>A connection's ledger at one moment, beside what the rule says of its queue.</summary>
internal readonly record struct LedgerSample(double Millis, long Sock, int Queued, int Charged, int ChargedByRule, int Buffers);

/// <summary>Looks at the ledger of a connection that receives nothing, and walks its queues to check it: a pure buffer counts its head, any other all of its true size (R2.25).</summary>
internal sealed class LedgerWatch(TcpConnection connection, long beginNanos)
{
    private readonly List<LedgerSample> _samples = [];

    public IReadOnlyList<LedgerSample> Samples => _samples;

    public void Look(long nowNanos)
    {
        List<QueuedBuffer> buffers = connection.QueuedBuffers();
        _samples.Add(new LedgerSample(
            (nowNanos - beginNanos) / 1e6,
            (long)connection.Memory.ForwardAlloc + connection.Memory.WriteCharged,
            connection.Memory.WriteQueueBytes,
            connection.Memory.WriteCharged,
            buffers.Sum(ChargeOf),
            buffers.Count));
    }

    private static int ChargeOf(QueuedBuffer buffer) => (buffer.Flags & SegmentFlags.PureZeroCopy) != 0 ? buffer.HeadTrueSize : buffer.TrueSize;
}
