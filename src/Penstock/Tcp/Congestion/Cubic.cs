using Penstock.Wire;

namespace Penstock.Tcp.Congestion;

/// <summary>
/// CUBIC (RFC 9438) with Linux's parameters: after a loss the window follows a cubic curve of the time since then, flat around the window at which the loss
/// came, and never falls behind what Reno would have. The end of slow start is <see cref="HyStart"/>'s matter. All arithmetic is in integers; time on the
/// curve is counted in 1/1024 s. Undoing a reduction gives the window back but not the curve, as in Linux.
/// </summary>
internal sealed class Cubic(CongestionWindow window) : CongestionControl(window)
{
    /// <summary>What a loss leaves of the window, of <see cref="One"/> (RFC 9438 4.6: 0.7).</summary>
    private const int Beta = 717;

    private const int One = 1024;

    /// <summary>C of the curve C * t^3, of <see cref="One"/>: 0.4 segments per second cubed (RFC 9438 5.1).</summary>
    private const int C = 410;

    /// <summary>From C / 1024 and t / 1024 cubed to segments.</summary>
    private const int CurveShift = 40;

    /// <summary>(t / 1024)^3 that the curve needs for one segment.</summary>
    private const ulong CubePerSegment = (1UL << CurveShift) / C;

    /// <summary>
    /// Reno with this beta gains 3 (1 - beta) / (1 + beta) segments a round (RFC 9438 4.3), one segment for 1.88 windows; in eighths of a window.
    /// </summary>
    private const int RenoEighths = 8 * (One + Beta) / 3 / (One - Beta);

    /// <summary>
    /// 256 s from the plateau: 6.7 million segments above or below it, where the cube still fits in 63 bits. The increase per round is bounded long before.
    /// </summary>
    private const long MaximumOffset = 1 << 18;

    /// <summary>While the window stands still neither the curve nor Reno is asked more often (Linux).</summary>
    private const long QuietNanos = 1_000_000_000 / 32;

    /// <summary>
    /// Nor in so many round trips, if those are shorter: RFC 9438 4.3 asks Reno with each ACK. At a millisecond's round trip losses of one packet in twenty come sooner than <see cref="QuietNanos"/>, each begins
    /// anew, and a window of two segments would stand still for ever.
    /// </summary>
    private const int QuietRounds = 4;

    /// <summary>The curve is asked once in this time at most, whatever the rate of ACKs.</summary>
    private const long GrainNanos = 1_000_000;

    /// <summary>Delays of the first second of an epoch still show the queue that the loss came from.</summary>
    private const long SettleNanos = 1_000_000_000;

    private const long None = long.MinValue;

    /// <summary>Before the first loss there is no curve to follow: one segment for 20 acknowledged at the least (Linux).</summary>
    private const int CountBeforeLoss = 20;

    /// <summary>At most one segment for two acknowledged, 1.5 times a round (RFC 9438 4.2).</summary>
    private const int SmallestCount = 2;

    private HyStart _hyStart;
    private long _minimumRttNanos = None;

    /// <summary>Acknowledged segments that earn one segment of window.</summary>
    private int _count;

    // The curve: its plateau, when it began, and how long after that it reaches the plateau (1/1024 s).
    private int _lastMaximum;
    private int _plateau;
    private long _epochNanos = None;
    private long _timeToPlateau;

    // The last look at the curve.
    private int _lastWindow;
    private long _lastNanos = None;

    // What Reno would have by now, and segments acknowledged that have not yet grown it.
    private int _renoWindow;
    private long _renoAcked;

    public override string Name => "cubic";

    public override int ThresholdOnLoss()
    {
        int window = Cwnd.Window;
        _epochNanos = None;

        // RFC 9438 4.7, fast convergence: a loss below the last plateau means that someone else came; make room.
        _lastMaximum = window < _lastMaximum ? (int)((long)window * (One + Beta) / (2 * One)) : window;
        return Math.Max((int)((long)window * Beta / One), 2);
    }

    public override void OnRttSample(in DelaySample sample)
    {
        if (sample.RttNanos < 0 || (_epochNanos != None && sample.NowNanos - _epochNanos < SettleNanos))
        {
            return;
        }

        if (_minimumRttNanos == None || sample.RttNanos < _minimumRttNanos)
        {
            _minimumRttNanos = sample.RttNanos;
        }

        if (Cwnd.InSlowStart && _hyStart.FindsExit(sample, Cwnd.Window, _minimumRttNanos))
        {
            Cwnd.Threshold = Cwnd.Window;
        }
    }

    public override void OnAck(in AckSample sample)
    {
        if (!sample.WindowLimited)
        {
            return;
        }

        int acked = sample.Acked;
        if (Cwnd.InSlowStart)
        {
            acked = Cwnd.SlowStart(acked);
            if (acked <= 0)
            {
                return;
            }
        }

        UpdateCount(sample, acked);
        Cwnd.Increase(_count, acked);
    }

    public override void Begin(long nowNanos, SequenceNumber nextToSend)
    {
        // RFC 9438 4.8: what was learned no longer holds. Linux forgets the plateau and the path's delay too.
        _hyStart = new HyStart(nowNanos, nextToSend);
        _minimumRttNanos = None;
        _count = 0;
        _lastMaximum = 0;
        _plateau = 0;
        _epochNanos = None;
        _timeToPlateau = 0;
        _lastWindow = 0;
        _lastNanos = None;
        _renoWindow = 0;
        _renoAcked = 0;
    }

    // RFC 9438 4.2 and 5.8: time without anything to send is no time on the curve, else the window would leap when the application comes back.
    public override void OnTransmitStart(long nowNanos, long idleNanos)
    {
        if (_epochNanos != None && idleNanos > 0)
        {
            _epochNanos = Math.Min(_epochNanos + idleNanos, nowNanos);
        }
    }

    private void UpdateCount(in AckSample sample, int acked)
    {
        long nowNanos = sample.NowNanos;
        int window = Cwnd.Window;
        _renoAcked += acked;
        bool asked = _lastNanos != None && _epochNanos != None;
        if (asked && window == _lastWindow && nowNanos - _lastNanos <= QuietRounds * Math.Min(QuietNanos / QuietRounds, sample.MinimumRttNanos))
        {
            return;
        }

        if (!asked || nowNanos - _lastNanos >= GrainNanos)
        {
            _lastWindow = window;
            _lastNanos = nowNanos;
            if (_epochNanos == None)
            {
                BeginEpoch(nowNanos, window, acked);
            }

            FollowCurve(nowNanos, window);
        }

        KeepUpWithReno(window);
        _count = Math.Max(_count, SmallestCount);
    }

    private void BeginEpoch(long nowNanos, int window, int acked)
    {
        _epochNanos = nowNanos;
        _renoAcked = acked;
        _renoWindow = window;
        _plateau = Math.Max(_lastMaximum, window);

        // RFC 9438 4.2: K, the time from the window after the loss up to the plateau.
        _timeToPlateau = CubeRoot(CubePerSegment * (ulong)(_plateau - window));
    }

    private void FollowCurve(long nowNanos, int window)
    {
        // RFC 9438 4.4: the window to have when the segments sent now are acknowledged, hence one round-trip time ahead.
        long ahead = nowNanos - _epochNanos + (_minimumRttNanos == None ? 0 : _minimumRttNanos);
        long offset = (ahead / 1000 * 1024 / 1_000_000) - _timeToPlateau;
        long distance = Math.Min(Math.Abs(offset), MaximumOffset);
        long height = (C * distance * distance * distance) >> CurveShift;
        long target = offset < 0 ? _plateau - height : _plateau + height;

        // On the plateau and above the curve: all but standing still.
        long count = target > window ? window / (target - window) : 100L * window;
        if (_lastMaximum == 0)
        {
            count = Math.Min(count, CountBeforeLoss);
        }

        _count = (int)Math.Min(count, int.MaxValue);
    }

    // RFC 9438 4.3: with a short round-trip time or a small window the curve is slower than Reno; then be as fast as Reno.
    private void KeepUpWithReno(int window)
    {
        long perSegment = Math.Max((long)window * RenoEighths / 8, 1);
        if (_renoAcked > perSegment)
        {
            long gained = (_renoAcked - 1) / perSegment;
            _renoAcked -= gained * perSegment;
            _renoWindow += (int)gained;
        }

        if (_renoWindow > window)
        {
            _count = Math.Min(_count, window / (_renoWindow - window));
        }
    }

    /// <summary>The largest integer whose cube is not above <paramref name="value"/> (below 2^63).</summary>
    internal static long CubeRoot(ulong value)
    {
        if (value == 0)
        {
            return 0;
        }

        // Newton's steps from above fall until they reach the root, and then do not.
        ulong root = 1UL << ((66 - System.Numerics.BitOperations.LeadingZeroCount(value)) / 3);
        while (true)
        {
            ulong next = ((2 * root) + (value / (root * root))) / 3;
            if (next >= root)
            {
                return (long)root;
            }

            root = next;
        }
    }
}
