using Penstock.Ownership;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>
/// An epoll instance (epoll(7)): level and edge triggered, one-shot, exclusive. A descriptor is looked at when something happened at it or, level
/// triggered, for as long as it is ready.
/// </summary>
internal sealed class EpollInstance : OpenFile
{
    private const long EdgeTriggered = 1L << 31, OneShot = 1L << 30, WakeUp = 1L << 29, Exclusive = 1L << 28;
    private const long Private = EdgeTriggered | OneShot | WakeUp | Exclusive;
    private const long ExclusiveMay = PollEvents.In | PollEvents.Out | PollEvents.Error | PollEvents.HangUp | WakeUp | EdgeTriggered | Exclusive;

    private readonly List<Item> _items = [];
    private readonly List<Item> _ready = [];

    public override long Poll() => _ready.Exists(item => item.Found() != 0) ? PollEvents.In | PollEvents.ReadNormal : 0;

    public override void Close()
    {
        foreach (Item item in _items)
        {
            item.Disarm();
        }

        _items.Clear();
        _ready.Clear();
    }

    /// <summary>epoll_ctl(2).</summary>
    public Errno Control(long operation, long number, OpenFile file, long events, long data)
    {
        const int Add = 1, Delete = 2, Modify = 3;
        Item? item = _items.Find(i => i.Number == number && i.File == file);
        switch (operation)
        {
            case Add when item is not null:
                return Errno.EEXIST;
            case Add when file is EpollInstance && (events & Exclusive) != 0:
            case Add when (events & Exclusive) != 0 && (events & ~ExclusiveMay) != 0:
                return Errno.EINVAL;
            case Add:
                item = new Item(this, number, file) { Events = events | PollEvents.Error | PollEvents.HangUp, Data = data };
                _items.Add(item);
                item.Arm();
                NoteReady(item);
                return Errno.None;
            case Modify when item is null:
            case Delete when item is null:
                return Errno.ENOENT;
            case Modify when ((item!.Events | events) & Exclusive) != 0:
                return Errno.EINVAL;
            case Modify:
                item!.Events = events | PollEvents.Error | PollEvents.HangUp;
                item.Data = data;
                item.Arm();
                NoteReady(item);
                return Errno.None;
            case Delete:
                Remove(item!);
                return Errno.None;
            default:
                return Errno.EINVAL;
        }
    }

    /// <summary>A descriptor was closed: its entry goes with it.</summary>
    public void Forget(OpenFile file)
    {
        foreach (Item item in _items.FindAll(i => i.File == file))
        {
            Remove(item);
        }
    }

    /// <summary>Subscribes to what is not subscribed to, after anything that may have made a connection or used a subscription up.</summary>
    public void Arm()
    {
        foreach (Item item in _items)
        {
            item.Arm();
        }
    }

    /// <summary>Takes what is ready, at most <paramref name="most"/>, as epoll_wait(2) reports it.</summary>
    public List<(long Events, long Data)> Take(int most)
    {
        Arm();
        var found = new List<(long, long)>();
        foreach (Item item in _ready.ToArray())
        {
            if (found.Count == most)
            {
                break;
            }

            _ready.Remove(item);
            long events = item.Found();
            if (events == 0)
            {
                continue;
            }

            found.Add((events, item.Data));
            if ((item.Events & OneShot) != 0)
            {
                item.Events &= Private;
            }
            else if ((item.Events & EdgeTriggered) == 0)
            {
                _ready.Add(item);
            }
        }

        return found;
    }

    private void Remove(Item item)
    {
        item.Disarm();
        _items.Remove(item);
        _ready.Remove(item);
    }

    private void NoteReady(Item item)
    {
        if (item.Found() != 0)
        {
            OnEvent(item);
        }
    }

    private void OnEvent(Item item)
    {
        if (!_ready.Contains(item))
        {
            _ready.Add(item);
        }
    }

    /// <summary>One descriptor of interest. The stack's one-shot waiter stands for Linux's wait-queue entry.</summary>
    private sealed class Item(EpollInstance epoll, long number, OpenFile file) : SocketWaiter
    {
        private TcpConnection? _armedAt;
        private int _pendingSeen;

        public long Number => number;

        public OpenFile File => file;

        public required long Events { get; set; }

        public required long Data { get; set; }

        private bool IsDisabled => (Events & ~Private) == 0;

        public long Found() => IsDisabled ? 0 : file.Poll() & Events & ~Private;

        public override void Fire(SocketEvents events)
        {
            if (!IsDisabled)
            {
                epoll.OnEvent(this);
            }
        }

        public void Arm()
        {
            if (file is not Descriptor socket)
            {
                // Pipes and files have no wait queue here: they are looked at each time.
                Fire(SocketEvents.All);
                return;
            }

            if (socket.Listener is { } listener)
            {
                if (listener.Pending > _pendingSeen)
                {
                    Fire(SocketEvents.Readable);
                }

                _pendingSeen = listener.Pending;
                return;
            }

            if (socket.Connection is not { } connection || (IsRegistered && _armedAt == connection))
            {
                return;
            }

            if (_armedAt is null)
            {
                // The connection came after the entry: what happened at it so far counts.
                Fire(SocketEvents.All);
            }

            Disarm();
            Interest = Wanted(Events);
            _armedAt = connection;
            connection.Own();
            connection.AddWaiter(this);
            connection.Release();
        }

        public void Disarm() => _armedAt?.RemoveWaiter(this);

        private static SocketEvents Wanted(long events)
        {
            SocketEvents wanted = SocketEvents.Failed | SocketEvents.Released;
            wanted |= (events & (PollEvents.In | PollEvents.ReadNormal | PollEvents.PeerHangUp)) != 0 ? SocketEvents.Readable : 0;
            wanted |= (events & (PollEvents.Out | PollEvents.WriteNormal)) != 0 ? SocketEvents.Writable | SocketEvents.Connected : 0;
            return wanted | ((events & PollEvents.Priority) != 0 ? SocketEvents.Urgent : 0);
        }
    }
}
