using Penstock.Tcp.Congestion;
using Penstock.Wire;

namespace Penstock.Tests.Tcp.Congestion;

/// <summary>A sender that always has data and a path that acknowledges: feeds one algorithm ACK by ACK, as a connection would.</summary>
internal sealed class AckedPath
{
    public const long Millisecond = 1_000_000;
    public const long Second = 1_000_000_000;

    private const int Mss = 1000;

    private SequenceNumber _unacknowledged = new(uint.MaxValue - 100_000);

    public AckedPath(string name)
    {
        Algorithm = CongestionControl.Create(name, Window) ?? throw new ArgumentException("no algorithm of this name", nameof(name));
        Algorithm.Begin(NowNanos, _unacknowledged);
    }

    public CongestionWindow Window { get; } = new();

    public CongestionControl Algorithm { get; }

    public long NowNanos { get; set; } = 5 * Second;

    public long MinimumRttNanos { get; private set; } = long.MaxValue;

    public bool WindowLimited { get; set; } = true;

    public long PacingRate { get; set; }

    public bool Paced { get; set; }

    /// <summary>One ACK for <paramref name="segments"/>; the window is refilled to what it was before the ACK.</summary>
    public void Ack(int segments, long rttNanos)
    {
        if (rttNanos >= 0)
        {
            MinimumRttNanos = Math.Min(MinimumRttNanos, rttNanos);
        }

        SequenceNumber next = _unacknowledged + (Window.Window * Mss);
        _unacknowledged += segments * Mss;
        Algorithm.OnRttSample(new DelaySample
        {
            RttNanos = rttNanos,
            NowNanos = NowNanos,
            Unacknowledged = _unacknowledged,
            NextToSend = next,
            PacingRate = PacingRate,
            Paced = Paced,
        });
        Algorithm.OnAck(new AckSample
        {
            Acked = segments,
            MinimumRttNanos = MinimumRttNanos,
            NowNanos = NowNanos,
            WindowLimited = WindowLimited,
        });
    }

    /// <summary>One round: a whole window is acknowledged, an ACK for each <paramref name="perAck"/> segments, spread evenly over the round-trip time.</summary>
    public void Round(long rttNanos, int perAck = 1)
    {
        int left = Window.Window;
        long start = NowNanos;
        for (int done = 0; done < left;)
        {
            int segments = Math.Min(perAck, left - done);
            done += segments;
            NowNanos = start + (rttNanos * done / left);
            Ack(segments, rttNanos);
        }
    }

    /// <summary>A loss, and the recovery that brings the window down to the new threshold.</summary>
    public void Lose()
    {
        Window.Prior = Window.Window;
        Window.Threshold = Algorithm.ThresholdOnLoss();
        Window.Window = Window.Threshold;
        Window.Counter = 0;
    }

    public void TimeOut()
    {
        Window.Prior = Window.Window;
        Window.Threshold = Algorithm.ThresholdOnLoss();
        Window.Window = 1;
        Window.Counter = 0;
        Algorithm.Begin(NowNanos, _unacknowledged);
    }
}
