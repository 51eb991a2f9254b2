using System.Net;
using System.Net.Sockets;
using Penstock.Ownership;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Bsd;

/// <summary>
/// A TCP socket as Linux's socket calls know it: fresh, bound, listening, connecting, connected, in one object that goes from one to the other. Results are the kernel's own
/// (<see cref="Result"/>). Thread-safe; what a caller's memory is needed for, it is needed during the call only, but for zero-copy sends.
/// </summary>
internal sealed partial class SocketFile(NetworkStack stack, Pace pace) : OpenFile(pace)
{
    private readonly object _gate = new();
    private readonly List<Action<TcpConnection>> _prepared = [];
    private IPEndPoint? _bound;
    private volatile TcpSocket? _socket;
    private volatile TcpSocketListener? _listener;
    private bool _connecting;

    /// <summary>What a socket without a connection has: an error that a connection left behind, and that its reading end was shut down (Linux: sk_err, sk_shutdown).</summary>
    private Errno _error;
    private volatile bool _receiveShutdown;

    public TcpConnection? Connection => _socket?.Connection;

    public bool IsListening => _listener is not null;

    public int Bind(IPEndPoint address)
    {
        lock (_gate)
        {
            if (_bound is not null || _socket is not null || _listener is not null)
            {
                return Result.Fail(Errno.EINVAL);
            }

            if (!address.Address.Equals(IPAddress.Any) && !_freeBind && !stack.Ip.IsLocal(Wire.IpAddress.From(address.Address)))
            {
                return Result.Fail(Errno.EADDRNOTAVAIL);
            }

            _bound = address;
            return 0;
        }
    }

    public int Listen(int backlog)
    {
        lock (_gate)
        {
            if (_socket is not null)
            {
                return Result.Fail(Errno.EINVAL);
            }

            if (_listener is not null)
            {
                _listener.Socket.SetBacklog(backlog);
                return 0;
            }

            try
            {
                var options = new TcpListenOptions(_bound ?? new IPEndPoint(IPAddress.Any, 0))
                {
                    Prepare = PrepareChild,
                    AnyDestination = _freeBind && _bound is { } bound && !bound.Address.Equals(IPAddress.Any)
                        && !stack.Ip.IsLocal(Wire.IpAddress.From(bound.Address)),
                };
                _listener = stack.ListenTcp(options);
                _listener.Socket.SetBacklog(backlog);
                _listener.Socket.Observe(new StackObserver(this));
                foreach (((int level, int name), long value) in _set)
                {
                    NumberedOptions.ChangeListener(_listener.Socket, level, name, value);
                }
            }
            catch (SocketException refused)
            {
                return Result.Fail(refused.SocketErrorCode);
            }
        }

        Notify(PollMask.Any);
        return 0;
    }

    /// <summary>The next connection, waiting for it unless the socket is non-blocking.</summary>
    public int Accept(bool nonBlocking, out SocketFile? accepted)
    {
        accepted = null;
        if (_listener is null)
        {
            return Result.Fail(Errno.EINVAL);
        }

        var wait = new Blocking(this, !NonBlocking, ReceiveDeadline());
        try
        {
            do
            {
                if (_listener is not { } listener)
                {
                    return Result.Fail(Errno.EINVAL);
                }

                if (listener.TryAccept() is { } socket)
                {
                    accepted = Accepted(socket);
                    accepted.NonBlocking = nonBlocking;
                    socket.Connection.Observe(new StackObserver(accepted));
                    return 0;
                }
            }
            while (wait.Again());

            return Result.WouldBlock;
        }
        finally
        {
            wait.End();
        }
    }

    public int Connect(IPEndPoint remote) => FinishConnect(BeginConnect(remote));

    /// <summary>connect(2) up to where it would wait: -EINPROGRESS the first time, -EALREADY then.</summary>
    public int BeginConnect(IPEndPoint remote)
    {
        bool again;
        lock (_gate)
        {
            if (_listener is not null || (_socket is not null && !_connecting))
            {
                return Result.Fail(Errno.EISCONN);
            }

            again = _connecting;
            if (!again)
            {
                try
                {
                    _socket = stack.BeginConnectTcp(remote, new TcpConnectOptions { LocalEndPoint = _bound, Prepare = PrepareActive });
                }
                catch (SocketException failed)
                {
                    return Result.Fail(failed.SocketErrorCode);
                }

                _socket.LingerState = LingerState;
                _connecting = true;
                _error = Errno.None;
            }
        }

        return IsOpening ? Result.Fail(again ? Errno.EALREADY : Errno.EINPROGRESS) : EndConnect();
    }

    /// <summary>The rest of it: waits for what <see cref="BeginConnect"/> began, unless the socket is non-blocking.</summary>
    public int FinishConnect(int begun)
    {
        if (NonBlocking || begun is not (-(int)Errno.EINPROGRESS or -(int)Errno.EALREADY))
        {
            return begun;
        }

        var wait = new Blocking(this, true, SendDeadline());
        try
        {
            while (IsOpening)
            {
                if (!wait.Again())
                {
                    return begun;
                }
            }

            return EndConnect();
        }
        finally
        {
            wait.End();
        }
    }

    /// <summary>
    /// connect(2) to AF_UNSPEC, and what a shutdown does to a socket that listens or is being connected: the connection is reset, and the socket is as if fresh, but for a port that it was bound to and for
    /// the error that tells of the reset (Linux: tcp_disconnect).
    /// </summary>
    public int Disconnect()
    {
        lock (_gate)
        {
            if (_socket is { } socket)
            {
                _error = ErrorLeftBehind(socket.Connection);
                socket.Abort();
            }

            _socket = null;
            _listener?.Dispose();
            _listener = null;
            _connecting = _receiveShutdown = false;
            _peekOffset = -1;
            _bound = _bound is { Port: > 0 } ? _bound : null;
        }

        Notify(PollMask.Any);
        return 0;
    }

    private static Errno ErrorLeftBehind(TcpConnection connection)
    {
        connection.Own();
        SocketError pending = connection.TakeError();
        bool isReset = connection.State switch
        {
            TcpConnectionState.Closed or TcpConnectionState.TimeWait => false,
            TcpConnectionState.Closing or TcpConnectionState.LastAck => connection.NotSentLength > 0,
            _ => true,
        };
        connection.Release();
        return isReset ? Errno.ECONNRESET : SocketErrors.ToErrno(pending);
    }

    private Errno TakeOwnError()
    {
        lock (_gate)
        {
            Errno error = _error;
            _error = Errno.None;
            return error;
        }
    }

    public int Shutdown(int how)
    {
        if (how is < 0 or > 2)
        {
            return Result.Fail(Errno.EINVAL);
        }

        if (IsListening)
        {
            return how == (int)SocketShutdown.Send ? 0 : Disconnect();
        }

        if (_socket is not { } socket)
        {
            // Refused and yet remembered: who waits in poll sees it (Linux: inet_shutdown).
            _receiveShutdown |= how != (int)SocketShutdown.Send;
            Notify(PollMask.Any);
            return Result.Fail(Errno.ENOTCONN);
        }

        if (socket.State == TcpConnectionState.SynSent)
        {
            return Disconnect();
        }

        try
        {
            socket.Shutdown((SocketShutdown)how);
            return 0;
        }
        catch (SocketException wrong)
        {
            return Result.Fail(wrong.SocketErrorCode);
        }
    }

    /// <summary>The local address; a fresh socket's is any.</summary>
    public IPEndPoint LocalEndPoint => _socket?.LocalEndPoint ?? _listener?.LocalEndPoint ?? _bound ?? new IPEndPoint(IPAddress.Any, 0);

    /// <summary>The peer's address; null without a peer.</summary>
    public IPEndPoint? RemoteEndPoint => _socket is { State: not (TcpConnectionState.Closed or TcpConnectionState.SynSent) } socket ? socket.RemoteEndPoint : null;

    public override PollMask Poll()
    {
        if (_listener is { } listener)
        {
            return listener.Pending > 0 ? PollMask.In | PollMask.ReadNormal : PollMask.None;
        }

        if (Connection is not { } connection)
        {
            return PollMask.Out | PollMask.WriteNormal | PollMask.HangUp
                | (_receiveShutdown ? PollMask.In | PollMask.ReadNormal | PollMask.PeerHangUp : PollMask.None)
                | (_error != Errno.None ? PollMask.Error : PollMask.None);
        }

        SocketEvents events = connection.PollEvents;
        PollMask mask = PollMask.None;
        mask |= (events & SocketEvents.Readable) != 0 ? PollMask.In | PollMask.ReadNormal : 0;
        mask |= (events & SocketEvents.Writable) != 0 ? PollMask.Out | PollMask.WriteNormal : 0;
        mask |= (events & SocketEvents.Urgent) != 0 ? PollMask.Priority : 0;
        mask |= (events & (SocketEvents.Error | SocketEvents.Released)) != 0 ? PollMask.Error : 0;
        mask |= (events & SocketEvents.HangUp) != 0 ? PollMask.HangUp : 0;
        return mask | (connection.ReceiveEnded ? PollMask.PeerHangUp : 0);
    }

    protected override int OnClose()
    {
        TcpSocketListener? listener;
        TcpSocket? socket;
        lock (_gate)
        {
            // Who waits in accept finds no listener any more.
            (listener, socket) = (_listener, _socket);
            _listener = null;
        }

        listener?.Dispose();
        if (socket is not null)
        {
            try
            {
                if (_lingers && _lingerSeconds != 0)
                {
                    Linger(socket, _lingerSeconds);
                }
            }
            finally
            {
                socket.Dispose();
            }
        }

        return 0;
    }

    private void PrepareActive(TcpConnection connection)
    {
        Prepare(connection);
        connection.Observe(new StackObserver(this));
    }

    private bool IsOpening => Connection is { State: TcpConnectionState.SynSent or TcpConnectionState.SynReceived };

    private int EndConnect()
    {
        lock (_gate)
        {
            if (_socket is not { } socket)
            {
                return Result.Fail(TakeOwnError() is var error and not Errno.None ? error : Errno.ECONNABORTED);
            }

            _connecting = false;
            if (socket.State != TcpConnectionState.Closed)
            {
                return 0;
            }

            SocketError reason = TakeError(socket.Connection);
            socket.Dispose();
            _socket = null;
            return reason == SocketError.Success ? Result.Fail(Errno.ECONNABORTED) : Result.Fail(reason);
        }
    }

    /// <summary>SO_LINGER with a time: close waits until everything is acknowledged, or for that long.</summary>
    private void Linger(TcpSocket socket, long seconds)
    {
        TcpConnection connection = socket.Connection;
        if (connection.State == TcpConnectionState.Closed || connection.ReadableBytes > 0)
        {
            return;
        }

        try
        {
            socket.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException)
        {
            return;
        }

        var wait = new Blocking(this, true, seconds == LingerForever ? Pace.Never : Pace.After(seconds * 1000));
        try
        {
            while (connection.UnacknowledgedBytes > 0 && wait.Again())
            {
            }
        }
        finally
        {
            wait.End();
        }
    }

    private static SocketError TakeAnyError(TcpConnection connection)
    {
        connection.Own();
        SocketError error = connection.TakeAnyError();
        connection.Release();
        return error;
    }

    private static SocketError TakeError(TcpConnection connection)
    {
        connection.Own();
        SocketError error = connection.TakeError();
        connection.Release();
        return error;
    }

    private void OnEvents(SocketEvents events)
    {
        // A change of the connection's state is told to everybody, as Linux's sk_state_change does.
        PollMask mask = (events & (SocketEvents.Connected | SocketEvents.HangUp)) != 0 ? PollMask.Any : PollMask.None;
        mask |= (events & SocketEvents.Readable) != 0 ? PollMask.WakeReadable : 0;
        mask |= (events & SocketEvents.Urgent) != 0 ? PollMask.Priority : 0;
        mask |= (events & SocketEvents.Writable) != 0 ? PollMask.WakeWritable : 0;
        mask |= (events & (SocketEvents.Error | SocketEvents.Released)) != 0 ? PollMask.Error : 0;
        mask |= (events & SocketEvents.Drained) != 0 ? PollMask.PeerHangUp : 0;
        Notify(mask);
    }

    /// <summary>The subscription of this socket with the stack; one for each connection or listener that it stands for.</summary>
    private sealed class StackObserver : SocketWaiter
    {
        private readonly SocketFile _file;

        public StackObserver(SocketFile file)
        {
            _file = file;
            Interest = SocketEvents.All;
        }

        public override void Fire(SocketEvents events) => _file.OnEvents(events);
    }
}
