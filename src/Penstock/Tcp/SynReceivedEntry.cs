using Penstock.Ip;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>A connection request between SYN and ACK: small, so that many can wait (Linux: <c>request_sock</c>). Belongs to its hash bucket and to the worker of its flow.</summary>
internal sealed class SynReceivedEntry : FlowEntry
{
    private SynAckTimer? _timer;

    public required ListenSocket Listener { get; init; }

    /// <summary>Who decides on it, when that is the application; null when the listener takes all.</summary>
    public HeldRequest? Held;

    public Worker? Worker;
    public SequenceNumber Irs;
    public SequenceNumber Iss;
    public SequenceNumber RcvNxt;
    public int PeerMss;
    public int OwnMss;
    public uint Window;
    public uint TsRecent;
    public uint TimestampOffset;

    /// <summary>Timestamps of the first SYN-ACK and of the last: an echo from outside of them answers neither.</summary>
    public uint FirstTsVal, LastTsVal;

    /// <summary>When the first SYN-ACK was sent; 0 for none, or for a cookie, which does not remember.</summary>
    public long FirstSentNanos;
    public long LastAnswerNanos;

    /// <summary>SYN-ACKs sent again, and timeouts, of which some may have sent none.</summary>
    public int Retransmits, Timeouts;
    public byte PeerWindowScale;
    public byte OwnWindowScale;
    public byte Tos;
    public bool WindowScalingOk;
    public bool TimestampsOk;
    public bool SackOk;
    public bool EcnOk;
    public bool IsCookie;

    /// <summary>The ACK that ends the handshake has come and was ignored (TCP_DEFER_ACCEPT).</summary>
    public bool IsAcknowledged;

    /// <summary>The window of the SYN-ACK and its scale; the same choice for a request and for the cookie that stands for one.</summary>
    public void ChooseWindow(TcpSettings settings, int receiveBuffer)
    {
        int buffer = receiveBuffer > 0 ? receiveBuffer : settings.ReceiveBufferDefault;

        // Whole segments as they will come: with timestamps they carry twelve bytes less (Linux: 65160 rather than 64240 on Ethernet).
        int mss = OwnMss - (TimestampsOk ? Wire.TcpOptionsWriter.TimestampsLength : 0);
        (Window, OwnWindowScale) = SynWindow.Choose(settings, buffer, receiveBuffer > 0, mss, WindowScalingOk, Listener.WindowClamp);
    }

    public TimerEntry Timer(TcpLayer tcp) => _timer ??= new SynAckTimer(this, tcp);

    public void CancelTimer()
    {
        if (_timer is not null)
        {
            Worker!.Timers.Cancel(_timer);
        }
    }

    private sealed class SynAckTimer(SynReceivedEntry request, TcpLayer tcp) : TimerEntry
    {
        public override void OnTimer(long nowNanos) => tcp.OnRequestTimer(request, nowNanos);
    }
}
