using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Penstock.Accounting;
using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Ownership;
using Penstock.Tcp.Congestion;
using Penstock.Tcp.LossRecovery;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// One TCP connection: all of its state, owned by one context at a time (see <see cref="OwnedSocket"/>). The parts by role:
/// Send and Receive are the application's side, Output is the one place that sends, Input where a segment arrives, Ack what an acknowledgment does,
/// Recovery what a loss does, Timers what time does, Close how it ends. The public handle is <see cref="TcpSocket"/>; the connection outlives it.
/// </summary>
[SkipLocalsInit]
internal sealed partial class TcpConnection : OwnedSocket
{
    private readonly NetworkStack _stack;
    private readonly TcpLayer _tcp;
    private readonly ConnectionTimer _timer;
    private readonly DeviceBytesAccount _device;

    /// <summary>What the pseudo-headers of all of its segments have in common.</summary>
    private readonly uint _pseudoHeader;

    public TcpConnection(NetworkStack stack, Worker worker, in FlowKey key, MemoryGroup? group)
        : base(worker)
    {
        _stack = stack;
        _tcp = stack.Tcp;
        Key = key;
        _pseudoHeader = Checksum.PseudoHeaderOfFlow(key.Local, key.Remote, IpProtocol.Tcp);
        TcpSettings settings = _tcp.Settings;
        Memory = new SocketMemory(_tcp.Memory, group)
        {
            SendBuffer = settings.SendBufferDefault,
            ReceiveBuffer = settings.ReceiveBufferDefault,
            MinimumSendBuffer = settings.SendBufferMin,
            MinimumReceiveBuffer = settings.ReceiveBufferMin,
        };
        Omitted = Memory.Omitted = stack.Omitted;
        if ((Omitted & Omission.SendTurn) != Omission.None)
        {
            OpenTurn();
        }

        _timer = new ConnectionTimer(this);
        _device = new DeviceBytesAccount(this);
        Rtt = new RttEstimator
        {
            RtoMinNanos = settings.RtoMinMicroseconds * 1000L,
            RtoMaxNanos = settings.RtoMaxMilliseconds * Nanos.PerMillisecond,
        };
        _rtoNanos = InitialRtoNanos;
        Congestion = CongestionControl.Create(settings.CongestionControl, Cwnd) ?? new Reno(Cwnd);
        _reordering = settings.Reordering;
        _timeToLive = settings.TimeToLive;
        _tcp.Memory.AddSocket();
    }

    // --- Identity and life.
    public TcpConnectionState State { get; private set; }

    public NetworkStack Stack => _stack;

    /// <summary>The listener, or the request, that made this connection, until it is accepted.</summary>
    public IAcceptor? Listener { get; set; }

    /// <summary>Why the connection failed; <see cref="SocketError.Success"/> while it has not. Reading it through <see cref="TakeError"/> clears it (Linux: sk_err).</summary>
    public SocketError Error { get; private set; }

    /// <summary>The error that ended the connection, kept for snapshots and for the handle.</summary>
    public SocketError FinalError { get; private set; }

    public bool IsOrphan { get; private set; }

    public bool SendShutdown { get; private set; }

    public bool ReceiveShutdown { get; private set; }

    public SocketMemory Memory { get; }

    // --- Send sequence space (RFC 9293 3.3.1, Linux's names without the underscore).
    private SequenceNumber _iss;
    private SequenceNumber _sndUna;
    private SequenceNumber _sndNxt;
    private SequenceNumber _writeSeq;
    private SequenceNumber _pushedSeq;
    private SequenceNumber _sndSml;
    private SequenceNumber _sndWl1;
    private SequenceNumber _sndUp;
    private bool _urgentMode;
    private uint _sndWnd;
    private uint _maxWindow;
    private bool _finQueued;

    private readonly PacketList _writeQueue = new();
    private readonly RetransmitQueue _retransmitQueue = new();

    // --- Receive sequence space.
    private SequenceNumber _irs;
    private SequenceNumber _rcvNxt;
    private SequenceNumber _copiedSeq;
    private SequenceNumber _rcvWup;
    private uint _rcvWnd;

    // --- What was negotiated.
    private int _peerMss = 536;
    private int _advertisedMss;
    private bool _windowScalingOk;
    private byte _sndWscale;
    private byte _rcvWscale;
    private bool _timestampsOk;
    private bool _sackOk;
    private uint _tsOffset;
    private uint _tsRecent;
    private long _tsRecentNanos;
    private bool _sawTimestamp;
    private uint _rcvTsVal;
    private uint _rcvTsEcr;

    // --- Congestion and loss state; segments.
    public CongestionWindow Cwnd { get; } = new();

    public CongestionControl Congestion { get; private set; }

    public RttEstimator Rtt { get; }

    private ExplicitCongestion _ecn;
    private int _packetsOut;
    private int _retransOut;
    private int _sackedOut;
    private int _lostOut;

    // --- Statistics of this connection, for TcpInfo.
    private long _bytesSent, _bytesAcked, _bytesReceived, _bytesRetransmitted, _segmentsOut, _segmentsIn, _dataSegmentsOut, _dataSegmentsIn;
    private long _totalRetransmits;
    private long _establishedNanos;
    private int _flushes, _emptyChecks, _receiveFlushes, _backlogEnqueued, _backlogCoalesced, _backlogDrops;

    /// <summary>Now, to the step: an owner that copies or transmits for long begins a new one for each chunk and segment.</summary>
    private long Now => StepNanos;

    private PacketPool Pool => _stack.Pool;

    /// <summary>Segments in flight (RFC 6675 4, pipe; Linux: <c>tcp_packets_in_flight</c>). What was SACKed has left, which is what gives limited transmit (RFC 3042) its room.</summary>
    private int PacketsInFlight => _packetsOut - (_sackedOut + _lostOut) + _retransOut;

    private bool IsSynchronized => State is not (TcpConnectionState.Closed or TcpConnectionState.SynSent or TcpConnectionState.Listen);

    /// <summary>Takes the pending error and clears it, as reading SO_ERROR does.</summary>
    public SocketError TakeError()
    {
        SocketError error = Error;
        Error = SocketError.Success;
        return error;
    }

    /// <summary>What SO_ERROR tells, once: the pending error, else the last that was no reason to end the connection (Linux: sk_err, sk_err_soft).</summary>
    public SocketError TakeAnyError()
    {
        if (TakeError() is var error and not SocketError.Success)
        {
            return error;
        }

        error = _softError;
        _softError = SocketError.Success;
        return error;
    }

    private void SetState(TcpConnectionState next)
    {
        bool was = State is TcpConnectionState.Established or TcpConnectionState.CloseWait;
        bool now = next is TcpConnectionState.Established or TcpConnectionState.CloseWait;
        if (was != now)
        {
            _stack.Counters.Add(StackCounter.TcpCurrEstab, now ? 1 : -1);
        }

        State = next;
    }

    protected internal override long BacklogLimit =>
        Math.Min((2L * Memory.ReceiveBuffer) + (Memory.SendBuffer / 2) + (64 * 1024), uint.MaxValue);

    protected override int BacklogReceiveBytes => Memory.ReceiveAlloc;

    protected override void OnBacklog(BacklogOutcome outcome)
    {
        switch (outcome)
        {
            case BacklogOutcome.Queued:
                _backlogEnqueued++;
                _stack.Counters.Add(StackCounter.TcpBacklogEnqueued);
                break;
            case BacklogOutcome.Coalesced:
                _backlogCoalesced++;
                _stack.Counters.Add(StackCounter.TcpBacklogCoalesce);
                break;
            default:
                Interlocked.Increment(ref _backlogDrops);
                _stack.Counters.Add(StackCounter.TcpBacklogDrop);
                break;
        }
    }

    /// <summary>Counts what links hold of this connection; space there resumes output.</summary>
    private sealed class DeviceBytesAccount(TcpConnection connection) : DeviceAccount
    {
        protected override void OnDeviceSpace(int bytesLeft)
        {
            if (Volatile.Read(ref connection._throttled) != 0)
            {
                connection.PostResume();
            }
        }
    }

    /// <summary>The one timer entry of the connection: covers all of its deadlines.</summary>
    private sealed class ConnectionTimer(TcpConnection connection) : TimerEntry
    {
        public override void OnTimer(long nowNanos) => connection.RunOrDefer(DeferredWork.Timer, connection.Worker);
    }
}
