using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>Asking a peer that says nothing: whether its window is still shut (RFC 9293 3.8.6.1), and whether it is still there (RFC 9293 3.8.4).</summary>
internal sealed partial class TcpConnection
{
    private int _probesOut;
    private int _keepAliveProbes;

    /// <summary>When the first probe of this closed window was due; <see cref="Never"/> before it.</summary>
    private long _probesSinceNanos = Never;

    internal bool KeepAlive;

    // --- Zero-window probes.

    /// <summary>Something is queued, nothing in flight, nothing may go: the peer has to be asked from time to time (RFC 9293 3.8.6.1).</summary>
    private void CheckProbeTimer()
    {
        if (_packetsOut == 0 && FirstToSend is not null && _timerMode == RetransmitTimerMode.None && State != TcpConnectionState.SynSent)
        {
            ArmProbeTimer(Now, FirstProbeNanos);
        }
    }

    private long FirstProbeNanos => Math.Max(_rtoNanos, MinimumRtoNanos);

    private long NextProbeNanos => Math.Min(FirstProbeNanos << Math.Min(_backoff, 16), MaximumRtoNanos);

    private void ArmProbeTimer(long now, long timeout)
    {
        if (UserTimeoutNanos > 0 && _probesSinceNanos != Never)
        {
            timeout = Math.Min(timeout, LeftOfUserTimeout(_probesSinceNanos, now));
        }

        ArmRetransmitTimer(RetransmitTimerMode.WindowProbe, now + timeout);
    }

    private void EndProbing()
    {
        _probesOut = 0;
        _backoff = 0;
        _probesSinceNanos = Never;
    }

    /// <summary>An ACK came with nothing in flight: the window may be open now.</summary>
    private void AckProbe()
    {
        if (FirstToSend is not { } head)
        {
            if (_timerMode == RetransmitTimerMode.WindowProbe)
            {
                StopRetransmitTimer();
            }

            return;
        }

        if (PeerWindowAllows(head, CurrentMss()))
        {
            EndProbing();
            if (_timerMode == RetransmitTimerMode.WindowProbe)
            {
                StopRetransmitTimer();
            }
        }
        else
        {
            ArmProbeTimer(Now, NextProbeNanos);
        }
    }

    private void OnProbeTimer(long now)
    {
        if (_packetsOut > 0 || FirstToSend is not { } head)
        {
            EndProbing();
            return;
        }

        // The user's limit counts from the first probe and through the peer's answers (Linux, measured): they are no progress.
        _probesSinceNanos = Math.Min(_probesSinceNanos, now);
        TcpSettings settings = _tcp.Settings;
        int limit = settings.Retries2;
        if (IsOrphan)
        {
            bool alive = NextProbeNanos < MaximumRtoNanos;
            limit = settings.OrphanRetries > 0 ? settings.OrphanRetries : 8;
            if (!alive && _backoff >= limit || _tcp.TooManyOrphans)
            {
                GiveUp(SocketError.TimedOut);
                return;
            }
        }

        if (_probesOut >= limit || (UserTimeoutNanos > 0 && now - _probesSinceNanos >= UserTimeoutNanos))
        {
            GiveUp(SocketError.TimedOut);
            return;
        }

        _stack.Counters.Add(StackCounter.TcpWinProbe);
        int mss = CurrentMss();
        if (head.Sequence.Before(_sndUna + (int)_sndWnd))
        {
            // The window is open, only Nagle or a sub-segment window held the data back: send what fits (the sender's silly-window override).
            int fits = Math.Min((_sndUna + (int)_sndWnd).Since(head.Sequence), mss);
            if (head.Length > fits && !Split(head, fits, mss, inRetransmitQueue: false))
            {
                fits = 0;
            }

            if (fits > 0 || head.Length == 0)
            {
                head.TcpFlags |= TcpFlags.Psh;
                SetSegments(head, mss);
                if (Transmit(head))
                {
                    OnNewDataSent(head);
                    EndProbing();
                    return;
                }
            }
        }
        else
        {
            if (_urgentMode && _sndUp.After(_sndUna))
            {
                // The other probe lies before the window, where its urgent pointer is not looked at; this one is acceptable (RFC 9293 3.10.7.4, Linux does so).
                SendProbe(urgent: true);
            }

            SendProbe(urgent: false);
        }

        _probesOut++;
        if (_backoff < settings.Retries2)
        {
            // No further, as in Linux, where an orphan of few retries so lives as long as its peer answers.
            _backoff++;
        }

        ArmProbeTimer(now, NextProbeNanos);
    }

    /// <summary>A segment with an old sequence number: the peer must answer it with its window (RFC 9293 3.8.4).</summary>
    private void SendProbe(bool urgent) => SendControl(TcpFlags.Ack, _sndUna - (urgent ? 0 : 1));

    // --- Keepalive (RFC 9293 3.8.4).

    internal void ArmKeepAlive()
    {
        if (KeepAlive && State is TcpConnectionState.Established or TcpConnectionState.CloseWait or TcpConnectionState.FinWait1 or TcpConnectionState.FinWait2)
        {
            Arm(ref _keepAliveAtNanos, Now + KeepAliveIdleNanos);
        }
        else if (!KeepAlive)
        {
            _keepAliveAtNanos = Never;
        }
    }

    private void OnKeepAliveTimer(long now)
    {
        _keepAliveAtNanos = Never;
        if (!KeepAlive || State is TcpConnectionState.Closed or TcpConnectionState.SynSent)
        {
            return;
        }

        if (_packetsOut > 0 || _writeQueue.First is not null)
        {
            // Data that waits has timers of its own.
            Arm(ref _keepAliveAtNanos, now + KeepAliveIdleNanos);
            return;
        }

        long quiet = now - Math.Max(_lastReceivedNanos, _establishedNanos);
        if (quiet < KeepAliveIdleNanos)
        {
            _keepAliveProbes = 0;
            Arm(ref _keepAliveAtNanos, now + KeepAliveIdleNanos - quiet);
            return;
        }

        if (UserTimeoutNanos > 0 ? quiet >= UserTimeoutNanos && _keepAliveProbes > 0 : _keepAliveProbes >= KeepAliveProbes)
        {
            SendResetSegment(AcceptableSequence);
            GiveUp(SocketError.TimedOut);
            return;
        }

        _keepAliveProbes++;
        _stack.Counters.Add(StackCounter.TcpKeepAlive);
        SendProbe(urgent: false);
        Arm(ref _keepAliveAtNanos, now + KeepAliveIntervalNanos);
    }
}
