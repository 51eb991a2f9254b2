using System.Net;
using System.Net.Sockets;
using Penstock.Ip;
using Penstock.Ownership;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>Opening and closing from the application's side: local ports (RFC 6056), listeners, and the orderly end of everything.</summary>
internal sealed partial class TcpLayer
{
    private WaitQueue _drainWaiters;
    private int _portCounter;

    /// <summary>Makes a connection for an active open, in the table under a free local port, not yet owned and not yet started.</summary>
    /// <exception cref="SocketException">No route, no port, or the port that was asked for is taken.</exception>
    public TcpConnection CreateActive(IPEndPoint remote, IPEndPoint? local, MemoryGroup? group)
    {
        IpAddress destination = IpAddress.From(remote.Address);
        if (destination.IsAny)
        {
            // As Linux: connecting to any means this host.
            destination = IpAddress.LoopbackIPv4;
        }

        if (destination.IsMulticast || destination.IsBroadcast || _stack.Ip.IsDirectedBroadcast(destination))
        {
            // RFC 9293 MUST-46; the error is Linux's.
            throw new SocketException((int)SocketError.NetworkUnreachable);
        }

        if (remote.Port is 0)
        {
            throw new SocketException((int)SocketError.AddressNotAvailable);
        }

        RouteEntry route = _stack.Ip.Routes.Find(destination) ?? throw NoRoute();
        IpAddress source = route.IsLocal ? destination : route.Source;
        if (local is not null && !IpAddress.From(local.Address).IsAny)
        {
            source = IpAddress.From(local.Address);
            if (!_stack.Ip.IsLocal(source) && !Listeners.AcceptsForeign)
            {
                throw new SocketException((int)SocketError.AddressNotAvailable);
            }
        }

        Worker worker = route.Interface.Workers[0];
        if (local is { Port: > 0 })
        {
            var fixedKey = new FlowKey(source, (ushort)local.Port, destination, (ushort)remote.Port);
            var connection = new TcpConnection(_stack, worker, fixedKey, group);
            return TryFile(connection, worker) ? connection : throw Taken(connection, SocketError.AddressAlreadyInUse);
        }

        // RFC 6056 3.3.3: a hash of the destination plus a counter, so that ports are hard to guess and rarely collide.
        int first = Settings.LocalPortFirst;
        int count = Settings.LocalPortLast - first + 1;
        uint offset = (uint)_portHash.Of(source.High, source.Low, destination.High, destination.Low, (ulong)remote.Port);
        TcpConnection? candidate = null;
        for (int i = 0; i < count; i++)
        {
            uint step = (uint)Interlocked.Increment(ref _portCounter);
            ushort port = (ushort)(first + (int)((offset + step) % (uint)count));
            if (Listeners.IsPortUsed(port))
            {
                continue;
            }

            var key = new FlowKey(source, port, destination, (ushort)remote.Port);
            if (candidate is null)
            {
                candidate = new TcpConnection(_stack, worker, key, group);
            }
            else
            {
                candidate.Key = key;
            }

            if (TryFile(candidate, worker))
            {
                return candidate;
            }
        }

        _stack.Counters.Add(StackCounter.TcpPortsExhausted);
        throw Taken(candidate, SocketError.AddressNotAvailable);
    }

    /// <exception cref="SocketException">The address and port are taken, or not ours.</exception>
    public ListenSocket Listen(Func<ushort, ListenSocket> make, IpAddress address, int port, bool anyDestination)
    {
        if (!address.IsAny && !anyDestination && !_stack.Ip.IsLocal(address))
        {
            throw new SocketException((int)SocketError.AddressNotAvailable);
        }

        if (port != 0 || anyDestination)
        {
            ListenSocket wanted = make((ushort)port);
            return Listeners.TryAdd(wanted) ? wanted : throw new SocketException((int)SocketError.AddressAlreadyInUse);
        }

        int first = Settings.LocalPortFirst;
        int count = Settings.LocalPortLast - first + 1;
        int start = _stack.Random.Next(count);
        for (int i = 0; i < count; i++)
        {
            ListenSocket listener = make((ushort)(first + ((start + i) % count)));
            if (!Listeners.IsPortUsed(listener.Port) && Listeners.TryAdd(listener))
            {
                return listener;
            }
        }

        throw new SocketException((int)SocketError.AddressAlreadyInUse);
    }

    /// <summary>Closes everything, and waits until it is gone or <paramref name="timeout"/> has passed; the rest is reset.</summary>
    public async ValueTask CloseAllAsync(TimeSpan timeout)
    {
        foreach (ListenSocket listener in Listeners.All)
        {
            listener.Close();
        }

        foreach (FlowEntry entry in Flows.Snapshot())
        {
            if (entry is TcpConnection connection)
            {
                await connection.OwnAsync().ConfigureAwait(false);
                connection.CloseHandle(abortive: timeout == TimeSpan.Zero);
                connection.Release();
            }
        }

        if (timeout != TimeSpan.Zero && LiveConnections > 0)
        {
            Worker worker = _stack.OwnWorker;
            var waiter = new AsyncSocketWaiter(worker.Driver);
            waiter.Arm(SocketEvents.Drained);
            _drainWaiters.Add(waiter);
            var limit = new CloseLimit(waiter);
            if (timeout != Timeout.InfiniteTimeSpan)
            {
                worker.Arm(limit, worker.NowNanos + Nanos.From(timeout));
            }

            if (LiveConnections == 0)
            {
                waiter.Fire(SocketEvents.Drained);
            }

            await waiter.WaitAsync(CancellationToken.None).ConfigureAwait(false);
            _drainWaiters.Remove(waiter);
            worker.Timers.Cancel(limit);
        }

        foreach (FlowEntry entry in Flows.Snapshot())
        {
            if (entry is TcpConnection connection)
            {
                await connection.OwnAsync().ConfigureAwait(false);
                connection.Abort(SocketError.ConnectionAborted);
                connection.Release();
            }
            else if (entry is TimeWaitEntry { IsFinWait2: true } waiting)
            {
                _stack.Counters.Add(StackCounter.TcpOutRsts);
                SendBare(new BareSegment { Key = waiting.Key, Flags = TcpFlags.RstAck, Sequence = waiting.SndNxt, Acknowledgment = waiting.RcvNxt });
                EndTimeWait(waiting);
            }
        }
    }

    /// <summary>Drops what is left. Nothing of the stack runs any more.</summary>
    public async ValueTask FreeAllAsync()
    {
        foreach (FlowEntry entry in Flows.Snapshot())
        {
            if (entry is TcpConnection connection)
            {
                // A call of the application may still be in the middle of it.
                await connection.OwnAsync().ConfigureAwait(false);
                connection.Drop();
                connection.Release();
            }

            Flows.Remove(entry);
        }

        SendSlabs.Close();
        await WaitForReleasesAsync().ConfigureAwait(false);
    }

    /// <summary>Connections in the table that are not just waiting out TIME-WAIT or a handshake; those that wait for the peer's FIN too, closed or not.</summary>
    public int LiveConnections => Flows.Snapshot().Count(e => e is TcpConnection or TimeWaitEntry { IsFinWait2: true });

    private void CheckDrained()
    {
        if (_stack.IsDisposed && _drainWaiters.HasWaiters && LiveConnections == 0)
        {
            _drainWaiters.Fire(SocketEvents.Drained);
        }
    }

    private bool TryFile(TcpConnection connection, Worker worker)
    {
        if (Flows.TryAdd(connection, out FlowEntry? existing))
        {
            return true;
        }

        // tcp_tw_reuse: an old connection's TIME-WAIT may be taken over when timestamps keep the two apart.
        if (existing is TimeWaitEntry { TimestampsOk: true, IsFinWait2: false } old
            && (Settings.TimeWaitReuse == 1 || (Settings.TimeWaitReuse == 2 && connection.Key.Remote.IsLoopback))
            && worker.NowNanos - old.TsRecentNanos > Nanos.PerSecond)
        {
            EndTimeWait(old);
            return Flows.TryAdd(connection, out _);
        }

        return false;
    }

    private SocketException NoRoute()
    {
        _stack.Counters.Add(StackCounter.TcpNoRoute);
        return new SocketException((int)SocketError.NetworkUnreachable);
    }

    private static SocketException Taken(TcpConnection? connection, SocketError error)
    {
        connection?.Discard();
        return new SocketException((int)error);
    }

    private sealed class CloseLimit(AsyncSocketWaiter waiter) : TimerEntry
    {
        public override void OnTimer(long nowNanos) => waiter.Fire(SocketEvents.Drained);
    }
}
