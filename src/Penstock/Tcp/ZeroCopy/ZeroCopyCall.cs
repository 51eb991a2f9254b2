using System.Buffers;
using System.Runtime.InteropServices;
using System.Threading.Tasks.Sources;
using Penstock.Buffers;

namespace Penstock.Tcp.ZeroCopy;

/// <summary>
/// One zero-copy send of the application: walks through its memory while it is queued, keeps that memory pinned until no queue refers to it any more, and is what a
/// <see cref="ZeroCopySend"/> waits for. Pooled by its socket: it may be used again as soon as it is released, was handed out, and nobody waits for it; a handle from before then finds
/// another version and knows that its memory is free.
/// </summary>
internal sealed unsafe class ZeroCopyCall(ZeroCopySends sends) : IValueTaskSource, IThreadPoolWorkItem
{
    private const int PageSize = 4096;

    // The send's side; only the caller with the send turn.
    private ReadOnlySequence<byte> _left;
    private SequencePosition _nextRun;
    private byte* _address;
    private int _run;

    // What is held.
    private MemoryHandle _pin;
    private MemoryHandle[] _morePins = [];
    private int _pins;
    private IMemoryOwner<byte>? _owner;
    private bool _counted;

    /// <summary>Giving the memory back runs code of the application's: it has an owner, or a manager that pins it.</summary>
    private bool _runsCode;

    // The waiting side, under the gate.
    private SpinGate _gate;
    private ManualResetValueTaskSourceCore<bool> _core;
    private bool _released, _handedOut, _awaited, _consumed, _closed;

    /// <summary>The older call of the same token; also links those that are being released.</summary>
    public ZeroCopyCall? NextInToken;

    /// <summary>Links the socket's free calls.</summary>
    public ZeroCopyCall? NextFree;

    /// <summary>The token that the call shares; null before it is opened and after it is closed.</summary>
    public ZeroCopyToken? Token { get; private set; }

    public uint Id { get; private set; }

    /// <summary>Bytes to send in all.</summary>
    public long Length { get; private set; }

    /// <summary>Bytes not yet queued.</summary>
    public long Remaining { get; private set; }

    /// <summary>The link cannot send from the application's memory, so the bytes are copied into slabs (R2.13).</summary>
    public bool Copies { get; set; }

    /// <summary>What the call counts against the limit of pinned memory: the pages of each of its segments, as many as it may touch at worst (Linux: mm_account_pinned_pages).</summary>
    public long PinnedBytes { get; private set; }

    /// <summary>Tells handles of this use from those of uses before.</summary>
    public short Version => _core.Version;

    public bool IsOpen => Token is not null;

    /// <summary>Becomes the call for some memory.</summary>
    public void Start(in ReadOnlySequence<byte> data, IMemoryOwner<byte>? owner)
    {
        _left = data;
        _nextRun = data.Start;
        _run = 0;
        Length = Remaining = data.Length;
        PinnedBytes = 0;
        foreach (ReadOnlyMemory<byte> segment in data)
        {
            PinnedBytes += segment.IsEmpty ? 0 : ((segment.Length / PageSize) + 2) * (long)PageSize;
        }

        _owner = owner;
        _runsCode = owner is not null;
        Copies = false;
        _released = _handedOut = _awaited = _consumed = _closed = false;
    }

    public void OnOpened(ZeroCopyToken token, uint id)
    {
        Token = token;
        Id = id;
        _counted = true;
    }

    /// <summary>The next run of pinned memory, at least one byte.</summary>
    public int Peek(out byte* address)
    {
        while (_run == 0)
        {
            if (!_left.TryGet(ref _nextRun, out ReadOnlyMemory<byte> segment))
            {
                throw new InvalidOperationException("The sequence ended before its length: it must not be changed while it is being sent.");
            }

            if (!segment.IsEmpty)
            {
                _runsCode |= MemoryMarshal.TryGetMemoryManager<byte, MemoryManager<byte>>(segment, out _);
                MemoryHandle pin = segment.Pin();
                Keep(pin);
                _address = (byte*)pin.Pointer;
                _run = segment.Length;
            }
        }

        address = _address;
        return _run;
    }

    /// <summary>The first <paramref name="count"/> bytes of the run are queued.</summary>
    public void Take(int count)
    {
        _address += count;
        _run -= count;
        Remaining -= count;
    }

    public void CopyTo(Span<byte> destination)
    {
        _left.Slice(0, destination.Length).CopyTo(destination);
        _left = _left.Slice(destination.Length);
        Remaining -= destination.Length;
    }

    /// <summary>
    /// The send has ended, with or without success; the call holds its token no longer. Only with the send turn, or when it never got that far. True, once, when nothing was queued: the
    /// caller then has <see cref="ReleaseUnused"/> run, holding nothing.
    /// </summary>
    public bool Close()
    {
        if (_closed)
        {
            return false;
        }

        _closed = true;
        ZeroCopyToken? token = Token;
        Token = null;
        return token is null || sends.Close(this, token);
    }

    /// <summary>The handle for the application; from now on the call may be used again once it is released.</summary>
    public ZeroCopySend HandOut(int queued)
    {
        var handle = new ZeroCopySend(this, Version, Id, queued);
        _gate.Enter();
        _handedOut = true;
        bool free = IsFree();
        _gate.Exit();
        if (free)
        {
            Recycle();
        }

        return handle;
    }

    /// <summary>Gives this call's memory back, and that of the older calls behind it. At top level: what belongs to the application runs here.</summary>
    public void Execute() => sends.Release(this);

    /// <summary>
    /// Gives the memory back at once, on whatever thread and whatever that is in the middle of. False when somebody has to be told, or the application's own code would run: then
    /// <see cref="Release"/> has to follow at top level.
    /// </summary>
    public bool TryReleaseQuietly()
    {
        if (_runsCode)
        {
            return false;
        }

        _ = DropMemory();
        Uncount();
        _gate.Enter();
        bool quiet = !_awaited;
        _released |= quiet;
        bool free = quiet && IsFree();
        _gate.Exit();
        if (free)
        {
            Recycle();
        }

        return quiet;
    }

    /// <summary>Gives back the memory of a call that has queued nothing. At top level: what belongs to the application runs here.</summary>
    public void ReleaseUnused()
    {
        Release();
        sends.OnReleased();
    }

    /// <summary>Gives the memory back and completes who waits.</summary>
    public void Release()
    {
        Exception? failure = DropMemory();

        Uncount();
        _gate.Enter();
        _released = true;
        bool wake = _awaited;
        bool free = IsFree();
        _gate.Exit();
        if (free)
        {
            Recycle();
        }
        else if (wake)
        {
            Complete(failure);
        }
    }

    public ValueTaskSourceStatus GetStatus(short token)
    {
        // All under the gate: once it is released on another thread, the next moment it may be another call's.
        _gate.Enter();
        bool over = token != _core.Version || (_released && !_awaited);
        ValueTaskSourceStatus status = over ? ValueTaskSourceStatus.Succeeded : _core.GetStatus(token);
        _gate.Exit();
        return status;
    }

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        _gate.Enter();
        bool over = token != _core.Version || _released;
        _awaited |= !over;
        _gate.Exit();
        if (over)
        {
            // Released in between: a source of its own runs the continuation where it wants to run.
            var done = default(ManualResetValueTaskSourceCore<bool>);
            done.SetResult(true);
            done.OnCompleted(continuation, state, done.Version, flags);
            return;
        }

        _core.OnCompleted(continuation, state, token, flags);
    }

    public void GetResult(short token)
    {
        // Whoever takes the result first takes the call back to the pool, once: whatever others ask for at the same time, no two sends may get it.
        _gate.Enter();
        bool current = token == _core.Version;
        bool early = current && (_awaited ? _core.GetStatus(token) == ValueTaskSourceStatus.Pending : !_released);
        bool mine = current && _awaited && !early && !_consumed;
        _consumed |= mine;
        _gate.Exit();
        if (early)
        {
            throw new InvalidOperationException("The memory is still in use. Await Released instead of asking for its result.");
        }

        if (!mine)
        {
            return;
        }

        try
        {
            _core.GetResult(token);
        }
        finally
        {
            Recycle();
        }
    }

    /// <summary>Not before it is unpinned, and before anybody is told: the limit then has room for what is sent next.</summary>
    private void Uncount()
    {
        if (_counted)
        {
            _counted = false;
            sends.OnUnpinned(this);
        }
    }

    /// <summary>Released, and nobody waits: who does recycles when it has the result.</summary>
    private bool IsFree() => _released && _handedOut && !_awaited;

    private void Complete(Exception? failure)
    {
        if (failure is null)
        {
            _core.SetResult(true);
        }
        else
        {
            _core.SetException(failure);
        }
    }

    private void Recycle()
    {
        _gate.Enter();
        _core.Reset();
        _gate.Exit();
        sends.Return(this);
    }

    private void Keep(MemoryHandle pin)
    {
        if (_pins == 0)
        {
            _pin = pin;
        }
        else
        {
            if (_pins > _morePins.Length)
            {
                Array.Resize(ref _morePins, Math.Max(4, _morePins.Length * 2));
            }

            _morePins[_pins - 1] = pin;
        }

        _pins++;
    }

#pragma warning disable CA1031 // The application's own code fails while it takes its memory back: whoever waits for that is told, and the rest of the memory goes back all the same.
    private Exception? DropMemory()
    {
        Exception? failure = null;
        _left = default;
        _nextRun = default;
        while (_pins > 0)
        {
            _pins--;
            ref MemoryHandle pin = ref _pins == 0 ? ref _pin : ref _morePins[_pins - 1];
            MemoryHandle held = pin;
            pin = default;
            try
            {
                held.Dispose();
            }
            catch (Exception error)
            {
                failure ??= error;
            }
        }

        IMemoryOwner<byte>? owner = _owner;
        _owner = null;
        try
        {
            owner?.Dispose();
        }
        catch (Exception error)
        {
            failure ??= error;
        }

        return failure;
    }
#pragma warning restore CA1031
}
