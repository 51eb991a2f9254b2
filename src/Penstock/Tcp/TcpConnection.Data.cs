using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>Received data on its way to the application: into the receive queue in order, or beyond a gap; the memory it costs; FIN and urgent data.</summary>
internal sealed partial class TcpConnection
{
    private readonly PacketList _receiveQueue = new();
    private OutOfOrderQueue? _outOfOrder;
    private bool _finReceived;

    /// <summary>In-order data had to be dropped: the next segment offers no window, whatever was promised (Linux: ICSK_ACK_NOMEM).</summary>
    private bool _noReceiveMemory;
    private SequenceNumber _finSequence;

    // --- Urgent data (RFC 6093: discouraged, kept as Linux keeps it).
    private SequenceNumber _urgentSequence;
    private int _urgentState;
    private byte _urgentByte;
    private bool _urgentInline;
    private const int UrgentNone = 0, UrgentPending = 1, UrgentValid = 2, UrgentRead = 3;

    private OutOfOrderQueue OutOfOrder => _outOfOrder ??= new OutOfOrderQueue(Memory);

    /// <summary>Bytes in order that the application has not read.</summary>
    public int ReadableBytes => _rcvNxt.Since(_copiedSeq) - (_finReceived && _rcvNxt == _finSequence + 1 ? 1 : 0);

    /// <summary>Takes over a segment whose sequence was found acceptable, and queues what is new in it.</summary>
    private void QueueData(PacketBuffer packet)
    {
        if (packet.Sequence == packet.EndSequence)
        {
            packet.Free();
            return;
        }

        // What was to be told of an earlier segment is told by no ACK of this one (Linux).
        _outOfOrder?.ForgetDuplicate();
        if (packet.Sequence == _rcvNxt)
        {
            if (OfferedWindow() == 0 && packet.Length > 0 && HasUnread)
            {
                // Data into a closed window is dropped, with an ACK that says so again (RFC 9293 3.10.7.4). Not when the reader has nothing to read: no read
                // would ever open the window then, only this segment, at the cost of what lies beyond the gap.
                _stack.Counters.Add(StackCounter.TcpZeroWindowDrop);
                DropOutOfWindow(packet);
                return;
            }

            QueueInOrder(packet);
            return;
        }

        if (packet.EndSequence.AtOrBefore(_rcvNxt))
        {
            // All of it is old: our ACK was lost or late. Say so, with a DSACK (RFC 2883 4).
            _stack.Counters.Add(StackCounter.DelayedACKLost);
            NoteOldDuplicate(packet.Sequence, packet.EndSequence);
            EnterQuickAck(16);
            ScheduleAck();
            packet.Free();
            return;
        }

        if (packet.Sequence.AtOrAfter(_rcvNxt + (int)OfferedWindow()))
        {
            DropOutOfWindow(packet);
            return;
        }

        if (packet.Sequence.Before(_rcvNxt))
        {
            // Partly old: what is new is in order.
            NoteOldDuplicate(packet.Sequence, _rcvNxt);
            if (OfferedWindow() == 0 && HasUnread)
            {
                _stack.Counters.Add(StackCounter.TcpZeroWindowDrop);
                DropOutOfWindow(packet);
                return;
            }

            QueueInOrder(packet);
            return;
        }

        TakeEcn(packet);
        QueueOutOfOrder(packet);
    }

    /// <summary>RFC 3168 6.1.3: what routers marked on the way is echoed, and soon, for the sender may have a small window.</summary>
    private void TakeEcn(PacketBuffer packet)
    {
        if (_ecn.OnData(packet.Tos))
        {
            EnterQuickAck(2);
        }
    }

    private void DropOutOfWindow(PacketBuffer packet)
    {
        EnterQuickAck(16);
        ScheduleAck();
        packet.Free();
    }

    private void NoteOldDuplicate(SequenceNumber start, SequenceNumber end)
    {
        if (_sackOk && _tcp.Settings.Dsack)
        {
            OutOfOrder.NoteDuplicate(start, end);
            _stack.Counters.Add(StackCounter.TcpDsackOldSent);
        }
    }

    private void NoteOverlap(SequenceNumber start, SequenceNumber end)
    {
        if (_sackOk && _tcp.Settings.Dsack && OutOfOrder.ExtendDuplicate(start, end))
        {
            _stack.Counters.Add(StackCounter.TcpDsackOldSent);
        }
    }

    private void QueueInOrder(PacketBuffer packet)
    {
        if (!TryScheduleReceive(packet))
        {
            _noReceiveMemory = true;
            if (packet.Length > 0)
            {
                _stack.Counters.Add(StackCounter.TcpRcvQDrop);
                DropOutOfWindow(packet);
                if (_heldBytes > 0)
                {
                    // The room that was promised is taken by what a pipe reader holds: it has to know, no data will wake it.
                    Notify(SocketEvents.Readable);
                }

                return;
            }

            // A FIN alone takes no memory, and is taken in and acknowledged at once: some stacks send it again and again until it is (Linux).
            _ackNow = true;
        }

        int length = packet.Length;
        bool fin = (packet.TcpFlags & TcpFlags.Fin) != 0;
        if (length > 0)
        {
            OnDataReceived(packet);
            TakeEcn(packet);
        }

        AppendInOrder(packet, charged: false);
        if (fin)
        {
            OnFin();
        }

        if (_outOfOrder is { IsEmpty: false })
        {
            DrainOutOfOrder();
            if (_outOfOrder.IsEmpty)
            {
                // The gap is filled: say so at once (RFC 5681 4.2).
                _ackNow = true;
            }
        }

        _outOfOrder?.OnAdvanced(_rcvNxt);
        if (length > 0 || fin)
        {
            NotifyIfReadable();
        }
    }

    /// <summary>Appends a segment that begins at or before the next expected byte; what is old in it is skipped.</summary>
    private void AppendInOrder(PacketBuffer packet, bool charged)
    {
        int old = _rcvNxt.Since(packet.Sequence);
        if (old > 0)
        {
            packet.TrimFront(Math.Min(old, packet.Length));
            packet.Sequence = _rcvNxt;
        }

        _bytesReceived += packet.EndSequence.Since(_rcvNxt);
        _rcvNxt = packet.EndSequence;
        packet.Ingress = null;
        if (packet.Length == 0)
        {
            if (charged)
            {
                Memory.UnchargeReceive(packet.TrueSize);
            }

            packet.Free();
            return;
        }

        if (!charged && _receiveQueue.Last is { } tail && OutOfOrderQueue.TryMerge(Memory, tail, packet, charged: false))
        {
            _stack.Counters.Add(StackCounter.TcpRcvCoalesce);
            return;
        }

        if (!charged)
        {
            Memory.ChargeReceive(packet.TrueSize);
        }

        _receiveQueue.Append(packet);
    }

    private void DrainOutOfOrder()
    {
        SequenceNumber known = _rcvNxt;
        while (_outOfOrder!.TakeReady(_rcvNxt) is { } ready)
        {
            if (ready.Sequence.Before(known))
            {
                // The segment that filled the gap brought some of what was here already (RFC 2883 4).
                NoteOverlap(ready.Sequence, SequenceNumber.Min(ready.EndSequence, known));
            }

            bool fin = (ready.TcpFlags & TcpFlags.Fin) != 0;
            if (ready.EndSequence.AtOrBefore(_rcvNxt))
            {
                Memory.UnchargeReceive(ready.TrueSize);
                ready.Free();
                continue;
            }

            AppendInOrder(ready, charged: true);
            NotifyIfReadable();
            if (fin)
            {
                OnFin();
                break;
            }
        }
    }

    private void QueueOutOfOrder(PacketBuffer packet)
    {
        if (!TryScheduleReceive(packet))
        {
            _stack.Counters.Add(StackCounter.TcpOfoDrop);
            packet.Free();
            return;
        }

        _stack.Counters.Add(StackCounter.TcpOfoQueue);
        if (OutOfOrder.Displaces(packet.Sequence, packet.EndSequence))
        {
            SendHeldAcks();
        }

        OutOfOrder.Arrivals += Math.Max(1, packet.SegmentCount);
        int length = packet.Length;
        int trueSize = packet.TrueSize;
        bool sack = _sackOk;
        MeasureReceived(packet);
        if (OutOfOrder.Insert(packet, sack, sack && _tcp.Settings.Dsack, out bool merged, out bool duplicate) && sack)
        {
            // Not without SACK: ACKs that say another window are no duplicates to a sender that counts them (RFC 5681 2).
            GrowWindow(length, trueSize);
        }

        GrowReceiveBuffer(_rcvSpace);

        if (merged)
        {
            _stack.Counters.Add(StackCounter.TcpOfoMerge);
        }

        if (duplicate && sack && _tcp.Settings.Dsack)
        {
            _stack.Counters.Add(StackCounter.TcpDsackOfoSent);
        }

        ScheduleAck();
        Memory.Reclaim();
    }

    /// <summary>
    /// Finds memory for a segment that lies inside the window: buys it, and when the buffer is full collapses and prunes before giving up. What was promised in the
    /// window is dropped only when nothing else helps.
    /// </summary>
    private bool TryScheduleReceive(PacketBuffer packet) => HasReceiveRoom(packet) || TryMakeReceiveRoom(packet);

    private bool TryMakeReceiveRoom(PacketBuffer packet)
    {
        _stack.Counters.Add(StackCounter.PruneCalled);
        if (Memory.ReceiveAlloc > Memory.ReceiveBuffer)
        {
            FitWindowToFullBuffer();
        }
        else if (Memory.UnderPressure)
        {
            ClampWindow();
        }

        if ((Omitted & Omission.PressureReclaims) == Omission.None)
        {
            Collapse(_receiveQueue);

            // Also when the buffer has room but the stack's or the group's memory has not (R2.5): what lies beyond a gap can be sent again.
            bool fits;
            while (!(fits = HasReceiveRoom(packet))
                && packet.Sequence.AtOrBefore(_rcvNxt) && _outOfOrder is not null && _outOfOrder.PruneLast())
            {
                _stack.Counters.Add(StackCounter.TcpOfoPruned);
            }

            if (fits)
            {
                return true;
            }
        }

        if (packet.Sequence.AtOrBefore(_rcvNxt) && !HasUnread)
        {
            // The reader has nothing: without this one segment the connection would never move again.
            Memory.ForceSchedule(packet.TrueSize);
            return true;
        }

        _stack.Counters.Add(StackCounter.RcvPruned);
        return false;
    }

    /// <summary>The buffer's limit, the stack's and the group's, and the hard one: what is queued must leave room for what passes.</summary>
    private bool HasReceiveRoom(PacketBuffer packet) =>
        Memory.ReceiveAlloc <= Memory.ReceiveBuffer && !Pool.IsCrowded && Memory.ScheduleReceive(packet.TrueSize);

    /// <summary>Copies runs of badly packed received buffers into fewer slabs (Linux: tcp_collapse).</summary>
    private unsafe void Collapse(PacketList list)
    {
        PacketBuffer? buffer = list.First;
        while (buffer is not null)
        {
            PacketBuffer? next = buffer.Next;
            int run = buffer.Length;
            int cost = buffer.TrueSize;
            int count = 1;
            while (next is not null && run + next.Length <= PacketPool.MediumSlab)
            {
                run += next.Length;
                cost += next.TrueSize;
                count++;
                next = next.Next;
            }

            int size = run <= PacketPool.SmallSlab ? PacketPool.SmallSlab : PacketPool.MediumSlab;
            if (cost > PacketBuffer.ObjectSize + size && run <= size
                && Pool.RentBuffer() is { } packed)
            {
                Slab? slab = Pool.RentSlab(size);
                if (slab is null)
                {
                    packed.Free();
                    return;
                }

                packed.Sequence = buffer.Sequence;
                packed.TcpFlags = 0;
                PacketBuffer? previous = buffer.Previous;
                int at = 0;
                int freed = 0;
                for (int i = 0; i < count; i++)
                {
                    PacketBuffer following = buffer!.Next!;
                    at += buffer.CopyPayloadTo(0, slab.Array.AsSpan(at, buffer.Length));
                    packed.EndSequence = buffer.EndSequence;
                    packed.TcpFlags |= buffer.TcpFlags;
                    list.Remove(buffer);
                    freed += buffer.TrueSize;
                    buffer.Free();
                    buffer = following;
                }

                packed.Append(slab, slab.Address, at);
                packed.TrueSize += slab.Size;
                list.InsertAfter(previous, packed);

                // One entry of the ledger for another: bought and charged stay in step.
                Memory.ForceSchedule(Math.Max(0, packed.TrueSize));
                Memory.ChargeReceive(packed.TrueSize);
                Memory.UnchargeReceive(freed);
                _stack.Counters.Add(StackCounter.TcpRcvCollapsed, count);
            }

            buffer = next;
        }
    }

    /// <summary>The peer has finished sending (RFC 9293 3.10.7.4, eighth).</summary>
    private void OnFin()
    {
        if (_finReceived)
        {
            return;
        }

        _finReceived = true;
        _finSequence = _rcvNxt - 1;
        ScheduleAck();
        switch (State)
        {
            case TcpConnectionState.SynReceived:
            case TcpConnectionState.Established:
                SetState(TcpConnectionState.CloseWait);

                // The application is likely to answer the end with its own: the ACK waits for that like any other, and is not more urgent than one for data (Linux).
                _pingPong = Math.Max(_pingPong, _tcp.Settings.PingPongThreshold);
                break;
            case TcpConnectionState.FinWait1:
                SendAckNow();
                SetState(TcpConnectionState.Closing);
                break;
            case TcpConnectionState.FinWait2:
                SendAckNow();
                EnterTimeWait();
                break;
        }

        _outOfOrder?.Clear();
        Notify(SocketEvents.Readable | (SendShutdown || State == TcpConnectionState.Closed ? SocketEvents.HangUp : SocketEvents.None));
    }

    /// <summary>An urgent pointer came (RFC 9293 3.8.5): notes where the urgent byte is, and takes it when it is in this segment.</summary>
    private void CheckUrgent(PacketBuffer packet)
    {
        uint pointer = packet.UrgentPointer;
        if (pointer > 0 && !_tcp.Settings.StandardUrgent)
        {
            // Linux, BSD and the rest: the pointer names the byte behind the urgent one.
            pointer--;
        }

        SequenceNumber at = packet.Sequence + (int)pointer;
        if (_copiedSeq.After(at) || (_urgentState != UrgentNone && _urgentSequence.AtOrAfter(at))
            || at.Before(_rcvNxt))
        {
            return;
        }

        // A second mark while the reader stands at the first: the first byte was urgent and never becomes part of the stream (Linux).
        SkipUrgent();
        _urgentState = UrgentPending;
        _urgentSequence = at;
        Notify(SocketEvents.Urgent);
    }

    private void TakeUrgent(PacketBuffer packet)
    {
        if (_urgentState != UrgentPending)
        {
            return;
        }

        int offset = _urgentSequence.Since(packet.Sequence);
        if (offset >= 0 && offset < packet.Length)
        {
            Span<byte> one = stackalloc byte[1];
            packet.CopyPayloadTo(offset, one);
            _urgentByte = one[0];
            _urgentState = UrgentValid;
            Notify(SocketEvents.Urgent);
        }
    }
}
