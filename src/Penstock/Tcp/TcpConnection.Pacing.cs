using Penstock.Tcp.LossRecovery;
using Penstock.Tcp.Pacing;

namespace Penstock.Tcp;

/// <summary>
/// The rate of sending: measured with each ACK, and derived from the window and the round-trip time (Linux: tcp_rate, sk_pacing_rate). Sending is held to it only where the application set a limit
/// (SO_MAX_PACING_RATE) or the congestion control asks for it.
/// </summary>
internal sealed partial class TcpConnection
{
    private SendState? _sending;

    private SendState Sending => _sending ?? BeginSending();

    private ref DeliveryTracker Delivery => ref Sending.Delivery;

    private SendState BeginSending()
    {
        var sending = new SendState();
        sending.Pacer.SetRate(RateOfWindow());
        if (Congestion.WantsPacing)
        {
            sending.Pacer.Enforce();
        }

        _sending = sending;
        return sending;
    }

    /// <summary>SO_MAX_PACING_RATE, bytes a second; <see cref="Pacer.Unlimited"/> for none. Sending is paced from the first limit on, as in Linux.</summary>
    public long MaximumPacingRate
    {
        get => _sending?.Pacer.MaximumRate ?? Pacer.Unlimited;
        set
        {
            if (value != Pacer.Unlimited || _sending is not null)
            {
                Sending.Pacer.SetMaximum(value);
            }
        }
    }

    /// <summary>
    /// Twice what the window sends in a round trip while slow start doubles it, 120 % later (tcp_pacing_ss_ratio, tcp_pacing_ca_ratio): a rate that never keeps the window from growing.
    /// </summary>
    private long RateOfWindow()
    {
        TcpSettings settings = _tcp.Settings;
        int percent = Cwnd.Window < Cwnd.Threshold / 2 ? settings.PacingSlowStartRatio : settings.PacingAvoidanceRatio;
        return Pacer.RateOf(SegmentPayload(), Math.Max(Cwnd.Window, _packetsOut), percent, Rtt.SmoothedNanos);
    }

    /// <summary>An ACK has been worked off: its sample for the congestion control, and the rate that follows from the window it leaves.</summary>
    private void EndAckRates(int newlyLost, ref AckOutcome outcome)
    {
        if (_sending is not { } sending)
        {
            return;
        }

        long least = _minimumRtt.HasSample ? _minimumRtt.CurrentNanos : 0;
        RateSample sample = sending.Delivery.EndAck(outcome.Delivered, newlyLost, least, outcome.NowNanos);
        if (outcome.CongestionEcho)
        {
            sending.DeliveredMarked += outcome.Delivered;
        }

        Congestion.OnRateSample(sample);
        sending.Pacer.SetRate(RateOfWindow());
        if (sending.TimeoutSinceNanos != 0 && Recovery.State != CongestionState.Loss)
        {
            sending.EndTimeouts(outcome.NowNanos);
        }
    }

    /// <summary>
    /// A send begins: was there nothing to send until now although there might have been (draft-cheng-iccrg-delivery-rate-estimation 3.4; Linux: tcp_rate_check_app_limited)?
    /// </summary>
    private void NoteApplicationLimit(int mss)
    {
        if (_writeSeq.Since(_sndNxt) < mss && _device.DeviceBytes == 0 && PacketsInFlight < Cwnd.Window && _lostOut <= _retransOut)
        {
            Delivery.BeginApplicationLimit(PacketsInFlight);
        }
    }

    /// <summary>True, and a timer set, while it is too early for the next segment.</summary>
    private bool WaitsForPace(SendState sending)
    {
        if (!sending.Pacer.IsEnforced || !sending.Pacer.Holds(Now) || !Keeps(Omission.PacingEnforced))
        {
            return false;
        }

        sending.Pacer.WakeNanos = sending.Pacer.NextNanos;
        long deadline = Never;
        Arm(ref deadline, sending.Pacer.WakeNanos);
        return true;
    }

    private void OnPaceTimer(SendState sending)
    {
        sending.Pacer.WakeNanos = Never;
        ResumeOutput();
    }

    // --- What holds sending back, for TcpInfo.

    private bool HasNothingToSend => _writeQueue.First is null && _retransmitQueue.First is null;

    private void StartBusy(SendState sending)
    {
        // The clock is not looked at for each buffer.
        if (sending.Limits.Running == SendLimit.None)
        {
            sending.Limits.Start(SendLimit.Busy, Now);
        }
    }

    private void NotePeerLimit(SendState sending, bool limited)
    {
        if (limited)
        {
            sending.Limits.Start(SendLimit.ReceiveWindow, Now);
        }
        else if (sending.Limits.Running == SendLimit.ReceiveWindow)
        {
            sending.Limits.Stop(SendLimit.ReceiveWindow, HasNothingToSend, Now);
        }
    }

    private void StopWaitingFor(SendLimit limit) => _sending?.Limits.Stop(limit, HasNothingToSend, Now);
}
