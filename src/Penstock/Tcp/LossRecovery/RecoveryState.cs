using Penstock.Tcp.Congestion;
using Penstock.Wire;

namespace Penstock.Tcp.LossRecovery;

/// <summary>
/// The state of a recovery: where it ends, how the window comes down meanwhile (proportional rate reduction, RFC 6937), and what is needed to undo it when it
/// turns out to have been unnecessary (Eifel by timestamps RFC 4015, DSACK RFC 3708).
/// </summary>
internal sealed class RecoveryState(CongestionWindow window)
{
    private int _priorWindow;
    private int _delivered;
    private int _sent;

    public CongestionState State { get; set; }

    /// <summary>The recovery ends when everything before this is acknowledged.</summary>
    public SequenceNumber HighSequence { get; set; }

    /// <summary>Set while the reduction may still be undone: what was the first unacknowledged byte when it began.</summary>
    public SequenceNumber? UndoMarker { get; set; }

    /// <summary>Retransmissions of this recovery whose DSACK has not come; all of them unnecessary when it reaches 0.</summary>
    public int UndoRetransmits { get; set; }

    /// <summary>When the first retransmission of this recovery was sent, nanoseconds; 0 for none.</summary>
    public long FirstRetransmitNanos { get; set; }

    public int PriorThreshold { get; set; }

    public bool IsReducing => State is CongestionState.Recovery or CongestionState.Reducing;

    public void MarkForUndo(SequenceNumber unacknowledged, int retransmitsOut)
    {
        UndoMarker = unacknowledged;
        UndoRetransmits = retransmitsOut > 0 ? retransmitsOut : -1;
    }

    /// <summary>Begins a reduction: the threshold is new, the window comes down with what is delivered.</summary>
    public void BeginReduction(SequenceNumber high, int threshold)
    {
        HighSequence = high;
        PriorThreshold = window.Threshold;
        window.Prior = _priorWindow = window.Window;
        _delivered = _sent = 0;
        window.Counter = 0;
        window.Threshold = threshold;
    }

    public void OnSent(int segments) => _sent += segments;

    /// <summary>
    /// Sets the window after an ACK during a reduction (RFC 6937): in proportion while more is in flight than the threshold, else as slow start up to it.
    /// </summary>
    public void Reduce(int newlyDelivered, int newlyLost, bool advanced, int inFlight)
    {
        if (newlyDelivered <= 0 || _priorWindow == 0)
        {
            return;
        }

        _delivered += newlyDelivered;
        int room = window.Threshold - inFlight;
        int send;
        if (room < 0)
        {
            long share = ((long)window.Threshold * _delivered) + _priorWindow - 1;
            send = (int)(share / _priorWindow) - _sent;
        }
        else
        {
            send = Math.Max(_delivered - _sent, newlyDelivered);
            if (advanced && newlyLost == 0)
            {
                send++;
            }

            send = Math.Min(room, send);
        }

        // The first retransmission of a recovery always goes.
        send = Math.Max(send, _sent > 0 ? 0 : 1);
        window.Window = inFlight + send;
    }

    public void EndReduction(long nowNanos)
    {
        if (window.Threshold < CongestionWindow.InfiniteThreshold && (UndoMarker is not null || State == CongestionState.Reducing))
        {
            window.Window = window.Threshold;
            window.StampNanos = nowNanos;
        }
    }
}
