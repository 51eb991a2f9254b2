using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>Asking a peer that says nothing: whether its window is still shut (RFC 9293 3.8.6.1), and whether it is still there (RFC 9293 3.8.4).</summary>
internal sealed partial class TcpConnection
{
    /// <summary>Probes of either kind since the last answer (Linux: icsk_probes_out).</summary>
    private int _probesOut;

    /// <summary>When the first probe of this closed window was due; <see cref="Never"/> before it.</summary>
    private long _probesSinceNanos = Never;

    // --- Zero-window probes.

    /// <summary>Something is queued, nothing in flight, nothing may go: the peer has to be asked from time to time (RFC 9293 3.8.6.1).</summary>
    private void CheckProbeTimer()
    {
        if (_packetsOut == 0 && FirstToSend is not null && _timerMode == RetransmitTimerMode.None && State != TcpConnectionState.SynSent)
        {
            ArmProbeTimer(Now, FirstProbeNanos);
        }
    }

    /// <summary>Never sooner than the shortest timeout that is usual, whatever this socket's is (Linux).</summary>
    private long FirstProbeNanos => Math.Max(_rtoNanos, ShortestRtoNanos);

    private long NextProbeNanos => Math.Min(FirstProbeNanos << Math.Min(_backoff, 16), MaximumRtoNanos);

    private void ArmProbeTimer(long now, long timeout)
    {
        if (UserTimeoutNanos > 0 && _probesSinceNanos != Never)
        {
            timeout = Math.Min(timeout, LeftOfUserTimeout(_probesSinceNanos, now));
        }

        ArmAfterPace(RetransmitTimerMode.WindowProbe, now, timeout);
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
            bool alive = Math.Min(_rtoNanos << Math.Min(_backoff, 16), MaximumRtoNanos) < MaximumRtoNanos;
            limit = OrphanTries(alive);
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
            int room = (_sndUna + (int)_sndWnd).Since(head.Sequence);
            int fits = Math.Min(room, mss);
            if ((head.Length > fits || head.EndSequence.After(head.Sequence + room)) && !Split(head, fits, mss, inRetransmitQueue: false))
            {
                // A FIN for which there is no more room stays behind too.
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
            if (_urgentMode && _sndUp.Since(_sndUna) <= 0xFFFF)
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

    private bool _keepAlive;

    /// <summary>SO_KEEPALIVE. Switched on, it looks for the first time when the idle time has passed from then; switched on again it changes nothing (Linux).</summary>
    internal bool KeepAlive
    {
        get => _keepAlive;
        set
        {
            bool was = _keepAlive;
            _keepAlive = value;
            if (!value)
            {
                _keepAliveAtNanos = Never;
            }
            else if (!was)
            {
                ArmKeepAlive(Now);
            }
        }
    }

    /// <summary>Arms the first look of an idle time that began then.</summary>
    private void ArmKeepAlive(long sinceNanos)
    {
        if (_keepAlive && IsSynchronized)
        {
            Arm(ref _keepAliveAtNanos, Math.Max(sinceNanos + KeepAliveIdleNanos, Now));
        }
    }

    /// <summary>When the peer was last heard of.</summary>
    private long HeardNanos => Math.Max(_lastReceivedNanos, _establishedNanos);

    private void OnKeepAliveTimer(long now)
    {
        _keepAliveAtNanos = Never;
        if (!_keepAlive || State is TcpConnectionState.Closed or TcpConnectionState.SynSent)
        {
            return;
        }

        if (_packetsOut > 0 || _writeQueue.First is not null)
        {
            // Data that waits has timers of its own.
            Arm(ref _keepAliveAtNanos, now + KeepAliveIdleNanos);
            return;
        }

        long quiet = now - HeardNanos;
        if (quiet < KeepAliveIdleNanos)
        {
            Arm(ref _keepAliveAtNanos, now + KeepAliveIdleNanos - quiet);
            return;
        }

        if (UserTimeoutNanos > 0 ? quiet >= UserTimeoutNanos && _probesOut > 0 : _probesOut >= KeepAliveProbes)
        {
            SendResetSegment(AcceptableSequence);
            GiveUp(SocketError.TimedOut);
            return;
        }

        _probesOut++;
        _stack.Counters.Add(StackCounter.TcpKeepAlive);
        SendProbe(urgent: false);
        Arm(ref _keepAliveAtNanos, now + KeepAliveIntervalNanos);
    }
}
