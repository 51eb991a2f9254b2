using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Tcp.Pacing;
using Penstock.Telemetry;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>How a connection ends: shutdown, close, linger, orphans, TIME-WAIT, abort, and the one place where everything it holds is given back.</summary>
internal sealed partial class TcpConnection
{
    private bool _counted;

    /// <summary>Closes the sending half: FIN behind everything queued (RFC 9293 3.10.4).</summary>
    public void ShutdownSend()
    {
        if (SendShutdown)
        {
            return;
        }

        SendShutdown = true;
        switch (State)
        {
            case TcpConnectionState.SynReceived:
            case TcpConnectionState.Established:
                SetState(TcpConnectionState.FinWait1);
                SendFin();
                break;
            case TcpConnectionState.CloseWait:
                SetState(TcpConnectionState.LastAck);
                SendFin();
                break;
            case TcpConnectionState.SynSent:
                // Linux: as a disconnect, SO_ERROR then says ECONNRESET.
                Finish(SocketError.ConnectionReset);
                break;
        }

        Notify(SocketEvents.Writable | (_finReceived ? SocketEvents.HangUp : SocketEvents.None));
    }

    /// <summary>Reading ends where the data ends now. What still comes is queued as before, as Linux does; once the sending half is closed too, new data resets the connection.</summary>
    public void ShutdownReceive()
    {
        ReceiveShutdown = true;
        Notify(SocketEvents.Readable);
    }

    private void SendFin()
    {
        int mss = CurrentMss();
        if (_writeQueue.Last is { } tail)
        {
            tail.TcpFlags |= TcpFlags.Fin;
            tail.EndSequence += 1;
            _writeSeq += 1;
        }
        else
        {
            PacketBuffer? fin = Pool.RentBuffer(forced: true);
            if (fin is null)
            {
                // Not even the reserve is left: the peer learns it the hard way.
                Abort(SocketError.NoBufferSpaceAvailable);
                return;
            }

            fin.Sequence = _writeSeq;
            fin.EndSequence = _writeSeq + 1;
            fin.TcpFlags = TcpFlags.Fin;
            fin.SegmentCount = 1;
            QueueCharged(fin);
            _writeSeq += 1;
        }

        _finQueued = true;
        PushPending(mss, NagleMode.Off);
    }

    /// <summary>Puts a control buffer on the write queue; its head is bought by force (R2.6: ACK, FIN and RST must not fail for lack of soft memory).</summary>
    private void QueueCharged(PacketBuffer buffer)
    {
        Memory.ForceSchedule(buffer.TrueSize);
        Memory.ChargeSend(buffer.TrueSize);
        if (_writeQueue.First is null && _sending is { } sending)
        {
            StartBusy(sending);
        }

        _writeQueue.Append(buffer);
    }

    /// <summary>
    /// The application has closed its handle (Linux: tcp_close). Unread data or a linger of zero makes it a reset (RFC 2525 2.17); else a FIN goes and the connection
    /// lives on as an orphan until it is acknowledged.
    /// </summary>
    public void CloseHandle(bool abortive)
    {
        if (IsOrphan)
        {
            return;
        }

        ReceiveShutdown = true;

        // Whoever still waits on the handle finds it disposed.
        Notify(SocketEvents.All);
        bool unread = ReadableBytes > 0;
        FreeReceiveQueue();
        if (State == TcpConnectionState.Closed)
        {
            IsOrphan = true;
            return;
        }

        if (unread || abortive)
        {
            _stack.Counters.Add(unread ? StackCounter.TcpAbortOnClose : StackCounter.TcpAbortOnLinger);
            if (!unread && State is TcpConnectionState.Closing or TcpConnectionState.LastAck && _sndNxt == _writeSeq)
            {
                // RFC 9293 3.10.5: both ends have said all that they had to say, nothing is left to reset.
                Finish(SocketError.ConnectionAborted);
            }
            else
            {
                Abort(SocketError.ConnectionAborted);
            }

            IsOrphan = true;
            return;
        }

        ShutdownSend();
        if (State == TcpConnectionState.Closed)
        {
            IsOrphan = true;
            return;
        }

        IsOrphan = true;
        _counted = true;
        _tcp.AddOrphan();
        if (_tcp.TooManyOrphans)
        {
            _stack.Counters.Add(StackCounter.TcpAbortOnMemory);
            Abort(SocketError.ConnectionAborted);
            return;
        }

        if (State == TcpConnectionState.FinWait2 && LingerTwoNanos < 0)
        {
            // TCP_LINGER2 below 0: what the peer still has to say meets no connection.
            _stack.Counters.Add(StackCounter.TcpAbortOnLinger);
            Abort(SocketError.Success);
        }
        else if (State == TcpConnectionState.FinWait2)
        {
            StartFinWait2(null);
        }
    }

    /// <summary>A handle was closed, aborted, or forgotten and collected.</summary>
    private void OnHandleGone() => CloseHandle(Volatile.Read(ref _closeAbortive));

    private bool _closeAbortive;

    /// <summary>Has <see cref="CloseHandle"/> run, now or by whoever owns the connection. Never blocks; any thread.</summary>
    internal void PostClose(bool abortive)
    {
        Volatile.Write(ref _closeAbortive, abortive);
        RunOrDefer(DeferredWork.Close, null);
    }

    /// <summary>A reset instead of an orderly end: an aborted or forgotten handle, also from the finalizer's thread.</summary>
    internal void PostHandleGone() => PostClose(abortive: true);

    /// <summary>Resets the connection (RFC 9293 3.10.5).</summary>
    public void Abort(SocketError error)
    {
        if (State is TcpConnectionState.Closed)
        {
            return;
        }

        if (State is not (TcpConnectionState.SynSent or TcpConnectionState.Listen))
        {
            SendResetSegment(AcceptableSequence);
        }

        Finish(error);
    }

    private void SendResetSegment(SequenceNumber sequence)
    {
        _stack.Counters.Add(StackCounter.TcpOutRsts);
        bool withAck = IsSynchronized;
        SendControl(withAck ? TcpFlags.Rst | TcpFlags.Ack : TcpFlags.Rst, sequence);
    }

    /// <summary>
    /// In FIN-WAIT-2 with nobody left to read, wait only so long for the peer's FIN (Linux: tcp_fin_timeout), and with no more than a small entry, when a minute is enough: there is nothing left to send, and nobody
    /// to read. <paramref name="packet"/> brought the ACK of our FIN; what it carries itself is the connection's to judge. True when the connection is over.
    /// </summary>
    private bool StartFinWait2(PacketBuffer? packet)
    {
        if (!IsOrphan || (packet is not null && HasDataBeyond(packet, _rcvNxt)))
        {
            return false;
        }

        long time = FinWait2Nanos;
        if (time <= TcpLayer.TimeWaitNanos && (packet is null || (packet.TcpFlags & TcpFlags.Fin) == 0))
        {
            EnterTimeWait(time);
            return true;
        }

        Arm(ref _closeAtNanos, Now + (time > TcpLayer.TimeWaitNanos ? time - TcpLayer.TimeWaitNanos : time));
        return false;
    }

    /// <summary>Three and a half timeouts at least, so that a FIN that was lost can come again (Linux: tcp_fin_time).</summary>
    private long FinWait2Nanos => Math.Max(LingerTwoNanos, LeastFinWait2Nanos);

    private long LeastFinWait2Nanos => (_rtoNanos << 2) - (_rtoNanos >> 1);

    private void OnCloseTimer()
    {
        _closeAtNanos = Never;
        if (State != TcpConnectionState.FinWait2 || !IsOrphan)
        {
            return;
        }

        long time = FinWait2Nanos - TcpLayer.TimeWaitNanos;
        if (time > 0)
        {
            // What is beyond a minute is waited for twice, as the connection and as the entry (Linux).
            EnterTimeWait(Math.Max(time, LeastFinWait2Nanos));
        }
        else
        {
            Abort(SocketError.Success);
        }
    }

    /// <summary>Leaves a small entry in the table's place and gives back everything else (RFC 9293 3.3.2, TIME-WAIT), or before that for the peer's FIN, for so long.</summary>
    private void EnterTimeWait(long finWait2Nanos = 0)
    {
        _tcp.StartTimeWait(new TimeWaitSeed
        {
            Key = Key,
            SndNxt = _sndNxt,
            RcvNxt = _rcvNxt,
            ReceiveWindow = OfferedWindow(),
            ReceiveScale = _rcvWscale,
            TimestampsOk = _timestampsOk,
            TsRecent = _tsRecent,
            TsOffset = _tsOffset,
            TimeToLive = _timeToLive,
            Tos = _tos,
            FinWait2Nanos = finWait2Nanos,
        }, this, Worker);
        Finish(SocketError.Success, replaced: true);
    }

    /// <summary>The connection is over. What can still be read stays until the handle goes; everything else is given back now.</summary>
    private void Finish(SocketError error, bool replaced = false)
    {
        if (State == TcpConnectionState.Closed && !_alive)
        {
            return;
        }

        _alive = false;
        TcpConnectionState last = State;
        SetState(TcpConnectionState.Closed);
        if (error != SocketError.Success)
        {
            PenstockEventSource.Log.OnClosedWithError(_stack, Key, last, error);
            Error = error;
            FinalError = error;
        }

        StopAllTimers();
        FreeSendQueues();
        _outOfOrder?.Clear();
        if (IsOrphan)
        {
            FreeReceiveQueue();
        }

        if (!replaced)
        {
            _tcp.Forget(this);
        }

        if (_counted)
        {
            _counted = false;
            _tcp.RemoveOrphan();
        }

        SendShutdown = true;
        _ackScheduled = _ackNow = _ackDeferred = false;
        Listener?.OnChildGone(this);
        _tcp.Memory.RemoveSocket();
        Notify(SocketEvents.All);
    }

    private bool _alive = true;

    private void FreeSendQueues()
    {
        while (_writeQueue.First is { } unsent)
        {
            _writeQueue.Remove(unsent);
            FreeQueued(unsent);
        }

        while (_retransmitQueue.First is { } sent)
        {
            _retransmitQueue.Remove(sent);
            FreeQueued(sent);
        }

        _packetsOut = _sackedOut = _lostOut = _retransOut = 0;
        StopWaitingFor(SendLimit.Busy);
        Memory.Reclaim();
    }

    private void FreeReceiveQueue()
    {
        while (_receiveQueue.First is { } unread)
        {
            _receiveQueue.Remove(unread);
            Memory.UnchargeReceive(unread.TrueSize);
            unread.Free();
        }

        _copiedSeq = _finReceived ? _finSequence : _rcvNxt;
        Memory.Reclaim();
    }

    /// <summary>It never began: no port was free. Nobody has seen it.</summary>
    internal void Discard()
    {
        _alive = false;
        _tcp.Memory.RemoveSocket();
    }

    /// <summary>The stack is going away: nothing more is sent.</summary>
    internal void Drop()
    {
        DropBacklog();
        IsOrphan = true;
        Finish(SocketError.ConnectionAborted);
        FreeReceiveQueue();
    }
}
