using System.Diagnostics;
using System.Runtime.CompilerServices;
using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Time;

namespace Penstock.Ownership;

/// <summary>
/// The socket lock with its backlog (Linux: <c>socket_lock_t</c> and <c>sk_backlog</c>). A socket has one owner at a time, a logical context: a call of the
/// application, a packet, a timer. The inner word guards only the owned flag, the links of the backlog and of the waiters, for tens of
/// nanoseconds; no TCP processing, no copy and no callback runs under it. Packets that meet an owned socket wait in the backlog, and the owner works it off:
/// when it releases, and in a long send before each new buffer (<see cref="FlushBacklog"/>), without giving the socket up.
/// </summary>
internal abstract partial class OwnedSocket(Worker worker) : FlowEntry, IWakeTarget
{
    /// <summary>Rounds that a contender looks again before it queues: the usual owner is done within a microsecond.</summary>
    private const int SpinRounds = 30;

    private SpinGate _inner;
    private bool _owned;
    private PacketBuffer? _backlogHead;
    private PacketBuffer? _backlogTail;
    private long _backlogBytes;
    private int _backlogPackets;
    private LockWaiter? _waiterHead;
    private LockWaiter? _waiterTail;
    private int _deferred;
    private AsyncLockWaiter? _spareLockWaiter;
    private SocketEvents _pendingEvents;
    private SocketEvents _collectedEvents;
    private WaitQueue _waiters;
    private DirectReceiver? _receiver;
    private long _stepNanos;
    private long _latestNanos;

    /// <summary>The worker that this socket's packets and timers run on.</summary>
    public Worker Worker { get; protected set; } = worker;

    public bool IsOwned => Volatile.Read(ref _owned);

    /// <summary>True size of what waits, or waited since the last complete drain (R1.3).</summary>
    public long BacklogBytes => Volatile.Read(ref _backlogBytes);

    public int BacklogPackets => Volatile.Read(ref _backlogPackets);

    /// <summary>Times that the inner word was taken: tests count it to prove that the fast path of a flush takes none.</summary>
    internal int InnerEntries { get; private set; }

    /// <summary>Rules that this socket does without, for tests of the tests.</summary>
    internal Omission Omitted;

    IWakeTarget? IWakeTarget.NextWake { get; set; }

    bool IWakeTarget.WakeCollected { get; set; }

    /// <summary>
    /// The time of the owner's present step, read when it is first asked for: reading a clock costs as much as much of what a step does (Linux: <c>tcp_mstamp</c>). A step is one packet, one timer, one
    /// segment that is sent, or what a call does between two of them. Only the owner.
    /// </summary>
    protected long StepNanos
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _stepNanos != 0 ? _stepNanos : ReadStepNanos();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private long ReadStepNanos() => _stepNanos = _latestNanos = Worker.ReadNanos();

    /// <summary>Another step begins: time has passed.</summary>
    protected void BeginStep() => _stepNanos = 0;

    /// <summary>
    /// Another step begins, at a time that was read before the socket was owned; 0 for none. Who owned it in between may have had a later one: then the clock is read again, for a socket's time does not go backward (peers
    /// drop what carries an older timestamp, RFC 7323 5). Nor does it stand still: what answers a segment of this very moment, from another worker of the same thread, was not on its way for no time at all.
    /// </summary>
    private void BeginStepWith(long nanos)
    {
        if (nanos <= _latestNanos)
        {
            nanos = 0;
        }
        else
        {
            _latestNanos = nanos;
        }

        _stepNanos = nanos;
    }

    /// <summary>Owning, right now or not at all.</summary>
    public bool TryOwn()
    {
        EnterInner();
        bool mine = !_owned;
        if (mine)
        {
            _owned = true;
            _stepNanos = 0;
        }

        _inner.Exit();
        return mine;
    }

    /// <summary>Owning, after waiting on this thread if need be. Only for blocking members.</summary>
    public void Own()
    {
        if (SpinToOwn())
        {
            return;
        }

        Worker.Driver.AssertMayBlock("the async form");
        var waiter = new BlockingLockWaiter();
        if (!OwnOrQueue(waiter))
        {
            waiter.Wait();
        }
    }

    /// <summary>Owning, after waiting as an awaitable if need be. First come, first served; does not allocate in steady state.</summary>
    public ValueTask OwnAsync()
    {
        if (SpinToOwn())
        {
            return ValueTask.CompletedTask;
        }

        return OwnQueuedAsync();
    }

    /// <summary>
    /// A packet has arrived for this socket. Free: the worker becomes the owner, processes it and releases. Owned: it goes to the backlog, or is dropped when that
    /// is full (R1.2, R1.4).
    /// </summary>
    public void ReceivePacket(PacketBuffer packet, Worker worker)
    {
        if (MeasuresWaits)
        {
            // Before the inner word: nobody reads a clock under it.
            packet.QueuedNanos = Worker.NowNanos;
        }

        EnterInner();
        if (!_owned)
        {
            _owned = true;
            _inner.Exit();
            BeginStepWith(worker == Worker ? worker.TakeFreshNanos() : 0);
            ProcessPacket(packet);
            if ((_pendingEvents & SocketEvents.Readable) != 0 && worker == Worker && _receiver is { } receiver && !_waiters.HasWaiters && (Omitted & Omission.DirectReceive) == Omission.None
                && receiver.TryDeliver(worker))
            {
                _receiver = null;
                _pendingEvents &= ~SocketEvents.Readable;
            }

            Release(worker);
            return;
        }

        if ((Omitted & Omission.OwnedPacketWaits) != Omission.None)
        {
            _inner.Exit();
            ProcessPacket(packet);
            return;
        }

        BacklogOutcome outcome = AppendToBacklog(packet);
        _inner.Exit();
        OnBacklog(outcome);
        if (outcome != BacklogOutcome.Queued)
        {
            packet.Free();
        }
    }

    /// <summary>Runs <paramref name="work"/> now if the socket is free, else leaves a note that the owner finds at its next flush or release. <paramref name="worker"/> is the worker this runs on, null elsewhere.</summary>
    public void RunOrDefer(DeferredWork work, Worker? worker)
    {
        EnterInner();
        if (_owned)
        {
            _deferred |= (int)work;
            _inner.Exit();
            OnDeferred(work);
            return;
        }

        _owned = true;
        _inner.Exit();
        BeginStep();
        RunDeferred(work);
        Release(worker);
    }

    /// <summary>
    /// Processes everything that waits in the backlog and what was deferred, keeping ownership throughout (R1.7). False, at the price of two plain reads,
    /// when there was nothing.
    /// </summary>
    public bool FlushBacklog(bool runDeferred)
    {
        Debug.Assert(_owned);
        if (Volatile.Read(ref _backlogTail) is null && (!runDeferred || Volatile.Read(ref _deferred) == 0))
        {
            if ((Omitted & Omission.FlushWithoutLock) != Omission.None)
            {
                EnterInner();
                _inner.Exit();
            }

            return false;
        }

        if ((Omitted & Omission.FlushKeepsSocket) != Omission.None)
        {
            Release();
            Own();
            return true;
        }

        EnterInner();
        DrainHoldingInner();
        _backlogBytes = 0;
        DeferredWork work = runDeferred ? TakeDeferredHoldingInner() : DeferredWork.None;
        _inner.Exit();
        if (work != DeferredWork.None)
        {
            BeginStep();
            RunDeferred(work);
        }

        BeginStep();
        return true;
    }

    /// <summary>
    /// Gives the socket up: drains the backlog, runs what was deferred, hands the socket to the first waiter or frees it, then fires wake-ups. On the socket's own worker the
    /// wake-ups are collected and fired at the end of its batch. A send that ends gives its turn on in the same moment.
    /// </summary>
    /// <remarks>
    /// What is deferred runs outside of the inner word, so packets may come in meanwhile and there may be another round; each drain may defer an ACK. The backlog's length is therefore kept until
    /// the last round: a flood meets the limit and the release ends (R1.5).
    /// </remarks>
    public void Release(Worker? onWorker = null, bool givesTurn = false)
    {
        Debug.Assert(_owned);
        EnterInner();
        while (true)
        {
            DrainHoldingInner();
            DeferredWork work = TakeDeferredHoldingInner();
            if (work == DeferredWork.None || (Omitted & Omission.ReleaseRunsDeferred) != Omission.None)
            {
                break;
            }

            _inner.Exit();
            BeginStep();
            RunDeferred(work);
            EnterInner();
            if ((Omitted & Omission.BacklogLengthKept) != Omission.None)
            {
                _backlogBytes = 0;
            }
        }

        _backlogBytes = 0;
        SocketEvents events = _pendingEvents;
        _pendingEvents = SocketEvents.None;
        DirectReceiver? receiver = null;
        if (events != SocketEvents.None && _receiver is { } waiting && (waiting.Interest & events) != 0)
        {
            receiver = waiting;
            _receiver = null;
        }

        LockWaiter? next = _waiterHead;
        if (next is null)
        {
            Volatile.Write(ref _owned, false);
        }
        else
        {
            // Handed over: the flag stays set, so nobody can come in between.
            _stepNanos = 0;
            _waiterHead = next.NextWaiter;
            if (_waiterHead is null)
            {
                _waiterTail = null;
            }
        }

        LockWaiter? sender = givesTurn ? _turn.Give() : null;
        _inner.Exit();
        next?.Grant();
        sender?.Grant();
        if (receiver is not null || (events != SocketEvents.None && _waiters.HasWaiters))
        {
            Wake(events, receiver, onWorker);
        }
    }

    /// <summary>Who subscribes from here on has looked for himself.</summary>
    private void Wake(SocketEvents events, DirectReceiver? receiver, Worker? onWorker)
    {
        // A packet or an ICMP message may come in by another queue's worker; only the socket's own may collect, its list is not shared.
        bool collects = onWorker is not null && onWorker == Worker;
        if (_waiters.HasWaiters && collects)
        {
            // Plain: the worker that runs has it to itself.
            _collectedEvents |= events;
            onWorker!.CollectWake(this);
        }
        else
        {
            _waiters.Fire(events);
        }

        if (receiver is not null && collects)
        {
            onWorker!.CollectWake(receiver);
        }
        else
        {
            receiver?.FireWake();
        }
    }

    /// <summary>Notes an event; it is fired after release. Only the owner.</summary>
    protected void Notify(SocketEvents events) => _pendingEvents |= events;

    /// <summary>Subscribes. Only the owner, who has just seen that what it wants is not there yet.</summary>
    public void AddWaiter(SocketWaiter waiter) => _waiters.Add(waiter);

    /// <summary>Subscribes who waits to receive; there is one at a time. Only the owner, who has just seen that there is nothing.</summary>
    public void AwaitData(DirectReceiver receiver) => _receiver = receiver;

    /// <summary>Subscribes for the socket's life: <paramref name="observer"/> stays when it has fired.</summary>
    public void Observe(SocketWaiter observer) => _waiters.Observe(observer);

    /// <summary>Unsubscribes; false when the waiter has fired or is about to. Anybody.</summary>
    public bool RemoveWaiter(SocketWaiter waiter) => _waiters.Remove(waiter);

    /// <summary>Fires at once. Only at top level, owning nothing: what is fired may run at once.</summary>
    protected void FireAtTopLevel(SocketEvents events) => _waiters.Fire(events);

    void IWakeTarget.FireWake()
    {
        SocketEvents events = _collectedEvents;
        _collectedEvents = SocketEvents.None;
        _waiters.Fire(events);
    }

    /// <summary>Drops what waits in the backlog, for a socket that is going away with its stack.</summary>
    protected void DropBacklog()
    {
        EnterInner();
        PacketBuffer? packet = _backlogHead;
        _backlogHead = _backlogTail = null;
        _backlogBytes = _backlogPackets = 0;
        _inner.Exit();
        while (packet is not null)
        {
            PacketBuffer? next = packet.Next;
            packet.Free();
            packet = next;
        }
    }

    /// <summary>Runs the protocol on one packet, owning the socket; takes the packet over.</summary>
    protected abstract void ProcessPacket(PacketBuffer packet);

    /// <summary>Does what was deferred, owning the socket.</summary>
    protected abstract void RunDeferred(DeferredWork work);

    /// <summary>Bytes of true size that the backlog may hold together with what is in the receive queues (R1.4).</summary>
    protected internal abstract long BacklogLimit { get; }

    /// <summary>True size of what waits to be received, part of the limit test.</summary>
    protected abstract int BacklogReceiveBytes { get; }

    /// <summary>Merges <paramref name="packet"/> into <paramref name="tail"/> if both carry one stream on (R: tcp_add_backlog); leaves it empty then. Under the inner word: comparisons and links only.</summary>
    protected abstract bool TryCoalesce(PacketBuffer tail, PacketBuffer packet);

    /// <summary>Called after each attempt to queue, outside of the inner word: for counters.</summary>
    protected abstract void OnBacklog(BacklogOutcome outcome);

    /// <summary>Packets are stamped when they arrive, so that <see cref="OnWaited"/> hears how long they waited.</summary>
    protected virtual bool MeasuresWaits => false;

    /// <summary>A packet that came in at <paramref name="queuedNanos"/> has left the backlog and is processed next; a merged one tells of its first part. Outside of the inner word.</summary>
    protected virtual void OnWaited(long queuedNanos)
    {
    }

    /// <summary>Called when something had to be deferred, for counters.</summary>
    protected virtual void OnDeferred(DeferredWork work)
    {
    }

    private void EnterInner()
    {
        _inner.Enter();
        InnerEntries++;
    }

    /// <summary>Owning, after looking again for as long as the usual owner takes; false: it is time to queue.</summary>
    internal bool SpinToOwn()
    {
        for (int i = 0; i < SpinRounds; i++)
        {
            if (!Volatile.Read(ref _owned) && Volatile.Read(ref _waiterHead) is null && TryOwn())
            {
                return true;
            }

            Thread.SpinWait(8);
        }

        return false;
    }

    /// <summary>Owning at once, or queues <paramref name="waiter"/> for it; true when owned at once.</summary>
    internal bool OwnOrQueue(LockWaiter waiter)
    {
        EnterInner();
        bool mine = !_owned;
        if (mine)
        {
            _owned = true;
            _stepNanos = 0;
        }
        else if ((Omitted & Omission.WaitersInOrder) != Omission.None)
        {
            waiter.NextWaiter = _waiterHead;
            _waiterHead = waiter;
            _waiterTail ??= waiter;
        }
        else
        {
            waiter.NextWaiter = null;
            if (_waiterTail is null)
            {
                _waiterHead = waiter;
            }
            else
            {
                _waiterTail.NextWaiter = waiter;
            }

            _waiterTail = waiter;
        }

        _inner.Exit();
        return mine;
    }

    [System.Runtime.CompilerServices.AsyncMethodBuilder(typeof(System.Runtime.CompilerServices.PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask OwnQueuedAsync()
    {
        AsyncLockWaiter waiter = Interlocked.Exchange(ref _spareLockWaiter, null) ?? new AsyncLockWaiter(Worker.Driver);
        waiter.Reset();
        if (!OwnOrQueue(waiter))
        {
            await waiter.Task.ConfigureAwait(false);
        }

        _spareLockWaiter = waiter;
    }

    private BacklogOutcome AppendToBacklog(PacketBuffer packet)
    {
        int size = packet.TrueSize;
        if (_backlogTail is { } tail)
        {
            int before = tail.TrueSize;
            if (TryCoalesce(tail, packet))
            {
                // Done even above the limit: the payload is there already and growth ends at the fragments' number.
                _backlogBytes += tail.TrueSize - before;
                return BacklogOutcome.Coalesced;
            }
        }

        // R1.4: the packet's own size is not counted, so that one always fits an empty backlog.
        long own = (Omitted & Omission.BacklogFirstFits) != Omission.None ? size : 0;
        if (_backlogBytes + own + BacklogReceiveBytes > BacklogLimit && (Omitted & Omission.BacklogLimit) == Omission.None)
        {
            return BacklogOutcome.Dropped;
        }

        packet.Next = null;
        if ((Omitted & Omission.BacklogOrder) != Omission.None && _backlogTail is not null)
        {
            packet.Next = _backlogHead;
            _backlogHead = packet;
            _backlogBytes += size;
            _backlogPackets++;
            return BacklogOutcome.Queued;
        }

        if (_backlogTail is null)
        {
            _backlogHead = packet;
        }
        else
        {
            _backlogTail.Next = packet;
        }

        Volatile.Write(ref _backlogTail, packet);
        _backlogBytes += size;
        _backlogPackets++;
        return BacklogOutcome.Queued;
    }

    /// <summary>
    /// R1.5: takes the whole chain, processes it outside of the inner word, looks again. The length stays what it is: the caller zeroes it when it is done, so
    /// that a flood meets the limit and the drain ends. Enters and leaves with the inner word held.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void DrainHoldingInner()
    {
        if (_backlogHead is not null)
        {
            DrainWaitingHoldingInner();
        }
    }

    private void DrainWaitingHoldingInner()
    {
        OnDrainBegins();
        do
        {
            PacketBuffer? packet = _backlogHead;
            _backlogHead = null;
            Volatile.Write(ref _backlogTail, null);
            _backlogPackets = 0;
            _inner.Exit();
            while (packet is not null)
            {
                PacketBuffer? next = packet.Next;
                packet.Next = null;
                if (packet.QueuedNanos != 0)
                {
                    OnWaited(packet.QueuedNanos);
                }

                BeginStep();
                ProcessPacket(packet);
                packet = next;
            }

            EnterInner();
            if ((Omitted & Omission.BacklogLengthKept) != Omission.None)
            {
                _backlogBytes = 0;
            }
        }
        while (_backlogHead is not null);
        if (OnDrainEnds())
        {
            _deferred |= (int)DeferredWork.AckNeeded;
        }
    }

    /// <summary>A drain begins, under the inner word: set a flag, no more.</summary>
    protected virtual void OnDrainBegins()
    {
    }

    /// <summary>A drain has ended, under the inner word; true when it left an ACK to be sent once for all of it.</summary>
    protected virtual bool OnDrainEnds() => false;

    private DeferredWork TakeDeferredHoldingInner()
    {
        var work = (DeferredWork)_deferred;
        _deferred = 0;
        return work;
    }
}

/// <summary>What became of a packet that met an owned socket.</summary>
internal enum BacklogOutcome
{
    Queued,
    Coalesced,
    Dropped,
}
