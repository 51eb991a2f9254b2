using System.Runtime.CompilerServices;
using Penstock.Buffers;
using Penstock.Ip;

namespace Penstock.Time;

/// <summary>
/// Where packets and timers are processed: a ready queue and the timers of one receive queue. Everything on it runs at top
/// level, owning no socket (Linux's softirq). Any thread may post; whoever the driver appoints runs it, one at a time. Wake-ups of
/// applications are collected and fired once per batch.
/// </summary>
internal sealed class Worker
{
    /// <summary>Packets taken from the ready queue between two looks at the timers (Linux: NAPI's weight).</summary>
    private const int Batch = 64;

    private readonly Driver _driver;
    private SpinGate _gate;
    private PacketBuffer? _readyHead;
    private PacketBuffer? _readyTail;
    private PacketBuffer? _current;
    private PacketBuffer? _currentTail;
    private WorkItem? _itemHead;
    private WorkItem? _itemTail;
    private IWakeTarget? _wakeHead;
    private IWakeTarget? _wakeTail;
    private bool _running;
    private int _thread;
    private int _currentCount;
    private long _freshNanos;

    /// <summary>The time, when the packets that are next came from a batch on this thread and it was known; else 0.</summary>
    private long _postedNanos;
    private int _readyCount;
    private bool _closed;

    public Worker(Driver driver, int index)
    {
        _driver = driver;
        Index = index;
    }

    public int Index { get; }

    public Driver Driver => _driver;

    public TimerQueue Timers { get; } = new();

    public long NowNanos => _driver.NowNanos;

    /// <summary>Reads the clock for a step of a socket. In a batch the time serves those, too, whom what the step sends comes to on this very thread.</summary>
    public long ReadNanos()
    {
        long now = _driver.NowNanos;
        if (IsOwnThread && _driver.RoundNanos != 0)
        {
            _driver.RoundNanos = now;
        }

        return now;
    }

    /// <summary>
    /// The time that was read last in the batch that the driver is running, of this worker or another, for what needs no better one: reading a clock costs as much as much of what a packet does. While none
    /// runs the last batch may be long ago, and what arrives would seem to have come before what it answers: the clock's time then.
    /// </summary>
    public long RecentNanos => !_driver.IsVirtual && _driver.RoundNanos is not 0 and var round ? round : _driver.NowNanos;

    /// <summary>Packets that wait in the ready queue.</summary>
    public int ReadyCount => Volatile.Read(ref _readyCount) + Volatile.Read(ref _currentCount);

    /// <summary>The earliest moment at which there is something to do; now or before when packets wait.</summary>
    public long NextDeadlineNanos => HasReady ? long.MinValue : Timers.NextNanos;

    /// <summary>True while somebody runs this worker; nobody else can then.</summary>
    public bool IsRunning => Volatile.Read(ref _running);

    /// <summary>True when packets or work items wait.</summary>
    public bool HasReady =>
        Volatile.Read(ref _readyHead) is not null || Volatile.Read(ref _itemHead) is not null || _current is not null;

    /// <summary>True when a packet follows the one that is being received now. Only from within <see cref="Run"/>.</summary>
    public bool HasMorePackets => _current is not null || Volatile.Read(ref _readyHead) is not null;

    /// <summary>
    /// The thread that runs this worker, by its managed id, from its first run to its last; 0 when it may be any. Set by that thread.
    /// </summary>
    public int Thread
    {
        set => _thread = value;
    }

    /// <summary>Whom the last segment was for: the next one is likely to be, too. Only from within <see cref="Run"/>.</summary>
    public FlowEntry? RecentFlow;

    /// <summary>Asked by the thread that runs this worker, if there is but one.</summary>
    private bool IsOwnThread => _thread != 0 && _thread == CurrentThread.Id;

    /// <summary>Told at the end of each batch of packets; set before the worker first runs.</summary>
    public IBatchEnd? BatchEnd { get; init; }

    /// <summary>Files a timer of something that lives on this worker and wakes the driver if it became the earliest.</summary>
    public void Arm(TimerEntry entry, long atNanos)
    {
        if (Timers.File(entry, atNanos))
        {
            _driver.Wake(this);
        }
    }

    /// <summary>Appends a received packet; <see cref="PacketBuffer.Ingress"/> says where it came in. Any thread.</summary>
    public void Post(PacketBuffer packet) => Post(packet, packet, 1);

    /// <summary>Appends <paramref name="count"/> received packets, linked from <paramref name="first"/> to <paramref name="last"/>. Any thread.</summary>
    public void Post(PacketBuffer first, PacketBuffer last, int count)
    {
        last.Next = null;
        if (IsOwnThread && !_closed && Volatile.Read(ref _readyHead) is null)
        {
            // The thread that will process them brings them itself: nobody to exclude, nobody to wake. Not past what others have posted before.
            if (_current is null && !_running)
            {
                // Not what a batch posts to its own worker: it may be gone again when the next batch begins, long after.
                _postedNanos = _driver.RoundNanos;
            }

            Append(first, last);
            _currentCount += count;
            return;
        }

        _gate.Enter();
        if (_closed)
        {
            _gate.Exit();
            FreeChain(first);
            return;
        }

        bool wasEmpty = _readyHead is null;
        if (wasEmpty)
        {
            _readyHead = first;
        }
        else
        {
            _readyTail!.Next = first;
        }

        _readyTail = last;
        _readyCount += count;
        _gate.Exit();
        if (wasEmpty)
        {
            _driver.Wake(this);
        }
    }

    /// <summary>Has <paramref name="item"/> run on this worker once, soon. Posting it again before it ran does nothing.</summary>
    public void Post(WorkItem item)
    {
        if (Interlocked.Exchange(ref item.Posted, 1) != 0)
        {
            return;
        }

        item.NextItem = null;
        _gate.Enter();
        bool wasEmpty = _itemHead is null;
        if (wasEmpty)
        {
            _itemHead = item;
        }
        else
        {
            _itemTail!.NextItem = item;
        }

        _itemTail = item;
        _gate.Exit();
        if (wasEmpty)
        {
            _driver.Wake(this);
        }
    }

    /// <summary>Collects a wake-up while the worker runs, to be fired once at the end of the batch. Only from within <see cref="Run"/>.</summary>
    public void CollectWake(IWakeTarget target)
    {
        if (target.WakeCollected)
        {
            return;
        }

        target.WakeCollected = true;
        target.NextWake = null;
        if (_wakeTail is null)
        {
            _wakeHead = target;
        }
        else
        {
            _wakeTail.NextWake = target;
        }

        _wakeTail = target;
    }

    /// <summary>
    /// Runs one batch: work items, ready packets and due timers. Returns true when more packets or work items wait. Its driver sees to it that one thread at a time runs it; does nothing
    /// when called from within.
    /// </summary>
    public bool Run()
    {
        if (_running)
        {
            return false;
        }

        _running = true;
        try
        {
            RunBatch();
        }
        finally
        {
            FireWakes();
            _driver.RoundNanos = 0;
            Volatile.Write(ref _running, false);
        }

        // Whether a deadline has passed meanwhile is for the driver to see, which looks at the next one before it sleeps.
        return HasReady;
    }

    /// <summary>A method of its own: what a protected block uses is kept in memory, not in registers.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RunBatch()
    {
        // What another of this thread's workers has just sent has the time of its sending, and that is when it came: no look at the clock for each of two ends.
        long now = _postedNanos != 0 ? _postedNanos : NowNanos;
        _postedNanos = 0;
        _driver.RoundNanos = now;
        _freshNanos = now;
        RunItems();
        RunPackets();
        RunTimers(now);
    }

    /// <summary>The time for the step of the first packet of a batch, read just before it; 0 for every other, which reads its own. Only from within <see cref="Run"/>.</summary>
    public long TakeFreshNanos()
    {
        long fresh = _freshNanos;
        _freshNanos = 0;
        return fresh;
    }

    /// <summary>Frees what still waits. The driver has been stopped.</summary>
    public void Close()
    {
        _gate.Enter();
        _closed = true;
        PacketBuffer? packet = _readyHead;
        _readyHead = _readyTail = null;
        _readyCount = 0;
        _gate.Exit();
        FreeChain(packet);
        FreeChain(_current);
        _current = _currentTail = null;
        _currentCount = 0;
    }

    private static void FreeChain(PacketBuffer? packet)
    {
        while (packet is not null)
        {
            PacketBuffer? next = packet.Next;
            packet.Free();
            packet = next;
        }
    }

    /// <summary>
    /// After the packets: a worker that comes late finds both the ACK that has arrived meanwhile and the deadline that waited for it, and the ACK came first. So it is, too, with packets that a
    /// timer has brought, a cable's for one: the timers behind it wait for another round, unless there are more packets than a batch takes.
    /// </summary>
    private void RunTimers(long now)
    {
        bool behind = HasMorePackets;

        // Bounded, so that timers that re-arm for "now" can not starve packets.
        for (int i = 0; i < Batch && Timers.TakeDue(now) is { } due; i++)
        {
            due.OnTimer(now);
            if (!behind && HasMorePackets)
            {
                break;
            }
        }
    }

    private void RunItems()
    {
        if (Volatile.Read(ref _itemHead) is null)
        {
            return;
        }

        _freshNanos = 0;
        _gate.Enter();
        WorkItem? item = _itemHead;
        _itemHead = _itemTail = null;
        _gate.Exit();
        while (item is not null)
        {
            WorkItem? next = item.NextItem;
            Volatile.Write(ref item.Posted, 0);
            item.OnWorker(this);
            item = next;
        }
    }

    private void RunPackets()
    {
        for (int i = 0; i < Batch; i++)
        {
            if (_current is null && !TakeReady())
            {
                break;
            }

            PacketBuffer packet = _current!;
            _current = packet.Next;
            _currentCount--;
            _current?.PrefetchForReceive();

            packet.Next = null;
            packet.Ingress!.Receive(packet, this);
            _freshNanos = 0;
        }

        BatchEnd?.OnBatchEnd(this);
    }

    /// <summary>Detaches the whole ready chain at once: one gate entry per burst, not per packet.</summary>
    private bool TakeReady()
    {
        if (Volatile.Read(ref _readyHead) is null)
        {
            return false;
        }

        _gate.Enter();
        (_current, _currentTail) = (_readyHead, _readyTail);
        _readyHead = _readyTail = null;
        _currentCount = _readyCount;
        _readyCount = 0;
        _gate.Exit();
        return _current is not null;
    }

    private void Append(PacketBuffer first, PacketBuffer last)
    {
        if (_current is null)
        {
            _current = first;
        }
        else
        {
            _currentTail!.Next = first;
        }

        _currentTail = last;
    }

    private void FireWakes()
    {
        while (_wakeHead is { } target)
        {
            _wakeHead = target.NextWake;
            if (_wakeHead is null)
            {
                _wakeTail = null;
            }

            target.NextWake = null;
            target.WakeCollected = false;
            target.FireWake();
        }
    }
}

/// <summary>A socket with wake-ups to deliver once the worker's batch is done.</summary>
internal interface IWakeTarget
{
    /// <summary>Link of the worker's list; only the worker that runs touches it.</summary>
    IWakeTarget? NextWake { get; set; }

    bool WakeCollected { get; set; }

    void FireWake();
}
