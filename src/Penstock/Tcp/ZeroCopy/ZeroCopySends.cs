using System.Buffers;
using Penstock.Buffers;

namespace Penstock.Tcp.ZeroCopy;

/// <summary>
/// The zero-copy sends of one socket: their dense ids (Linux: <c>sk_zckey</c>), the optional memory that open and unread notifications use, and the error queue in which
/// notifications wait to be read. Made when the first such send is. Calls are opened and closed by whoever has the send turn; tokens end on any thread.
/// </summary>
internal sealed class ZeroCopySends(TcpConnection connection) : IThreadPoolWorkItem
{
    // The gate guards everything below; the application's code never runs under it.
    private SpinGate _gate;
    private uint _nextId;
    private int _optionalBytes;
    private ZeroCopyToken? _first;
    private ZeroCopyToken? _last;
    private int _unread;
    private ZeroCopyToken? _freeTokens;
    private ZeroCopyCall? _freeCalls;
    private int _held;
    private int _waitedFor;

    /// <summary>Keeps notifications in the error queue until they are read (Linux: SO_ZEROCOPY). Off, whoever awaits a send is told, and nothing is kept.</summary>
    public bool QueuesNotifications { get; set; }

    internal Omission Omitted => connection.Omitted;

    /// <summary>Optional memory in use, bytes (Linux: <c>sk_omem_alloc</c>).</summary>
    public int OptionalBytes => Volatile.Read(ref _optionalBytes);

    /// <summary>Notifications that wait to be read.</summary>
    public int Unread => Volatile.Read(ref _unread);

    /// <summary>Some memory has not been given back yet: queues or devices refer to it, or its owner is about to be told.</summary>
    public bool HoldsMemory => Volatile.Read(ref _held) > 0;

    /// <summary>The id that the next call gets.</summary>
    public uint NextId
    {
        get => Volatile.Read(ref _nextId);
        set => Volatile.Write(ref _nextId, value);
    }

    public ZeroCopyCall RentCall(in ReadOnlySequence<byte> data, IMemoryOwner<byte>? owner)
    {
        _gate.Enter();
        ZeroCopyCall? call = _freeCalls;
        if (call is not null)
        {
            _freeCalls = call.NextFree;
        }

        _gate.Exit();
        call ??= new ZeroCopyCall(this);
        call.NextFree = null;
        call.Start(data, owner);
        return call;
    }

    public void Return(ZeroCopyCall call)
    {
        _gate.Enter();
        call.NextFree = _freeCalls;
        _freeCalls = call;
        _gate.Exit();
    }

    /// <summary>
    /// Gives a call its id, in the token of the buffer that it will continue or in one of its own (R2.9). False: the limit of optional or of pinned memory is
    /// reached (R2.10).
    /// </summary>
    public bool TryOpen(ZeroCopyCall call, ZeroCopyToken? tail)
    {
        TcpLayer tcp = connection.Stack.Tcp;
        if (!tcp.TryPin(call.PinnedBytes))
        {
            return false;
        }

        _gate.Enter();
        bool joins = tail is not null && tail.Sends == this && tail.First + tail.Count == _nextId && tail.Count < ZeroCopyToken.MaximumCalls
            && tail.Bytes + call.Length <= ZeroCopyToken.MaximumBytes && (Omitted & Omission.TokenExtended) == Omission.None;
        ZeroCopyToken? token = joins ? tail : TakeTokenHoldingGate();
        uint id = _nextId;
        if (token is not null)
        {
            _nextId++;
        }

        _gate.Exit();
        if (token is null)
        {
            tcp.Unpin(call.PinnedBytes);
            return false;
        }

        if (joins)
        {
            token.AddReference();
        }
        else
        {
            token.Start(id);
        }

        token.Add(call);
        call.OnOpened(token, id);
        Interlocked.Increment(ref _held);
        return true;
    }

    /// <summary>
    /// The call holds its token no longer. One that has queued nothing gives its id back, so that ids stay dense, and there is nothing to notify (R2.11): true, its memory is free.
    /// </summary>
    public bool Close(ZeroCopyCall call, ZeroCopyToken token)
    {
        if (call.Remaining < call.Length || (Omitted & Omission.EmptyCallTakesIdBack) != Omission.None)
        {
            token.Release();
            return false;
        }

        token.TakeBack(call);
        Volatile.Write(ref _nextId, _nextId - 1);
        token.Release();
        return true;
    }

    /// <summary>A call that was opened holds nothing any more.</summary>
    public void OnUnpinned(ZeroCopyCall call)
    {
        connection.Stack.Tcp.Unpin(call.PinnedBytes);
        Interlocked.Decrement(ref _held);
    }

    /// <summary>Somebody is about to wait until no memory is held: from now on <see cref="OnReleased"/> follows then.</summary>
    public void NoteWaitedFor() => Interlocked.Exchange(ref _waitedFor, 1);

    /// <summary>Memory was given back without a detour, and somebody may wait for the last of it or for a notification.</summary>
    public void Execute() => OnReleased();

    /// <summary>Wakes who waits for memory to be given back. At top level, owning nothing.</summary>
    public void OnReleased() => connection.OnReleased();

    /// <summary>Nothing refers to the memory any more. Any thread, also in the middle of an owner's work: only notes it, and has the application told at top level.</summary>
    public void OnUnreferenced(ZeroCopyToken token)
    {
        if (token.IsCopied && token.Count > 0)
        {
            connection.Stack.Counters.Add(StackCounter.TcpZeroCopyCopied, (int)token.Count);
        }

        ZeroCopyCall? calls = ReleaseQuietly(token.DetachCalls());
        if (calls is not null)
        {
            connection.Stack.Tcp.OnReleasing();
        }

        _gate.Enter();
        if (token.Count == 0 || !QueuesNotifications || TryMergeHoldingGate(token))
        {
            FreeHoldingGate(token);
        }
        else
        {
            if (_last is null)
            {
                _first = token;
            }
            else
            {
                _last.Next = token;
            }

            _last = token;
            _unread++;
        }

        _gate.Exit();
        if (calls is not null)
        {
            connection.Worker.Driver.Schedule(calls);
        }
        else if (QueuesNotifications || (Volatile.Read(ref _waitedFor) != 0 && !HoldsMemory))
        {
            connection.Worker.Driver.Schedule(this);
        }
    }

    /// <summary>Gives memory back without a detour where nobody waits for it; returns the other calls, in their order.</summary>
    private static ZeroCopyCall? ReleaseQuietly(ZeroCopyCall? calls)
    {
        ZeroCopyCall? first = null;
        ZeroCopyCall? last = null;
        while (calls is { } call)
        {
            calls = call.NextInToken;
            call.NextInToken = null;
            if (call.TryReleaseQuietly())
            {
                continue;
            }

            if (last is null)
            {
                first = call;
            }
            else
            {
                last.NextInToken = call;
            }

            last = call;
        }

        return first;
    }

    /// <summary>At top level: a token's calls get their memory back, the oldest last as they are linked.</summary>
    public void Release(ZeroCopyCall calls)
    {
        ZeroCopyCall? call = calls;
        while (call is not null)
        {
            ZeroCopyCall? older = call.NextInToken;
            call.NextInToken = null;
            call.Release();
            call = older;
        }

        connection.OnReleased();
        connection.Stack.Tcp.OnReleased();
    }

    /// <summary>Takes the oldest notification out of the error queue; never waits (R2.12).</summary>
    public bool TryRead(out ZeroCopyNotification notification)
    {
        _gate.Enter();
        ZeroCopyToken? token = _first;
        if (token is null)
        {
            _gate.Exit();
            notification = default;
            return false;
        }

        _first = token.Next;
        if (_first is null)
        {
            _last = null;
        }

        _unread--;
        notification = new ZeroCopyNotification(token.First, token.First + token.Count - 1, token.IsCopied);
        FreeHoldingGate(token);
        _gate.Exit();
        return true;
    }

    private ZeroCopyToken? TakeTokenHoldingGate()
    {
        if (_optionalBytes + ZeroCopyToken.TrueSize > connection.Stack.Tcp.Settings.OptionalMemoryMax && (Omitted & Omission.OptionalMemoryLimit) == Omission.None)
        {
            return null;
        }

        _optionalBytes += ZeroCopyToken.TrueSize;
        ZeroCopyToken? token = _freeTokens;
        if (token is null)
        {
            return new ZeroCopyToken(this);
        }

        _freeTokens = token.Next;
        return token;
    }

    private bool TryMergeHoldingGate(ZeroCopyToken token)
    {
        if (_last is not { } last || last.First + last.Count != token.First || last.IsCopied != token.IsCopied || (ulong)last.Count + token.Count > uint.MaxValue
            || (Omitted & Omission.NotificationsMerge) != Omission.None)
        {
            return false;
        }

        last.Absorb(token);
        return true;
    }

    private void FreeHoldingGate(ZeroCopyToken token)
    {
        _optionalBytes -= ZeroCopyToken.TrueSize;
        token.Next = _freeTokens;
        _freeTokens = token;
    }
}
