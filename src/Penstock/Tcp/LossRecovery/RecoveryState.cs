using System.Runtime.CompilerServices;
using Penstock.Tcp.Congestion;
using Penstock.Wire;

namespace Penstock.Tcp.LossRecovery;

/// <summary>
/// What a connection remembers of its losses; made when it first sends data, so that a connection that never does goes without. The state machine is in TcpConnection.Recovery; each algorithm says in its own
/// file which of these fields are its.
/// </summary>
internal sealed class RecoveryState(CongestionWindow window, SequenceNumber unacknowledged)
{
    // --- The state machine (RFC 5681, RFC 6675).
    public CongestionState State;

    /// <summary>The recovery ends when everything before this is acknowledged.</summary>
    public SequenceNumber HighSequence = unacknowledged;

    /// <summary>Segments marked lost so far, those lost again counted again.</summary>
    public long Lost;

    /// <summary>Queued buffers that ACKs and timers looked at so far.</summary>
    public long Visited;

    /// <summary>How the window comes down.</summary>
    public ProportionalRateReduction Reduction;

    // --- Loss detection by time, and what delays a verdict.
    public Rack Rack = new();

    /// <summary>Times that reordering was seen (tcpi_reord_seen).</summary>
    public int ReorderingEvents;

    // --- The scoreboard (RFC 2018).

    /// <summary>The end of what was SACKed, or what is acknowledged.</summary>
    public SequenceNumber HighestSacked = unacknowledged;

    /// <summary>The blocks of the last ACK.</summary>
    public SackCache Sacks;

    /// <summary>Segments that DSACKs have reported so far (tcpi_dsack_dups).</summary>
    public long DuplicatesReported;

    // --- Undo.

    /// <summary>Set while the reduction may still be undone: what was the first unacknowledged byte when it began.</summary>
    public SequenceNumber? UndoMarker;

    /// <summary>Retransmissions of this recovery whose DSACK has not come; all of them unnecessary when it reaches 0; -1 while there was none.</summary>
    public int UndoRetransmits;

    /// <summary>When the first retransmission of this recovery was sent, nanoseconds; 0 for none.</summary>
    public long FirstRetransmitNanos;

    /// <summary>The threshold to go back to; 0 when there is no way back.</summary>
    public int PriorThreshold;

    // --- F-RTO (RFC 5682).

    /// <summary>A timeout is being tested for having been unnecessary.</summary>
    public bool TestsTimeout;

    // --- Tail-loss probe (RFC 8985 7).

    /// <summary>The end of what was sent when the probe under way was; null while there is none.</summary>
    public SequenceNumber? TailProbeEnd;

    /// <summary>The probe was a retransmission.</summary>
    public bool TailProbeRetransmitted;

    public bool IsReducing => State is CongestionState.Recovery or CongestionState.Reducing;

    /// <summary>Remembers what undoing this reduction would take (Linux: tcp_init_undo).</summary>
    public void MarkForUndo(SequenceNumber unacknowledged, int retransmitsOut)
    {
        UndoMarker = unacknowledged;
        int retransmitted = retransmitsOut + (TailProbeEnd is not null && TailProbeRetransmitted ? 1 : 0);
        UndoRetransmits = retransmitted > 0 ? retransmitted : -1;
    }

    /// <summary>Begins a reduction: the threshold is new, the window comes down with what is delivered.</summary>
    public void BeginReduction(SequenceNumber high, int threshold)
    {
        HighSequence = high;
        TailProbeEnd = null;
        window.Prior = window.Window;
        Reduction.Begin(window.Window);
        window.Counter = 0;
        window.Threshold = threshold;
    }

    /// <summary>Ends it: the window is the threshold, unless the reduction was undone.</summary>
    public void EndReduction(long nowNanos)
    {
        if (window.Threshold < CongestionWindow.InfiniteThreshold && (UndoMarker is not null || State == CongestionState.Reducing))
        {
            window.Window = window.Threshold;
            window.StampNanos = nowNanos;
        }
    }

    /// <summary>The threshold that an undo may restore (Linux: tcp_current_ssthresh).</summary>
    public int CurrentThreshold => IsReducing ? window.Threshold : Math.Max(window.Threshold, (window.Window >> 1) + (window.Window >> 2));

    /// <summary>The SACK blocks of one ACK, the lowest first.</summary>
    internal struct SackCache
    {
        public SackBlocks Blocks;
        public int Count;

        public void Insert(SackBlock block)
        {
            int place = Count++;
            for (; place > 0 && block.Start.Before(Blocks[place - 1].Start); place--)
            {
                Blocks[place] = Blocks[place - 1];
            }

            Blocks[place] = block;
        }
    }

    [InlineArray(TcpOptions.MaxSackBlocks)]
    internal struct SackBlocks
    {
        private SackBlock _first;
    }
}
