using System.Net.Sockets;
using Penstock.Tcp;

namespace Penstock.Fuzz;

/// <summary>
/// The application's side of a fuzzed run: calls of every kind at any moment, some left waiting and canceled later, the socket now and then held as a long send holds it.
/// What a call may throw is known; anything else is a failure. Single-threaded, under virtual time.
/// </summary>
internal sealed class Application(NetworkStack stack) : IDisposable
{
    private static readonly byte[] Data = Enumerable.Range(0, 70_000).Select(i => (byte)(i * 7)).ToArray();
    private readonly byte[] _scratch = new byte[70_000];
    private readonly List<TcpSocket> _sockets = [];
    private readonly List<(Task Task, string Name)> _pending = [];
    private CancellationTokenSource _cancel = new();
    private TcpConnection? _held;

    public IReadOnlyList<TcpSocket> Sockets => _sockets;

    public void Add(TcpSocket socket) => _sockets.Add(socket);

    public void Expect(Task task, string name) => _pending.Add((task, name));

    /// <summary>One call on one of the sockets.</summary>
    public void Act(ChoiceReader choices)
    {
        if (_sockets.Count == 0)
        {
            return;
        }

        TcpSocket socket = _sockets[choices.Below(_sockets.Count)];
        TcpConnection connection = socket.Connection;
        bool mine = ReferenceEquals(_held, connection);
        if (connection.IsOwned && !mine)
        {
            return;
        }

        try
        {
            if (mine)
            {
                ActAsOwner(choices, connection);
            }
            else
            {
                Act(choices, socket);
            }
        }
        catch (Exception error) when (IsExpected(error))
        {
        }
    }

    public void Release()
    {
        TcpConnection? held = _held;
        _held = null;
        held?.Release();
    }

    /// <summary>Closes what is open, in one of the ways there are.</summary>
    public void CloseAll(ChoiceReader choices)
    {
        Release();
        foreach (TcpSocket socket in _sockets)
        {
            switch (choices.Below(4))
            {
                case 0:
                    socket.Dispose();
                    break;
                case 1:
                    socket.Abort();
                    break;
                case 2:
                    Expect(Observe(socket.CloseAsync(_cancel.Token)), "close");
                    break;
            }
        }
    }

    /// <summary>Nothing may wait for a stack that is gone.</summary>
    public void CheckNothingWaits()
    {
        foreach ((Task task, string name) in _pending)
        {
            FuzzFailureException.Unless(task.IsCompleted, $"a {name} still waits after its stack was disposed");
            if (task.IsFaulted)
            {
                throw new FuzzFailureException($"a {name} failed as it must not", task.Exception!);
            }
        }

        foreach (TcpSocket socket in _sockets)
        {
            socket.Dispose();
        }
    }

    public void Dispose() => _cancel.Dispose();

    public void CheckInvariants()
    {
        foreach (Ip.FlowEntry entry in stack.Tcp.Flows.Snapshot())
        {
            if (entry is TcpConnection connection && (!connection.IsOwned || ReferenceEquals(connection, _held)))
            {
                FuzzFailureException.IfWrong(connection.VerifyInvariants());
            }
        }

        foreach (TcpSocket socket in _sockets)
        {
            if (!socket.Connection.IsOwned || ReferenceEquals(socket.Connection, _held))
            {
                FuzzFailureException.IfWrong(socket.Connection.VerifyInvariants());
            }
        }

        FuzzFailureException.Unless(stack.Pool.HeldMaximumBytes <= stack.Pool.Limit, "the memory limit was passed");
    }

    public async Task Observe(ValueTask<int> call)
    {
        try
        {
            await call.ConfigureAwait(false);
        }
        catch (Exception error) when (IsExpected(error))
        {
        }
    }

    public async Task Observe(ValueTask call)
    {
        try
        {
            await call.ConfigureAwait(false);
        }
        catch (Exception error) when (IsExpected(error))
        {
        }
    }

    public async Task Accept(TcpSocketListener listener, CancellationToken cancel)
    {
        try
        {
            while (true)
            {
                Add(await listener.AcceptAsync(cancel).ConfigureAwait(false));
            }
        }
        catch (Exception error) when (IsExpected(error))
        {
        }
    }

    public static bool IsExpected(Exception error) =>
        error is SocketException or OperationCanceledException || error.GetType() == typeof(ObjectDisposedException)
        || (error is InvalidOperationException && error.Message.StartsWith("A receive is under way", StringComparison.Ordinal));

    private static int SizeOf(ChoiceReader choices) => choices.Below(6) switch
    {
        0 => 1,
        1 => 100,
        2 => 1448,
        3 => 5000,
        4 => 70_000,
        _ => choices.UInt16(),
    };

    private void Act(ChoiceReader choices, TcpSocket socket)
    {
        switch (choices.Below(24))
        {
            case 0 or 1 or 2 or 3:
                socket.TrySend(Data.AsSpan(0, SizeOf(choices)), Flags(choices), out _);
                break;
            case 4 or 5 or 6:
                socket.TryReceive(_scratch.AsSpan(0, SizeOf(choices)), (TcpReceiveFlags)choices.Below(4), out _);
                break;
            case 7 or 8:
                Expect(Observe(socket.SendAsync(Data.AsMemory(0, SizeOf(choices)), Flags(choices), _cancel.Token)), "send");
                break;
            case 9 or 10:
                Expect(Observe(socket.ReceiveAsync(_scratch.AsMemory(0, SizeOf(choices) % 5000), (TcpReceiveFlags)choices.Below(4), _cancel.Token)), "receive");
                break;
            case 11:
                _cancel.Cancel();
                _cancel.Dispose();
                _cancel = new CancellationTokenSource();
                break;
            case 12:
                socket.Shutdown(SocketShutdown.Send);
                break;
            case 13:
                socket.Shutdown(choices.OneIn(2) ? SocketShutdown.Both : SocketShutdown.Receive);
                break;
            case 14:
                Expect(Observe(socket.CloseAsync(_cancel.Token)), "close");
                break;
            case 15:
                socket.LingerState = new LingerOption(choices.OneIn(2), 0);
                socket.Dispose();
                break;
            case 16:
                socket.Abort();
                break;
            case 17:
                socket.NoDelay = choices.OneIn(2);
                socket.Cork = choices.OneIn(2);
                socket.QuickAck = choices.OneIn(2);
                break;
            case 18:
                socket.OutOfBandInline = choices.OneIn(2);
                _ = socket.IsAtMark;
                break;
            case 19:
                socket.KeepAlive = choices.OneIn(2);
                socket.UserTimeout = TimeSpan.FromSeconds(choices.Byte());
                break;
            case 20:
                socket.SendBufferSize = 1 + choices.UInt16();
                break;
            case 21:
                socket.ReceiveBufferSize = 1 + choices.UInt16();
                break;
            case 22:
                _ = socket.GetInfo();
                _ = socket.Available;
                break;
            default:
                if (_held is null && socket.Connection.TryOwn())
                {
                    _held = socket.Connection;
                }

                break;
        }
    }

    private void ActAsOwner(ChoiceReader choices, TcpConnection connection)
    {
        switch (choices.Below(8))
        {
            case 0 or 1:
                var source = new SpanSource(Data.AsSpan(0, SizeOf(choices)));
                long copied = 0;
                connection.RunSend(ref source, Flags(choices), ref copied);
                break;
            case 2:
                connection.TryReceive(_scratch.AsSpan(0, SizeOf(choices)), (TcpReceiveFlags)choices.Below(4));
                break;
            case 3:
                connection.FlushBacklog(runDeferred: choices.OneIn(2));
                break;
            case 4:
                connection.ShutdownSend();
                break;
            default:
                Release();
                break;
        }
    }

    private static TcpSendFlags Flags(ChoiceReader choices) => choices.OneIn(3) ? (TcpSendFlags)choices.Below(8) : TcpSendFlags.None;
}
