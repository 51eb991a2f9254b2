namespace Penstock.Tcp.LossRecovery;

/// <summary>
/// Proportional rate reduction (RFC 9937, before it RFC 6937), in the form that Linux gives it: while more is in flight than the new threshold, as many segments go as the reduction's
/// share of what is delivered; once the flight is at or below it, the window grows back to it. How fast is the choice between the two bounds of the RFC: an ACK that makes progress and brings
/// no news of loss may add a segment (slow start, SSRB), any other no more than it delivered (conservative, CRB). It decides the window alone; when to begin and when to end is its owner's.
/// </summary>
internal struct ProportionalRateReduction
{
    private int _priorWindow;
    private int _delivered;
    private int _sent;

    /// <summary>Begins a reduction from a window of so many segments.</summary>
    public void Begin(int window)
    {
        _priorWindow = window;
        _delivered = _sent = 0;
    }

    public void OnSent(int segments) => _sent += segments;

    /// <summary>
    /// The window after an ACK, segments. <paramref name="delivered"/> and <paramref name="lost"/> are what the ACK newly brought, <paramref name="inFlight"/> what is in flight after it.
    /// </summary>
    public int Window(int window, int threshold, int delivered, int lost, bool advanced, int inFlight)
    {
        if (delivered <= 0 || _priorWindow == 0)
        {
            return window;
        }

        _delivered += delivered;
        int room = threshold - inFlight;
        int send;
        if (room < 0)
        {
            long share = ((long)threshold * _delivered) + _priorWindow - 1;
            send = (int)(share / _priorWindow) - _sent;
        }
        else
        {
            send = Math.Max(_delivered - _sent, delivered);
            if (advanced && lost == 0)
            {
                send++;
            }

            send = Math.Min(room, send);
        }

        // The first retransmission of a recovery always goes.
        return inFlight + Math.Max(send, _sent > 0 ? 0 : 1);
    }
}
