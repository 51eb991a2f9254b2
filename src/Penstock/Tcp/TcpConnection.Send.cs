using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Tcp.Pacing;
using Penstock.Tcp.ZeroCopy;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>How far a run of the send loop came.</summary>
internal enum SendStatus
{
    /// <summary>Everything is queued.</summary>
    Done,

    /// <summary>The send buffer is full, or memory is short: wait for <see cref="SocketEvents.Writable"/> and run again.</summary>
    WouldBlock,

    /// <summary>The connection cannot send; <see cref="TcpConnection.SendError"/> says why.</summary>
    Failed,
}

/// <summary>
/// The send loop: copies into the write queue, buffer by buffer, and before each new buffer works off what has arrived meanwhile, without giving the socket up. Holds no pointer into the queues across such a
/// flush: the peer may have acknowledged, reset or shrunk anything.
/// </summary>
internal sealed partial class TcpConnection
{
    private FlushPolicy _flush = new();
    private bool _tailWithheld;
    private int _flushClockReads;
    private bool _sendWaits;
    private long _memoryAtNanos = Never;

    /// <summary>Waits for the turn to send, until it is given or the call is canceled; kept for reuse by the handle.</summary>
    internal sealed class SendTurnWaiter(TcpConnection connection) : AsyncLockWaiter(connection.Worker.Driver)
    {
        /// <summary>Has left the queue, unless the turn was given already.</summary>
        public void Cancel()
        {
            if (connection.TryLeaveTurn(this))
            {
                Leave();
            }
        }
    }

    /// <summary>Why the last run failed.</summary>
    public SocketError SendError { get; private set; }

    /// <summary>
    /// Queues as much of <paramref name="source"/> as fits. The caller owns the connection and has the send turn. <paramref name="copied"/> is added to, also when the run
    /// ends with an error or the source throws.
    /// </summary>
    public SendStatus RunSend<TSource>(ref TSource source, TcpSendFlags flags, ref long copied)
        where TSource : ISendSource, allows ref struct
    {
        if (State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
        {
            return SendStatus.WouldBlock;
        }

        if (typeof(TSource) == typeof(ZeroCopySource) && !TryOpen(CallOf(ref source)))
        {
            SendError = SocketError.NoBufferSpaceAvailable;
            return SendStatus.Failed;
        }

        NoteApplicationLimit(SegmentPayload());
        BeginFlushPolicy(source.Remaining);
        long queuedHere = 0;
        while (true)
        {
            // Restart: everything a flush may have changed is read again (R1.10).
            if (_flush.IsTimed)
            {
                _flush.Restart(ReadFlushClock());
            }

            int mss = CurrentMss();
            int goal = (flags & TcpSendFlags.OutOfBand) != 0 && (Omitted & Omission.SizeGoal) == Omission.None ? mss : SizeGoal(mss);
            if (Error != SocketError.Success || SendShutdown || State == TcpConnectionState.Closed)
            {
                if ((Omitted & Omission.PartialCount) != Omission.None)
                {
                    copied = 0;
                }

                return FailSend(flags, mss, queuedHere);
            }

            FillOutcome outcome = FillBuffers(ref source, flags, mss, goal, ref copied, ref queuedHere);
            switch (outcome)
            {
                case FillOutcome.Flushed:
                    continue;
                case FillOutcome.Full:
                case FillOutcome.NoMemory:
                    _sendWaits = true;
                    if ((Omitted & Omission.PushBeforeWait) != Omission.None)
                    {
                        return SendStatus.WouldBlock;
                    }

                    if (queuedHere > 0)
                    {
                        PushAfterSend(flags & ~TcpSendFlags.More, mss, NagleMode.Push);
                    }
                    else
                    {
                        PushPending(mss, NagleMode.Push);
                    }

                    // R1.15a: the buffer may have grown, or the push may have made room. Not when memory was short: there is room then, and
                    // the sender would spin instead of sleeping (R1.15).
                    if (outcome == FillOutcome.Full || (Omitted & Omission.MemoryWaitSleeps) != Omission.None)
                    {
                        CheckSendSpace();
                    }

                    return SendStatus.WouldBlock;
                default:
                    if (queuedHere > 0)
                    {
                        PushAfterSend(flags, mss, _nagle);
                    }

                    return SendStatus.Done;
            }
        }
    }

    /// <summary>No new buffer may be begun: the send buffer's limit is reached, or enough waits to be sent (TCP_NOTSENT_LOWAT).</summary>
    private bool IsSendFull => Memory.WriteQueueBytes >= Memory.SendBuffer || (uint)_writeSeq.Since(_sndNxt) >= NotSentLowWater;

    private enum FillOutcome
    {
        Done,
        Flushed,

        /// <summary>The send buffer's limit is reached.</summary>
        Full,

        /// <summary>The stack's memory is short; a timer is armed.</summary>
        NoMemory,
    }

    private FillOutcome FillBuffers<TSource>(
        ref TSource source, TcpSendFlags flags, int mss, int goal, ref long copied, ref long queuedHere)
        where TSource : ISendSource, allows ref struct
    {
        while (source.Remaining > 0)
        {
            PacketBuffer? tail = _writeQueue.Last;
            if (typeof(TSource) == typeof(ZeroCopySource) && tail is not null && !MayCarry(tail, CallOf(ref source)))
            {
                MarkPush(tail);
                tail = null;
            }

            if (tail is not null && tail.FragmentCount >= PacketBuffer.MaximumFragments && tail.Length < goal && (tail.TcpFlags & (TcpFlags.Fin | TcpFlags.Syn)) == 0)
            {
                // Closed early for want of room for one more piece: it is pushed, as Linux does.
                MarkPush(tail);
            }

            bool makeNew = tail is null || tail.Length >= goal || (tail.Segment & SegmentFlags.EndOfRecord) != 0
                || (tail.TcpFlags & (TcpFlags.Fin | TcpFlags.Syn)) != 0 || tail.FragmentCount >= PacketBuffer.MaximumFragments;

            // The order is Linux's (R1.9): first the buffer's limit, then the backlog, then the allocation.
            if (makeNew && IsSendFull && (Omitted & Omission.LimitBeforeFlush) == Omission.None)
            {
                return FillOutcome.Full;
            }

            if (IsFlushDue(makeNew) && LookAtBacklog(withholdTail: !makeNew))
            {
                return FillOutcome.Flushed;
            }

            if (makeNew)
            {
                if ((Omitted & Omission.LimitBeforeFlush) != Omission.None && IsSendFull)
                {
                    return FillOutcome.Full;
                }

                _nagle &= ~NagleMode.Push;
                PacketBuffer? stale = tail;
                tail = AllocateSendBuffer(IsPlainMemory<TSource>() && source.Remaining <= PacketPool.TinySlab);
                if (tail is null)
                {
                    WaitForMemory();
                    return FillOutcome.NoMemory;
                }

                if (stale is not null && (Omitted & Omission.NoPointerAcrossFlush) != Omission.None && stale.FragmentCount < PacketBuffer.MaximumFragments)
                {
                    tail = stale;
                }

                _flush.OnNewBuffer();
            }

            // Constants for each kind of source once compiled.
            bool copies = typeof(TSource) == typeof(ZeroCopySource) ? CallOf(ref source).Copies : typeof(TSource) != typeof(SlabSource);
            int chunk;
            try
            {
                chunk = copies ? CopyChunk(ref source, tail!, goal)
                    : typeof(TSource) == typeof(SlabSource) ? AttachChunk(Unsafe.As<TSource, SlabSource>(ref source).Runs, tail!, goal)
                    : ReferChunk(CallOf(ref source), tail!, goal);
            }
            catch
            {
                // R1.17: the source failed. Nothing of this chunk counts, and no empty buffer stays behind.
                RemoveEmptyTail();
                if (queuedHere > 0)
                {
                    PushAfterSend(flags, mss, _nagle);
                }

                throw;
            }

            if (chunk == 0)
            {
                RemoveEmptyTail();
                WaitForMemory();
                return FillOutcome.NoMemory;
            }

            if (_flush.IsTimed)
            {
                _flush.OnChunk(chunk, ReadFlushClock(), copies);
            }
            else if (chunk > ShortCopy || !IsPlainMemory<TSource>() || _stack.CopySeam is not null)
            {
                // Time may have passed in the copy: the next stamp is a new one.
                BeginStep();
            }

            copied += chunk;
            queuedHere += chunk;
            if (source.Remaining == 0)
            {
                if ((flags & TcpSendFlags.EndOfRecord) != 0)
                {
                    tail!.Segment |= SegmentFlags.EndOfRecord;
                }

                return FillOutcome.Done;
            }

            if (tail!.Length < goal || (flags & TcpSendFlags.OutOfBand) != 0 || (Omitted & Omission.PushWhileFilling) != Omission.None)
            {
                continue;
            }

            // R1.19: a filled buffer goes out while the next is being filled, as far as the windows known now allow.
            if (_writeSeq.After(_pushedSeq + (int)(_maxWindow >> 1)))
            {
                MarkPush(tail);
                PushPending(mss, NagleMode.Push);
            }
            else if (tail == _writeQueue.First)
            {
                PushOne(mss);
            }
        }

        return FillOutcome.Done;
    }

    /// <summary>Bytes that the send buffer has room for, for a source that has to be fetched first; 0: wait for <see cref="SocketEvents.Writable"/>.</summary>
    public int SendRoom()
    {
        int room = Memory.SendBuffer - Memory.WriteQueueBytes;
        if (room > 0)
        {
            return room;
        }

        _sendWaits = true;
        PushPending(CurrentMss(), NagleMode.Push);
        CheckSendSpace();
        return 0;
    }

    /// <summary>A slab to fetch the next bytes into; null when memory is short: wait for <see cref="SocketEvents.Writable"/>.</summary>
    public Slab? RentForSend(int bytes)
    {
        bool first = _writeQueue.First is null && _retransmitQueue.First is null;
        Slab? slab = first ? Pool.RentSlab(bytes, forced: true) : Pool.RentQueueSlab(bytes);
        if (slab is null)
        {
            _tcp.Memory.EnterPressure();
            WaitForMemory();
        }

        return slab;
    }

    /// <summary>What was queued with more to come (MSG_MORE) waits no longer.</summary>
    public void PushCorked() => PushAfterSend(TcpSendFlags.None, CurrentMss(), _nagle);

    /// <summary>To copy so many bytes of plain memory takes no longer than to read a clock.</summary>
    private const int ShortCopy = 2048;

    /// <summary>A constant for each kind of source once compiled.</summary>
    private static bool IsPlainMemory<TSource>()
        where TSource : ISendSource, allows ref struct => typeof(TSource) == typeof(MemorySource) || typeof(TSource) == typeof(SpanSource);

    private static ZeroCopyCall CallOf<TSource>(ref TSource source)
        where TSource : allows ref struct => Unsafe.As<TSource, ZeroCopySource>(ref source).Call;

    private SendStatus FailSend(TcpSendFlags flags, int mss, long queuedHere)
    {
        RemoveEmptyTail();
        if (queuedHere > 0 && State != TcpConnectionState.Closed)
        {
            PushAfterSend(flags, mss, _nagle);
        }

        SendError = Error != SocketError.Success ? Error : SocketError.Shutdown;
        return SendStatus.Failed;
    }

    /// <summary>A new tail buffer, its head bought and charged; by force when nothing is queued at all, so that a socket always makes progress (R2.6).</summary>
    private PacketBuffer? AllocateSendBuffer(bool isShort)
    {
        bool first = _writeQueue.First is null && _retransmitQueue.First is null && (Omitted & Omission.FirstBufferForced) == Omission.None;
        PacketBuffer? buffer = isShort ? Pool.RentBufferForTiny(first) : Pool.RentBuffer(first);
        if (buffer is null)
        {
            _tcp.Memory.EnterPressure();
            return null;
        }

        if (first)
        {
            Memory.ForceSchedule(buffer.TrueSize);
        }
        else if (!Memory.ScheduleSend(buffer.TrueSize))
        {
            buffer.Free();
            return null;
        }

        if (_packetsOut == 0)
        {
            RestartAfterIdle(Now);
        }

        if (_writeQueue.First is null)
        {
            StartBusy(Sending);
        }

        buffer.Sequence = buffer.EndSequence = _writeSeq;
        buffer.TcpFlags = TcpFlags.Ack;
        Memory.ChargeSend(buffer.TrueSize);
        _writeQueue.Append(buffer);
        return buffer;
    }

    /// <summary>
    /// Copies one run of the source into the shared slab and appends it; copied data costs exactly its bytes (R2.8). Returns 0 when there is no memory. The copy may take its time (a page fault, a slow source): the connection stays
    /// owned, packets go to the backlog.
    /// </summary>
    private unsafe int CopyChunk<TSource>(ref TSource source, PacketBuffer tail, int goal)
        where TSource : ISendSource, allows ref struct
    {
        bool only = tail.Length == 0 && tail == _writeQueue.First && _retransmitQueue.First is null;
        if (tail.Length == 0 && source.Remaining <= PacketPool.TinySlab && IsPlainMemory<TSource>())
        {
            return CopyToOwnSlab(ref source, tail, only);
        }

        Slab? slab = _tcp.SendSlabs.Take(only, source.Remaining);
        if (slab is null)
        {
            _tcp.Memory.EnterPressure();
            return 0;
        }

        try
        {
            int room = Math.Min(goal - tail.Length, slab.Size - slab.Used);
            int wanted = (int)Math.Min(source.Remaining, Math.Min(room, (Omitted & Omission.ChunkShrinks) == Omission.None ? _flush.Chunk : room));
            int granted = TryDowngrade(tail) ? GrantCopy(wanted) : 0;
            if (granted == 0)
            {
                return 0;
            }

            byte* address = slab.Address + slab.Used;
            source.Fill(new Span<byte>(address, granted));
            _stack.CopySeam?.OnCopied(granted);
            slab.Used += granted;
            AppendCharged(tail, slab, address, granted);
            return granted;
        }
        finally
        {
            _tcp.SendSlabs.Put(slab);
        }
    }

    /// <summary>A short message begins a buffer in a small slab of its own: nothing is shared then, and nobody else waits for its end to have the memory back.</summary>
    private unsafe int CopyToOwnSlab<TSource>(ref TSource source, PacketBuffer tail, bool only)
        where TSource : ISendSource, allows ref struct
    {
        int wanted = (int)source.Remaining;
        int granted = GrantCopy(wanted);
        Slab? slab = granted == 0 ? null : tail.DetachSlab() ?? Pool.RentQueueSlab(wanted) ?? (only ? Pool.RentSlab(wanted, forced: true) : null);
        if (slab is null)
        {
            if (granted > 0)
            {
                _tcp.Memory.EnterPressure();
            }

            return 0;
        }

        try
        {
            source.Fill(new Span<byte>(slab.Address, granted));
        }
        catch
        {
            slab.Release();
            throw;
        }

        _stack.CopySeam?.OnCopied(granted);
        AppendCharged(tail, slab, slab.Address, granted, referred: true);
        return granted;
    }

    /// <summary>Appends a run that is in a slab already; it costs exactly its bytes, as a copy would. Returns 0 when there is no memory.</summary>
    private unsafe int AttachChunk(ISlabRuns runs, PacketBuffer tail, int goal)
    {
        int length = runs.Peek(out Slab slab, out byte* address);
        bool chargeable = (Omitted & Omission.SpliceDowngrades) != Omission.None || TryDowngrade(tail);
        int granted = chargeable ? GrantCopy(Math.Min(length, goal - tail.Length)) : 0;
        if (granted > 0)
        {
            AppendCharged(tail, slab, address, granted);
            runs.Take(granted);
        }

        return granted;
    }

    private unsafe void AppendCharged(PacketBuffer tail, Slab slab, byte* address, int count, bool referred = false)
    {
        int before = tail.TrueSize;
        if (!tail.TryExtend(slab, address, count))
        {
            if (!referred)
            {
                slab.AddReference();
            }

            tail.Append(slab, address, count);
        }

        tail.TrueSize += (Omitted & Omission.CopyChargedByByte) != Omission.None ? (count + 4095) & ~4095 : count;
        Memory.ForceSchedule(tail.TrueSize - before);
        Memory.ChargeSend(tail.TrueSize - before);
        tail.EndSequence += count;
        _writeSeq += count;
    }

    /// <summary>R2.6: all of it, or what is left of the guaranteed minimum, or nothing.</summary>
    private int GrantCopy(int wanted)
    {
        if (Memory.ScheduleSend(wanted))
        {
            return wanted;
        }

        if ((Omitted & Omission.PartialGrant) != Omission.None)
        {
            return 0;
        }

        int guaranteed = Math.Min(wanted, _tcp.Settings.SendBufferMin - Memory.WriteQueueBytes);
        if (guaranteed > 0)
        {
            Memory.ForceSchedule(guaranteed);
        }

        return Math.Clamp(Memory.ForwardAlloc, 0, wanted);
    }

    private void RemoveEmptyTail()
    {
        if (_writeQueue.Last is { Length: 0 } empty && (empty.TcpFlags & (TcpFlags.Fin | TcpFlags.Syn)) == 0
            && (Omitted & Omission.EmptyTailRemoved) == Omission.None)
        {
            _writeQueue.Remove(empty);
            FreeQueued(empty);
            Memory.Reclaim();
            if (_writeQueue.First is null)
            {
                StopWaitingFor(SendLimit.Busy);
            }
        }
    }

    private void MarkPush(PacketBuffer buffer)
    {
        buffer.TcpFlags |= TcpFlags.Psh;
        _pushedSeq = _writeSeq;
    }

    private void PushAfterSend(TcpSendFlags flags, int mss, NagleMode nagle)
    {
        if (_writeQueue.Last is not { } tail)
        {
            return;
        }

        if ((flags & TcpSendFlags.More) == 0 || _writeSeq.After(_pushedSeq + (int)(_maxWindow >> 1)))
        {
            MarkPush(tail);
        }

        if ((flags & TcpSendFlags.OutOfBand) != 0)
        {
            _sndUp = _writeSeq;
            _urgentMode = true;
        }

        PushPending(mss, (flags & TcpSendFlags.More) != 0 ? NagleMode.Cork : nagle);
    }

    /// <summary>The urgent pointer of a segment, when the urgent byte is within its reach (RFC 9293 3.8.5, in the BSD reading that Linux keeps).</summary>
    private bool UrgentField(SequenceNumber sequence, out ushort field)
    {
        int distance = _sndUp.Since(sequence);
        field = 0;
        if (distance <= 0)
        {
            return false;
        }

        if (distance > 0xFFFF)
        {
            // Out of reach, and said so only by what is among the newest 64 KiB (Linux).
            field = 0xFFFF;
            return (sequence + 0xFFFF).After(_sndNxt);
        }

        field = (ushort)distance;
        return true;
    }

    /// <summary>R1.15: memory was short, not the send buffer: look again after a short random time.</summary>
    private void WaitForMemory()
    {
        _sendWaits = true;
        Arm(ref _memoryAtNanos, Now + (8 + _stack.Random.Next(192)) * Nanos.PerMillisecond);
    }

    private void OnMemoryTimer()
    {
        _memoryAtNanos = Never;
        Notify(SocketEvents.Writable);
    }
}
