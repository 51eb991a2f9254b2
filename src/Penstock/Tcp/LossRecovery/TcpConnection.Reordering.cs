using Penstock.Tcp.LossRecovery;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// How much the network reorders (Linux: tcp_reordering, tcp_max_reordering): learned from segments that were delivered late without having been sent again. It delays the verdict of loss by duplicates, without SACK
/// the only one there is, and once it was seen at all RACK never closes its window (RFC 8985 6.2).
/// </summary>
internal sealed partial class TcpConnection
{
    private int _reordering;

    /// <summary>A segment below the highest SACK was delivered without having been sent again.</summary>
    private void NoteReordering(SequenceNumber low)
    {
        RecoveryState recovery = Recovery;
        SequenceNumber high = _sackedOut > 0 ? SequenceNumber.Max(recovery.HighestSacked, _sndUna) : _sndUna;
        NoteReordering(low, high);
    }

    private void NoteReordering(SequenceNumber low, SequenceNumber high)
    {
        if (!high.After(low))
        {
            return;
        }

        int mss = Math.Max(_pathMss - (_timestampsOk ? TcpOptionsWriter.TimestampsLength : 0), 1);
        int distance = high.Since(low);
        if (distance > (long)_reordering * mss)
        {
            _reordering = Math.Min((distance + mss - 1) / mss, _tcp.Settings.MaxReordering);
        }

        Recovery.ReorderingEvents++;
        _stack.Counters.Add(StackCounter.TcpSackReorder);
    }

    /// <summary>Without SACK: more duplicate ACKs than segments that can have caused them. <paramref name="acked"/> of them the ACK at hand took away.</summary>
    private void NoteDuplicateReordering(int acked)
    {
        _reordering = Math.Min(_packetsOut + acked, _tcp.Settings.MaxReordering);
        Recovery.ReorderingEvents++;
        _stack.Counters.Add(StackCounter.TcpSackReorder);
    }
}
