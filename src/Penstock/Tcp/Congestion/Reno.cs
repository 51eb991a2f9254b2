namespace Penstock.Tcp.Congestion;

/// <summary>
/// Reno (RFC 5681): doubles in slow start, then one segment for each window acknowledged; a loss halves. It keeps no state of its own.
/// </summary>
internal sealed class Reno(CongestionWindow window) : CongestionControl(window)
{
    public override string Name => "reno";

    // RFC 5681 3.1 (4) halves the flight; Linux halves the window, which the flight filled or it would not have grown.
    public override int ThresholdOnLoss() => Math.Max(Cwnd.Window / 2, 2);

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

        // What the threshold left over of a stretch ACK already counts toward the additive increase.
        Cwnd.Increase(Cwnd.Window, acked);
    }
}
