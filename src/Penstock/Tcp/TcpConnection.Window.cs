using Penstock.Accounting;
using Penstock.Buffers;
using Penstock.Tcp.Congestion;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// The window we offer. It comes from free memory of true size, scaled by how much payload a byte of memory really holds, never takes back what it
/// promised (RFC 9293 3.8.6 SHLD-14), and moves in steps that make no silly windows (RFC 9293 3.8.6.2.2).
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>256ths of receive memory that count as window; learned from real segments.</summary>
    private int _scalingRatio = 128;
    private int _windowClamp = int.MaxValue;
    private bool _reservesSegment;
    private int _rcvSsthresh;
    private int _receiveMss = 536;
    private int _lastShortSegment;

    /// <summary>Ends of the peer's writes seen since our last ACK, as far as two: who reads up to there can answer nothing that the peer still waits to send.</summary>
    private int _writeEnds;

    // --- Dynamic right-sizing: how much the application took in the last round trip.
    private long _rcvRttNanos;
    private long _rcvRttSampleNanos;
    private SequenceNumber _rcvRttSequence;
    private SequenceNumber _rcvSpaceSequence;
    private long _rcvSpaceNanos;
    private int _rcvSpace;

    private int WindowFromSpace(long space) => (int)Math.Clamp(space * _scalingRatio >> 8, 0, int.MaxValue);

    private int SpaceFromWindow(int window) => (int)Math.Min(((long)window << 8) / _scalingRatio, int.MaxValue);

    /// <summary>Window that the free part of the receive buffer is worth; what waits in the backlog is not free.</summary>
    private int FreeWindow() => WindowFromSpace(Memory.ReceiveBuffer - BacklogBytes - Memory.ReceiveAlloc);

    private int FullWindow() => WindowFromSpace(Memory.ReceiveBuffer);

    /// <summary>The largest window that may be offered: what the whole buffer is worth, less a segment as long as none has shown what that is (Linux: tcp_init_buffer_space), and no more than was asked for.</summary>
    private int WindowLimit
    {
        get
        {
            int full = FullWindow();
            int reserved = _reservesSegment ? Math.Max(full - _advertisedMss, Math.Min(full, 2 * _advertisedMss)) : full;
            return Math.Min(_windowClamp, reserved);
        }
    }

    /// <summary>What the peer may still send of what was last promised.</summary>
    private uint OfferedWindow()
    {
        int left = (_rcvWup + (int)_rcvWnd).Since(_rcvNxt);
        return left < 0 ? 0 : (uint)left;
    }

    /// <summary>
    /// Where segments that the peer may have sent in good faith end: behind the window, or behind one that was promised and taken back (RFC 7323 2.4). Its data may find no memory, but its ACKs count: two ends
    /// that both took windows back would else refuse each other's ACKs, which come from beyond, for ever.
    /// </summary>
    private SequenceNumber AcceptableEdge => _windowRetracted ? _promisedEdge : _rcvNxt + (int)OfferedWindow();

    private bool _windowRetracted;
    private SequenceNumber _promisedEdge;

    /// <summary>Chooses the window of a segment about to go, notes the promise and returns the header's field.</summary>
    private ushort SelectWindow()
    {
        uint before = _rcvWnd;
        uint current = OfferedWindow();
        uint next = ComputeWindow();
        if (_noReceiveMemory)
        {
            // The promise cannot be kept. To say so makes the peer probe; to repeat it would make it retransmit and back off. While memory stays short and the reader
            // has something to read, it stays so: the next ACK would only promise again what will be dropped again.
            _noReceiveMemory = HasUnread && (Memory.UnderPressure || Pool.IsCrowded);
            next = 0;
            Retract(current);
        }
        else if (next < current && MayShrink)
        {
            Retract(current);
        }
        else if (next < current)
        {
            if (next == 0)
            {
                _stack.Counters.Add(StackCounter.TcpWantZeroWindowAdv);
            }

            uint unit = 1u << _rcvWscale;
            next = (current + unit - 1) & ~(unit - 1);
        }

        next = Math.Min(next, 65535u << _rcvWscale);
        _rcvWnd = next;
        _rcvWup = _rcvNxt;
        if (_windowRetracted && (_rcvNxt + (int)next).AtOrAfter(_promisedEdge))
        {
            _windowRetracted = false;
        }

        uint field = next >> _rcvWscale;
        if (field == 0)
        {
            if (before != 0)
            {
                _stack.Counters.Add(StackCounter.TcpToZeroWindowAdv);
            }
        }
        else if (before == 0)
        {
            _stack.Counters.Add(StackCounter.TcpFromZeroWindowAdv);
        }

        return (ushort)field;
    }

    /// <summary>The peer may have sent up to here already, and is believed that (RFC 7323 2.4).</summary>
    private void Retract(uint offered)
    {
        if (offered > 0 && !_windowRetracted)
        {
            _windowRetracted = true;
            _promisedEdge = _rcvNxt + (int)offered;
        }
    }

    /// <summary>net.ipv4.tcp_shrink_window: memory decides, not what was promised. Unscaled windows, which Linux leaves out of it, stay as they are.</summary>
    private bool MayShrink => _tcp.Settings.ShrinkWindow && _rcvWscale > 0;

    private uint ComputeWindow()
    {
        int mss = _receiveMss;
        bool shrinks = MayShrink;
        int unit = 1 << _rcvWscale;
        int free = FreeWindow();
        if (shrinks)
        {
            free &= -unit;
        }

        int allowed = FullWindow();
        int full = WindowLimit;
        if (mss > full)
        {
            mss = full;
            if (mss <= 0)
            {
                return 0;
            }
        }

        if (free < full >> 1)
        {
            _quickAcks = 0;
            if (Memory.UnderPressure)
            {
                ClampWindow();
            }

            free &= -unit;
            if (free < allowed >> 4 || free < mss || (shrinks && free < unit))
            {
                return 0;
            }
        }

        free = Math.Min(free, _rcvSsthresh);
        if (_rcvWscale > 0)
        {
            return (uint)((free + unit - 1) & -unit);
        }

        // Without scaling the window moves by whole segments (RFC 1122 4.2.3.3).
        int window = (int)_rcvWnd;
        if (window <= free - mss || window > free)
        {
            return (uint)(free - (free % mss));
        }

        return (uint)(mss == full && free > window + (full >> 1) ? free : window);
    }

    /// <summary>R2.5: while memory is short, neither buffers nor the offered window grow.</summary>
    private bool PressureForbidsGrowth => Memory.UnderPressure && (Omitted & Omission.PressureStopsGrowth) == Omission.None;

    /// <summary>R2.5: memory is short, so no more than four segments are offered (Linux: tcp_adjust_rcv_ssthresh). What was promised before is kept.</summary>
    private void ClampWindow()
    {
        if ((Omitted & Omission.PressureShrinksWindow) == Omission.None)
        {
            _rcvSsthresh = Math.Min(_rcvSsthresh, 4 * _advertisedMss);
        }
    }

    /// <summary>
    /// The buffer is full although no more came than was offered, or the application has made it smaller: it grows to what is in it, where it may, else two segments are offered until data shows
    /// what fits (Linux: tcp_clamp_window).
    /// </summary>
    private void FitWindowToFullBuffer()
    {
        _quickAcks = 0;
        int limit = _tcp.Settings.ReceiveBufferMax;
        if (!Memory.ReceiveBufferLocked && Memory.ReceiveBuffer < limit && !PressureForbidsGrowth && _tcp.Memory.AllocatedPages < _tcp.Memory.LowPages)
        {
            Memory.ReceiveBuffer = (int)Math.Min(Memory.ReceiveAlloc, limit);
            _reservesSegment = false;
        }

        if (Memory.ReceiveAlloc > Memory.ReceiveBuffer)
        {
            _rcvSsthresh = Math.Min(WindowLimit, 2 * _advertisedMss);
        }
    }

    /// <summary>The window of the SYN and the scale that goes with it (RFC 7323 2.3).</summary>
    private void SelectSynWindow(int mss, bool scalingAllowed)
    {
        _scalingRatio = SynWindow.ScalingRatio(_tcp.Settings);
        (_rcvWnd, _rcvWscale) = SynWindow.Choose(
            _tcp.Settings, Memory.ReceiveBuffer, Memory.ReceiveBufferLocked, mss, scalingAllowed, _windowClamp);
        _rcvSsthresh = (int)_rcvWnd;
    }

    /// <summary>A first guess at the size of the peer's segments, until some come (Linux: tcp_initialize_rcv_mss).</summary>
    private void GuessReceiveMss() =>
        _receiveMss = Math.Max(88, Math.Min(Math.Min(_advertisedMss, SegmentPayload()), (int)Math.Min(_rcvWnd / 2, 536)));

    /// <summary>
    /// Learns the peer's segment size and how much memory a byte of payload costs, from full-sized segments. A shorter one says where a write of the peer ended; only two in a row of one length, and not pushed
    /// unless they are of a usual size, say that its segments have become shorter (Linux: tcp_measure_rcv_mss).
    /// </summary>
    private void MeasureReceived(PacketBuffer packet)
    {
        int length = packet.Length;
        int trueSize = packet.TrueSize;
        int size = packet.GsoSize > 0 ? packet.GsoSize : length;
        int lastShort = _lastShortSegment;
        _lastShortSegment = 0;
        if (size >= _receiveMss)
        {
            if (size != _receiveMss || trueSize > 0)
            {
                int ratio = (int)Math.Clamp(((long)length << 8) / Math.Max(trueSize, 1), 8, 255);
                _reservesSegment &= ratio == _scalingRatio;
                if (ratio < _scalingRatio || size > _receiveMss)
                {
                    _scalingRatio = ratio;
                }
                else
                {
                    // Rises slowly, so that one well-packed buffer does not promise what the next ones cannot keep.
                    _scalingRatio += (ratio - _scalingRatio) >> 3;
                }
            }

            _receiveMss = Math.Min(size, _advertisedMss > 0 ? _advertisedMss : size);
            if ((packet.TcpFlags & TcpFlags.Psh) != 0)
            {
                _writeEnds = Math.Max(_writeEnds, 1);
            }

            return;
        }

        // SACK blocks take room from a full segment's payload.
        size += TcpOptionsWriter.SackLength(packet.Options.SackCount);
        if (size >= 536 || (size >= 88 && (packet.TcpFlags & (TcpFlags.Psh | TcpFlags.Fin | TcpFlags.Urg)) == 0))
        {
            _lastShortSegment = size;
            if (size == lastShort)
            {
                _receiveMss = size;
                return;
            }
        }

        _writeEnds = Math.Min(_writeEnds + 1, 2);
    }

    /// <summary>Opens the offered window as data arrives in segments that use memory well (Linux: tcp_grow_window).</summary>
    private void GrowWindow(int length, int trueSize)
    {
        int room = WindowLimit - _rcvSsthresh;
        room = Math.Min(room, FreeWindow() - _rcvSsthresh + (int)OfferedWindow());
        if (room <= 0 || PressureForbidsGrowth)
        {
            return;
        }

        int step = WindowFromSpace(trueSize) <= length ? 2 * _advertisedMss : StepInWastefulSegments(length, trueSize);
        if (step > 0)
        {
            step = Math.Max(step, 2 * length);
            _rcvSsthresh += Math.Min(room, step);
            _quickAcks |= 1;
        }
    }

    /// <summary>
    /// Segments that take more memory than they are worth open the window only while it is small: each doubling of the waste halves the share of the largest buffer up to which they may (Linux: __tcp_grow_window).
    /// </summary>
    private int StepInWastefulSegments(int length, int trueSize)
    {
        int worth = WindowFromSpace(trueSize) >> 1;
        for (int window = WindowFromSpace(_tcp.Settings.ReceiveBufferMax) >> 1; _rcvSsthresh <= window; window >>= 1)
        {
            if (worth <= length)
            {
                return 2 * _receiveMss;
            }

            worth >>= 1;
        }

        return 0;
    }

    /// <summary>Receiver's round-trip time without timestamps: one window of data takes one round trip.</summary>
    private void MeasureReceiverRtt(long now)
    {
        if (_rcvRttSampleNanos != 0)
        {
            if (_rcvNxt.Before(_rcvRttSequence))
            {
                return;
            }

            UpdateReceiverRtt(Math.Max(now - _rcvRttSampleNanos, Nanos.PerMicrosecond), fromTimestamps: false);
        }

        _rcvRttSequence = _rcvNxt + (int)Math.Max(_rcvWnd, 1);
        _rcvRttSampleNanos = now;
    }

    /// <summary>A shorter sample is believed at once. A longer one may only be the application's: without timestamps always, with them while it has something to read (Linux).</summary>
    private void UpdateReceiverRtt(long sample, bool fromTimestamps)
    {
        if (_rcvRttNanos == 0 || sample < _rcvRttNanos)
        {
            _rcvRttNanos = sample;
        }
        else if (fromTimestamps && ReadableBytes <= 0)
        {
            _rcvRttNanos += (sample - _rcvRttNanos) >> 3;
        }
    }

    /// <summary>
    /// The application has read: when it took more in a round trip than ever before, the receive buffer and so the window grow to let the sender double its rate
    /// (Linux: tcp_rcv_space_adjust, dynamic right-sizing).
    /// </summary>
    private void AdjustReceiveSpace(long now)
    {
        if (_rcvRttNanos == 0 || now - _rcvSpaceNanos < _rcvRttNanos)
        {
            return;
        }

        // What a pipe reader holds has not been read. What waits to be read counts against it: room is no use to an application that does not keep up (Linux).
        SequenceNumber read = _copiedSeq - _heldBytes;
        int copied = read.Since(_rcvSpaceSequence) - Math.Max(0, _rcvNxt.Since(read));
        if (copied > _rcvSpace)
        {
            GrowReceiveBuffer(copied);
            _rcvSpace = copied;
        }

        _rcvSpaceSequence = read;
        _rcvSpaceNanos = now;
    }

    /// <summary>
    /// Room for two round trips of what the application takes in one, for more while that still grows, and for what waits beyond a gap, which no reading makes free. Not for a connection that nobody has
    /// accepted or whose application has left.
    /// </summary>
    private void GrowReceiveBuffer(int copied)
    {
        if (!_tcp.Settings.ModerateReceiveBuffer || Memory.ReceiveBufferLocked || PressureForbidsGrowth || Listener is not null || IsOrphan)
        {
            return;
        }

        long window = 2L * copied;
        long growth = window * (copied - _rcvSpace) / Math.Max(_rcvSpace, 1);
        window += growth << 1;
        if (_outOfOrder?.Last is { } last)
        {
            window += last.EndSequence.Since(_rcvNxt);
        }

        int buffer = Math.Min(SpaceFromWindow((int)Math.Min(window, int.MaxValue / 2)), _tcp.Settings.ReceiveBufferMax);
        if (buffer > Memory.ReceiveBuffer)
        {
            Memory.ReceiveBuffer = buffer;
            _reservesSegment = false;
        }
    }

    private void StartReceiveSpace(long now)
    {
        _rcvSpaceSequence = _copiedSeq;
        _rcvSpaceNanos = now;
        _rcvSpace = (int)Math.Min(_rcvWnd, 10u * (uint)_advertisedMss);
        _reservesSegment = true;
        _rcvSsthresh = Math.Min(_rcvSsthresh, WindowLimit);
    }

    /// <summary>Auto-tuning of the send buffer: room for twice the congestion window at the true size of its segments (Linux: tcp_sndbuf_expand).</summary>
    private void ExpandSendBuffer()
    {
        if (Memory.SendBufferLocked || PressureForbidsGrowth
            || (_tcp.Memory.AllocatedPages >= _tcp.Memory.LowPages && (Omitted & Omission.PressureStopsGrowth) == Omission.None))
        {
            return;
        }

        int mss = Math.Max(_pathMss, _peerMss);
        long perSegment = RoundUpToPowerOfTwo(mss + 320) + 512;
        int segments = Math.Max(Math.Max(CongestionWindow.Initial, Cwnd.Window), _reordering + 1);
        long wanted = 2L * segments * perSegment;
        if (Memory.SendBuffer < wanted)
        {
            Memory.SendBuffer = (int)Math.Min(wanted, _tcp.Settings.SendBufferMax);
        }
    }

    private static long RoundUpToPowerOfTwo(int value) => (long)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)value);
}
