using Penstock.Tcp.Congestion;
using Penstock.Tcp.LossRecovery;
using Penstock.Tcp.Pacing;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Whether the congestion window says anything about the path (RFC 7661, RFC 2861; Linux: tcp_cwnd_validate): a window that the application or the peer's window did not let be filled must not grow, and
/// one that was not used for a timeout's time comes down; after a pause sending starts slowly again (RFC 5681 4.1, sysctl tcp_slow_start_after_idle).
/// </summary>
internal sealed partial class TcpConnection
{
    private SequenceNumber _cwndUsageSequence;
    private int _cwndUsed;

    /// <summary>Growth is for flows that use their window: all of it, or half of it in slow start (Linux: tcp_is_cwnd_limited).</summary>
    private bool IsWindowLimited() => Cwnd.IsLimited || (Cwnd.InSlowStart && Cwnd.Window < 2 * Cwnd.MaxPacketsOut);

    /// <summary>Notes how much of the window was used in this round (Linux: tcp_cwnd_validate).</summary>
    private void ValidateCongestionWindow(bool limited)
    {
        if (_sndUna.AtOrAfter(_cwndUsageSequence) || limited || (!Cwnd.IsLimited && _packetsOut > Cwnd.MaxPacketsOut))
        {
            Cwnd.IsLimited = limited;
            Cwnd.MaxPacketsOut = _packetsOut;
            _cwndUsageSequence = _sndNxt;
        }

        if (IsWindowLimited())
        {
            _cwndUsed = 0;
            Cwnd.StampNanos = Now;
            return;
        }

        _cwndUsed = Math.Max(_cwndUsed, _packetsOut);
        if (_sendWaits && _writeQueue.First is null && State is TcpConnectionState.Established or TcpConnectionState.CloseWait)
        {
            // The network would take more, and the application would give more, but for the buffer between them.
            Sending.Limits.Start(SendLimit.SendBuffer, Now);
        }

        if (_tcp.Settings.SlowStartAfterIdle && Now - Cwnd.StampNanos >= _rtoNanos)
        {
            ShrinkToUse();
        }
    }

    /// <summary>Not filled for a whole timeout: the window shrinks towards what was really used (RFC 2861). Not because a writer waits for room: then it is our buffer that is short.</summary>
    private void ShrinkToUse()
    {
        if (Recovery.State == CongestionState.Open && !_sendWaits)
        {
            int used = Math.Max(_cwndUsed, CongestionWindow.Initial);
            if (used < Cwnd.Window)
            {
                Cwnd.Threshold = Recovery.CurrentThreshold;
                Cwnd.Window = (Cwnd.Window + used) >> 1;
            }

            _cwndUsed = 0;
        }

        Cwnd.StampNanos = Now;
    }

    /// <summary>Sending after a pause longer than a timeout starts slowly again (RFC 5681 4.1, Linux: tcp_slow_start_after_idle).</summary>
    private void RestartAfterIdle(long now)
    {
        if (!_tcp.Settings.SlowStartAfterIdle || _packetsOut > 0)
        {
            return;
        }

        long idle = now - _lastDataSentNanos;
        if (_lastDataSentNanos == 0 || idle <= _rtoNanos)
        {
            return;
        }

        int restart = Math.Min(CongestionWindow.Initial, Cwnd.Window);
        Cwnd.Threshold = Recovery.CurrentThreshold;
        while ((idle -= _rtoNanos) > 0 && Cwnd.Window > restart)
        {
            Cwnd.Window >>= 1;
        }

        Cwnd.Window = Math.Max(Cwnd.Window, restart);
        Cwnd.StampNanos = now;
        _cwndUsed = 0;
    }
}
