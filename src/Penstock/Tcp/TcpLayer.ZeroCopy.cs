using Penstock.Ownership;

namespace Penstock.Tcp;

/// <summary>What the zero-copy sends of all sockets have in common: the limit of pinned memory, and the end of the stack, which waits until everybody has been told.</summary>
internal sealed partial class TcpLayer
{
    private long _pinned;
    private int _releasing;

    /// <summary>Bytes of the application's pages that zero-copy sends hold.</summary>
    public long PinnedBytes => Volatile.Read(ref _pinned);

    public bool TryPin(long bytes)
    {
        // Never beyond the limit, not for a moment: a huge call that is refused must not have others refused.
        long held = PinnedBytes;
        while (held + bytes <= Settings.PinnedMax)
        {
            long was = Interlocked.CompareExchange(ref _pinned, held + bytes, held);
            if (was == held)
            {
                return true;
            }

            held = was;
        }

        return false;
    }

    public void Unpin(long bytes) => Interlocked.Add(ref _pinned, -bytes);

    /// <summary>Memory is about to be given back, on another thread.</summary>
    public void OnReleasing() => Interlocked.Increment(ref _releasing);

    public void OnReleased()
    {
        if (Interlocked.Decrement(ref _releasing) == 0)
        {
            _drainWaiters.Fire(SocketEvents.Released);
        }
    }

    /// <summary>Completes when all memory that is free has been given back.</summary>
    private async ValueTask WaitForReleasesAsync()
    {
        while (Volatile.Read(ref _releasing) > 0)
        {
            var waiter = new AsyncSocketWaiter(_stack.OwnWorker.Driver);
            waiter.Arm(SocketEvents.Released);
            _drainWaiters.Add(waiter);

            // To subscribe and then to look needs a full fence, as to count and then to look for waiters has.
            Interlocked.MemoryBarrier();
            if (Volatile.Read(ref _releasing) == 0)
            {
                waiter.Fire(SocketEvents.Released);
            }

            await waiter.WaitAsync(CancellationToken.None).ConfigureAwait(false);
            _drainWaiters.Remove(waiter);
        }
    }
}
