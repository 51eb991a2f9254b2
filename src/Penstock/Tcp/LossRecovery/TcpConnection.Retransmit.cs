using Penstock.Buffers;
using Penstock.Tcp.Congestion;
using Penstock.Tcp.LossRecovery;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>Sending again: which of the lost segments may go now, and what that changes (RFC 6675 5, Linux: tcp_xmit_retransmit_queue).</summary>
internal sealed partial class TcpConnection
{
    /// <summary>Sends lost segments again, the first first, as far as the window allows.</summary>
    private void TransmitRetransmitQueue()
    {
        bool armed = false;

        // Linux's limit: no more under way again than is lost. After the undo of a timeout a retransmission is still under way though no longer marked lost; it holds back one segment that was lost since, until it is
        // answered.
        while (_retransOut < _lostOut && _retransmitQueue.FirstLost is { } buffer && !WaitsForPace(Sending))
        {
            RecoveryState recovery = Recovery;
            recovery.Visited++;
            int quota = Cwnd.Window - PacketsInFlight;
            bool head = buffer == _retransmitQueue.First;
            if (quota <= 0 || !RetransmitBuffer(buffer, Math.Min(quota, SegmentsAtOnce(Sending, SegmentPayload()))))
            {
                break;
            }

            _stack.Counters.Add(
                recovery.State == CongestionState.Loss ? StackCounter.TcpSlowStartRetrans : StackCounter.TcpFastRetrans, buffer.SegmentCount);
            if (recovery.IsReducing)
            {
                recovery.Reduction.OnSent(buffer.SegmentCount);
            }

            armed |= head;
        }

        if (armed && _timerMode != RetransmitTimerMode.Reordering)
        {
            ArmAfterPace(RetransmitTimerMode.Retransmit, Now, _rtoNanos);
        }
    }

    /// <summary>Sends one buffer again, at most <paramref name="maximumSegments"/> of it, and counts it as under way. False when it could not be sent now.</summary>
    private bool RetransmitBuffer(PacketBuffer buffer, int maximumSegments)
    {
        if (!TransmitAgain(buffer, maximumSegments))
        {
            return false;
        }

        if ((buffer.Segment & SegmentFlags.SackedRetransmitted) == 0)
        {
            buffer.Segment |= SegmentFlags.SackedRetransmitted;
            _retransOut += buffer.SegmentCount;
        }

        RecoveryState recovery = Recovery;
        if (recovery.FirstRetransmitNanos == 0)
        {
            recovery.FirstRetransmitNanos = buffer.SentNanos;
        }

        recovery.UndoRetransmits = Math.Max(recovery.UndoRetransmits, 0) + buffer.SegmentCount;
        return true;
    }

    /// <summary>The transmission itself: cut to what may go, joined with what follows, sent, and last in the order of sending.</summary>
    private bool TransmitAgain(PacketBuffer buffer, int maximumSegments)
    {
        if (IsInDevice(buffer))
        {
            // Nothing is known of what the network did to it: it has not been there yet.
            _stack.Counters.Add(StackCounter.TcpSpuriousRtxHostQueues);
            return false;
        }

        _mtuProbing?.Abandon();
        if (buffer.Sequence.Before(_sndUna))
        {
            // Also of a single segment, and the counts follow when it was several.
            int before = buffer.SegmentCount;
            TrimToUnacknowledged(buffer);
            Memory.Reclaim();
            AdjustCounts(buffer.Segment, buffer.SegmentCount - before);
        }

        if ((buffer.TcpFlags & TcpFlags.Syn) != 0 && _tcp.Settings.EcnFallback)
        {
            // RFC 3168 6.1.1.1: it may have been lost because it asked. An answer to the first is taken all the same.
            buffer.TcpFlags &= ~ExplicitCongestion.SetupSyn;
        }

        RefreshRoute();
        int mss = CurrentMss();
        int window = (_sndUna + (int)_sndWnd).Since(buffer.Sequence);
        if (window <= 0)
        {
            // Beyond a window that shrank: only the head may still be tried, as a probe of one segment (RFC 9293 3.8.6).
            if (buffer.Sequence != _sndUna)
            {
                return false;
            }

            window = mss;
        }

        int limit = mss * Math.Max(1, Math.Min(maximumSegments, MaximumSuperSegment / mss));
        if (limit > window)
        {
            // Whole segments; less than one only where the window has no room for more.
            limit = window < mss ? window : window - (window % mss);
        }

        if (buffer.Length > limit && !Split(buffer, limit, mss, inRetransmitQueue: true))
        {
            return false;
        }

        int counted = buffer.SegmentCount;
        SetSegments(buffer, mss);
        if (counted != buffer.SegmentCount)
        {
            AdjustCounts(buffer.Segment, buffer.SegmentCount - counted);
        }

        int space = Math.Min(mss, window);
        if (buffer.Length < space)
        {
            CollapseFollowing(buffer, space);
        }

        if (!Transmit(buffer))
        {
            _stack.Counters.Add(StackCounter.TcpRetransFail);
            return false;
        }

        _totalRetransmits += buffer.SegmentCount;
        _bytesRetransmitted += buffer.Length;
        _stack.Counters.Add(StackCounter.TcpRetransSegs, buffer.SegmentCount);
        if ((buffer.TcpFlags & TcpFlags.Syn) != 0)
        {
            _stack.Counters.Add(StackCounter.TcpSynRetrans);
        }

        buffer.Segment = (buffer.Segment | SegmentFlags.RetransmittedOnce) & ~SegmentFlags.JudgedByRack;
        _retransmitQueue.MoveToNewest(buffer);
        return true;
    }
}
