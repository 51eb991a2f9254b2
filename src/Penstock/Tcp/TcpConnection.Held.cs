using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ownership;

namespace Penstock.Tcp;

/// <summary>
/// Received buffers that a pipe reader took out of the receive queue instead of copying them. They are the reader's, so nothing here can move or free them, but they stay charged at their true
/// size until it gives them back: the window shuts as it does for data that nobody reads.
/// </summary>
internal sealed partial class TcpConnection
{
    private int _heldTrueSize;
    private int _heldBytes;

    // --- Given back by the reader, on any thread, and not yet taken off the ledger.
    private int _returnedTrueSize;
    private int _returnedBytes;

    /// <summary>Something received has not been consumed: in the queue, or in a reader's hands.</summary>
    private bool HasUnread => _receiveQueue.First is not null || _heldTrueSize > 0;

    /// <summary>
    /// Moves everything readable to the end of <paramref name="held"/>. The caller owns the connection. Returns the count of bytes, 0 at the end of the stream, or
    /// <see cref="WouldBlock"/> or <see cref="Failed"/>; <paramref name="ended"/>: there will be nothing behind these bytes.
    /// </summary>
    /// <remarks>As a read does, it stops at an urgent mark, so that the application can fetch the urgent byte before it reads on.</remarks>
    public int TakeReceived(PacketList held, out bool ended)
    {
        ended = false;
        if (State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
        {
            return WouldBlock;
        }

        int taken = 0;
        while (true)
        {
            SkipUrgent();
            if (_receiveQueue.First is not { } first)
            {
                // Do not sleep before what waits in the backlog has been seen (the receive path's flush).
                if (taken > 0 || !FlushBacklog(runDeferred: true))
                {
                    break;
                }

                continue;
            }

            int run = LimitToMark(first.Length, _copiedSeq);
            if (run < first.Length)
            {
                PacketBuffer? front = CutFront(first, run);
                if (front is null)
                {
                    break;
                }

                first = front;
            }
            else
            {
                _receiveQueue.Remove(first);
            }

            held.Append(first);
            taken += run;
            _copiedSeq += run;
            Hold(first);
            ForgetPassedMark();
            if (_urgentState != UrgentNone && _copiedSeq == _urgentSequence)
            {
                break;
            }
        }

        if (taken == 0 && Error != SocketError.Success && !_finReceived)
        {
            return Failed;
        }

        ended = _receiveQueue.First is null && (_finReceived || (Error == SocketError.Success && ReceiveShutdown));
        if (taken > 0 || ended)
        {
            return taken;
        }

        if (State != TcpConnectionState.Closed || _receiveQueue.First is not null)
        {
            return WouldBlock;
        }

        // Whoever took the error before, the writer perhaps: a stream that broke off has not ended.
        ended = FinalError == SocketError.Success;
        return ended ? 0 : Failed;
    }

    /// <summary>The reader is done with <paramref name="bytes"/>, and with buffers of <paramref name="trueSize"/>, which it has freed. Any thread; never blocks.</summary>
    public void ReturnReceived(int bytes, int trueSize)
    {
        Interlocked.Add(ref _returnedBytes, bytes);
        if (trueSize > 0)
        {
            Interlocked.Add(ref _returnedTrueSize, trueSize);
            RunOrDefer(DeferredWork.Returned, null);
        }
    }

    /// <summary>
    /// The reader has looked at all that it holds and needs more. What it holds does not say that it is slow, but shuts the window, and both would wait for ever: so badly packed buffers are packed,
    /// and the receive buffer grows as for a fast reader, up to tcp_rmem. False when the window is shut all the same. The caller owns the connection and shows the buffers to nobody.
    /// </summary>
    public bool MakeRoomBehind(PacketList held, out bool moved)
    {
        moved = false;
        if (_heldTrueSize < Memory.ReceiveBuffer >> 1)
        {
            // It has looked, and so is not slow: an ACK that waited for the reader goes now.
            AfterRead(0);
            return true;
        }

        if (_heldTrueSize >> 1 > _heldBytes)
        {
            int before = Memory.ReceiveAlloc;
            Collapse(held);
            _heldTrueSize += Memory.ReceiveAlloc - before;
            moved = true;
        }

        if (_heldTrueSize >= Memory.ReceiveBuffer >> 1
            && _tcp.Settings.ModerateReceiveBuffer && !Memory.ReceiveBufferLocked && !PressureForbidsGrowth)
        {
            long wanted = Math.Min(2L * Memory.ReceiveBuffer, _tcp.Settings.ReceiveBufferMax);
            Memory.ReceiveBuffer = (int)Math.Max(Memory.ReceiveBuffer, wanted);
        }

        if (OfferedWindow() == 0 && ComputeWindow() == 0)
        {
            return false;
        }

        AfterRead(_heldBytes);
        return true;
    }

    /// <summary>What the reader gave back leaves the ledger, and the window opens.</summary>
    private void TakeReturned()
    {
        int trueSize = Interlocked.Exchange(ref _returnedTrueSize, 0);
        int bytes = Interlocked.Exchange(ref _returnedBytes, 0);
        if ((Omitted & Omission.HeldStaysCharged) == Omission.None)
        {
            _heldTrueSize -= trueSize;
            Memory.UnchargeReceive(trueSize);
        }

        _heldBytes -= bytes;
        AdjustReceiveSpace(Now);
        AfterRead(bytes);
    }

    private void Hold(PacketBuffer buffer)
    {
        _heldBytes += buffer.Length;
        if ((Omitted & Omission.HeldStaysCharged) != Omission.None)
        {
            Memory.UnchargeReceive(buffer.TrueSize);
            return;
        }

        _heldTrueSize += buffer.TrueSize;
    }

    /// <summary>The first <paramref name="count"/> bytes of a queued buffer as one of their own, which costs its head; the payload stays charged to the rest. Null, with <see cref="Error"/> set, when not even the reserve has room.</summary>
    private PacketBuffer? CutFront(PacketBuffer first, int count)
    {
        PacketBuffer? front = Pool.RentBuffer(forced: true);
        if (front is null)
        {
            Error = SocketError.NoBufferSpaceAvailable;
            return null;
        }

        front.ShareFrom(first, 0, count);
        front.Sequence = first.Sequence;
        front.EndSequence = first.Sequence + count;
        first.TrimFront(count);
        first.Sequence += count;
        Memory.ForceSchedule(front.TrueSize);
        Memory.ChargeReceive(front.TrueSize);
        return front;
    }
}
