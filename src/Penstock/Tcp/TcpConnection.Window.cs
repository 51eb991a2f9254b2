using Penstock.Accounting;
using Penstock.Tcp.Congestion;
using Penstock.Time;

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
    private int _rcvSsthresh;
    private int _receiveMss = 536;

    // --- Dynamic right-sizing: how much the application took in the last round trip.
    private long _rcvRttNanos;
    private long _rcvRttSampleNanos;
    private Wire.SequenceNumber _rcvRttSequence;
    private Wire.SequenceNumber _rcvSpaceSequence;
    private long _rcvSpaceNanos;
    private int _rcvSpace;

    private int WindowFromSpace(long space) => (int)Math.Clamp(space * _scalingRatio >> 8, 0, int.MaxValue);

    private int SpaceFromWindow(int window) => (int)Math.Min(((long)window << 8) / _scalingRatio, int.MaxValue);

    /// <summary>Window that the free part of the receive buffer is worth; what waits in the backlog is not free.</summary>
    private int FreeWindow() => WindowFromSpace(Memory.ReceiveBuffer - BacklogBytes - Memory.ReceiveAlloc);

    private int FullWindow() => WindowFromSpace(Memory.ReceiveBuffer);

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
    private Wire.SequenceNumber AcceptableEdge => _windowRetracted ? _promisedEdge : _rcvNxt + (int)OfferedWindow();

    private bool _windowRetracted;
    private Wire.SequenceNumber _promisedEdge;

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
            if (current > 0 && !_windowRetracted)
            {
                _windowRetracted = true;
                _promisedEdge = _rcvNxt + (int)current;
            }
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

    private uint ComputeWindow()
    {
        int mss = _receiveMss;
        int free = FreeWindow();
        int allowed = FullWindow();
        int full = Math.Min(_windowClamp, allowed);
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

            free = free >> _rcvWscale << _rcvWscale;
            if (free < allowed >> 4 || free < mss)
            {
                return 0;
            }
        }

        free = Math.Min(free, _rcvSsthresh);
        if (_rcvWscale > 0)
        {
            int unit = 1 << _rcvWscale;
            return (uint)((free + unit - 1) & ~(unit - 1));
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

    /// <summary>The window of the SYN and the scale that goes with it (RFC 7323 2.3).</summary>
    private void SelectSynWindow(int mss, bool scalingAllowed)
    {
        _scalingRatio = SynWindow.ScalingRatio(_tcp.Settings);
        (_rcvWnd, _rcvWscale) = SynWindow.Choose(
            _tcp.Settings, Memory.ReceiveBuffer, Memory.ReceiveBufferLocked, mss, scalingAllowed, _windowClamp);
        _rcvSsthresh = (int)_rcvWnd;
    }

    /// <summary>Learns the peer's segment size and how much memory a byte of payload costs, from full-sized segments.</summary>
    private void MeasureReceived(int length, int segmentSize, int trueSize)
    {
        int size = segmentSize > 0 ? segmentSize : length;
        if (size >= _receiveMss)
        {
            if (size != _receiveMss || trueSize > 0)
            {
                int ratio = (int)Math.Clamp(((long)length << 8) / Math.Max(trueSize, 1), 8, 255);
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
        }
        else if (size >= 88 && _receiveMss == 536 && size < 536)
        {
            _receiveMss = size;
        }
    }

    /// <summary>Opens the offered window as data arrives in segments that use memory well (Linux: tcp_grow_window).</summary>
    private void GrowWindow(int length, int trueSize)
    {
        int room = Math.Min(_windowClamp, FullWindow()) - _rcvSsthresh;
        room = Math.Min(room, FreeWindow() - _rcvSsthresh + (int)OfferedWindow());
        if (room <= 0 || PressureForbidsGrowth)
        {
            return;
        }

        int step = WindowFromSpace(trueSize) <= length ? 2 * _advertisedMss : 2 * Math.Min(length, _advertisedMss) >> 1;
        if (step > 0)
        {
            step = Math.Max(step, 2 * length);
            _rcvSsthresh += Math.Min(room, step);
            _quickAcks |= 1;
        }
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

    private void UpdateReceiverRtt(long sample, bool fromTimestamps)
    {
        if (_rcvRttNanos == 0)
        {
            _rcvRttNanos = sample;
        }
        else if (fromTimestamps)
        {
            _rcvRttNanos += (sample - _rcvRttNanos) >> 3;
        }
        else
        {
            _rcvRttNanos = Math.Min(_rcvRttNanos, sample);
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

        // What a pipe reader holds has not been read.
        int copied = (_copiedSeq - _heldBytes).Since(_rcvSpaceSequence);
        if (copied > _rcvSpace)
        {
            GrowReceiveBuffer(copied);
            _rcvSpace = copied;
        }

        _rcvSpaceSequence = _copiedSeq - _heldBytes;
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

        Memory.ReceiveBuffer = Math.Max(Memory.ReceiveBuffer, Math.Min(SpaceFromWindow((int)Math.Min(window, int.MaxValue / 2)), _tcp.Settings.ReceiveBufferMax));
    }

    private void StartReceiveSpace(long now)
    {
        _rcvSpaceSequence = _copiedSeq;
        _rcvSpaceNanos = now;
        _rcvSpace = (int)Math.Min(_rcvWnd, 10u * (uint)_advertisedMss);
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
