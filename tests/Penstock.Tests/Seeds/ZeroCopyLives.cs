using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Tcp;
using Penstock.Tcp.ZeroCopy;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>
/// One random life of a connection that sends from the application's memory, from its own and from a pipe's slabs, with short memory, a device that holds what it is given, and a peer that acknowledges
/// anything. Everything that must hold is checked after every step.
/// </summary>
internal sealed class ZeroCopyLives(int seed)
{
    private const int Page = 4096;
    private static readonly byte[] s_pages = HandPeer.PinnedPages(80);

    private readonly Random _random = new(seed);
    private readonly List<LentMemory> _lent = [];
    private readonly List<(Task Task, CancellationTokenSource Cancel)> _waiting = [];
    private readonly HashSet<uint> _notified = [];
    private uint _firstId;
    private PipeWriter? _pipe;
    private Task<FlushResult>? _flush;
    private HandPeer _peer = null!;

    public int Step { get; private set; }

    public string Last { get; private set; } = "start";

    public long Refusals { get; private set; }

    public long Downgrades { get; private set; }

    public long Sends { get; private set; }

    public long Copied { get; private set; }

    public async Task RunAsync(int most)
    {
        bool tightPool = _random.Next(4) == 0;
        await using var peer = new HandPeer(Choose, sack: _random.Next(4) != 0, memoryLimit: tightPool ? 1 << 20 : 1 << 30);
        _peer = peer;
        peer.Link.KeepsPayload = false;
        peer.Connection.Cwnd.Window = _random.Next(1, 200);
        if (_random.Next(3) != 0)
        {
            peer.SendBuffer(_random.Next(5000, 1_000_000));
        }

        if (_random.Next(2) == 0)
        {
            int pages = _random.Next(1, 60);
            peer.Stack.Tcp.Memory.SetLimits(pages / 3, pages / 2, pages);
        }

        peer.Socket.ZeroCopyNotifications = true;
        _firstId = peer.Connection.ZeroCopy.NextId = _random.Next(2) == 0 ? uint.MaxValue - (uint)_random.Next(100) : 0;
        _pipe = peer.Socket.AsPipe().Output;
        bool inCopy = false;
        peer.InCopy = _ =>
        {
            if (!inCopy && _random.Next(3) == 0)
            {
                inCopy = true;
                RandomArrival.Deliver(peer, _random);
                inCopy = false;
            }
        };
        for (Step = 1; Step <= most && peer.Connection.State != TcpConnectionState.Closed; Step++)
        {
            One();
            if (_random.Next(4) != 0)
            {
                peer.Time.RunReady();
            }

            Verify();
            Trim();
        }

        Last = "end";
        peer.InCopy = null;
        End();
    }

    private void Choose(TcpSettings settings)
    {
        settings.SizeGoal = _random.Next(3) switch { 0 => 0, 1 => 1, _ => 5000 };
        settings.BacklogFlushBuffers = _random.Next(3);
        settings.PureZeroCopy = _random.Next(8) != 0;
        settings.OptionalMemoryMax = _random.Next(3) == 0 ? ZeroCopyToken.TrueSize * _random.Next(0, 20) : 128 * 1024;
        settings.PinnedMax = _random.Next(4) == 0 ? Page * _random.Next(1, 100) : long.MaxValue;
    }

    private void One()
    {
        switch (_random.Next(30))
        {
            case < 8:
                SendZeroCopy();
                break;
            case < 10:
                Last = "copy";
                byte[] data = new byte[_random.Next(10) == 0 ? _random.Next(1, 100_000) : _random.Next(1, 3000)];
                Wait(cancel => _peer.Socket.SendAsync(data, Flags(), cancel).AsTask());
                break;
            case < 12:
                Flush();
                break;
            case < 20:
                Last = RandomArrival.Deliver(_peer, _random);
                break;
            case < 22:
                Last = "time";
                _peer.Time.RunFor(TimeSpan.FromMilliseconds(_random.Next(1, 700)));
                break;
            case 22:
                Last = "burst";
                _peer.Connection.Own();
                for (int i = _random.Next(1, 10); i > 0; i--)
                {
                    RandomArrival.Deliver(_peer, _random);
                }

                _peer.Connection.Release();
                break;
            case 23:
                Last = "MTU";
                _peer.Connection.OnPathMtuReport(new SequenceNumber(_peer.Acked), _random.Next(300, 1500), null!);
                break;
            case 24:
                Last = "cancel";
                if (_waiting.Count > 0)
                {
                    _waiting[_random.Next(_waiting.Count)].Cancel.Cancel();
                }

                break;
            case 25:
                Last = "read notifications";
                Read(_random.Next(1, 10));
                break;
            case 26:
                Last = "device";
                _peer.Link.Holds = _random.Next(2) == 0;
                if (!_peer.Link.Holds)
                {
                    _peer.Link.LetGo();
                }

                break;
            case 27:
                Last = "read";
                _peer.Socket.TryReceive(new byte[_random.Next(1, 20_000)], TcpReceiveFlags.None, out _);
                break;
            case 28:
                int pages = _random.Next(1, 120);
                Last = $"tcp_mem {pages}";
                _peer.Stack.Tcp.Memory.SetLimits(pages / 3, pages / 2, _random.Next(3) == 0 ? 100_000 : pages);
                break;
            default:
                Rare();
                break;
        }
    }

    private void Rare()
    {
        switch (_random.Next(20))
        {
            case 0:
                Last = "reset";
                _peer.Reset();
                break;
            case 1:
                Last = "close";
                _peer.Socket.Dispose();
                break;
            case 2:
                Last = "abort";
                _peer.Socket.Abort();
                break;
            case 3:
                Last = "shutdown";
                _peer.Connection.Own();
                _peer.Connection.ShutdownSend();
                _peer.Connection.Release();
                break;
            case < 8:
                _peer.Link.ScatterGather = !Proof.NoScatterGather && _random.Next(3) != 0;
                Last = $"scatter-gather {_peer.Link.ScatterGather}";
                break;
            default:
                Last = "acknowledge all";
                _peer.Ack(_peer.SentEnd);
                break;
        }
    }

    private TcpSendFlags Flags() => (TcpSendFlags)_random.Next(8);

    private void SendZeroCopy()
    {
        int start = HandPeer.PageStart(s_pages);
        TcpSendFlags flags = _random.Next(2) == 0 ? TcpSendFlags.None : Flags();
        switch (_random.Next(6))
        {
            case 0:
                int pages = _random.Next(1, 12);
                Last = $"zero-copy {pages} pages {flags}";
                Wait(c => _peer.Socket.SendZeroCopyAsync(s_pages.AsMemory(start + (_random.Next(60) * Page), pages * Page), flags, c).AsTask());
                break;
            case 1:
                int bytes = _random.Next(1, 20_000);
                Last = $"zero-copy {bytes} {flags}";
                Wait(c => _peer.Socket.SendZeroCopyAsync(s_pages.AsMemory(start + _random.Next(60 * Page), bytes), flags, c).AsTask());
                break;
            case 2:
                Last = $"zero-copy tiny {flags}";
                int at = start + _random.Next(60 * Page);
                for (int i = _random.Next(1, 30); i > 0; i--)
                {
                    Wait(c => _peer.Socket.SendZeroCopyAsync(s_pages.AsMemory(at++, 1), flags, c).AsTask());
                }

                break;
            case 3:
                int huge = _random.Next(1, 79 * Page);
                Last = $"zero-copy huge {huge} {flags}";
                Wait(c => _peer.Socket.SendZeroCopyAsync(s_pages.AsMemory(start, huge), flags, c).AsTask());
                break;
            case 4:
                var lent = new LentMemory(_random.Next(1, 9000)) { PinFails = _random.Next(10) == 0, DisposeFails = _random.Next(10) == 0 };
                _lent.Add(lent);
                Last = $"zero-copy lent {lent.Array.Length} {flags}";
                Wait(c => _peer.Socket.SendZeroCopyAsync(lent, _random.Next(lent.Array.Length + 1), flags, c).AsTask());
                break;
            default:
                var parts = new ReadOnlyMemory<byte>[_random.Next(2, 25)];
                for (int i = 0; i < parts.Length; i++)
                {
                    parts[i] = s_pages.AsMemory(start + _random.Next(70 * Page), _random.Next(3) == 0 ? _random.Next(0, 5000) : _random.Next(0, 50));
                }

                Last = $"zero-copy sequence of {parts.Length} {flags}";
                ReadOnlySequence<byte> sequence = LentMemory.Sequence(parts);
                Wait(c => _peer.Socket.SendZeroCopyAsync(sequence, flags, c).AsTask());
                break;
        }
    }

    private void Flush()
    {
        Last = "pipe";
        if (_flush is { IsCompleted: false })
        {
            return;
        }

        try
        {
            int bytes = _random.Next(1, 2000);
            _pipe!.GetSpan(bytes);
            _pipe.Advance(bytes);
            _flush = _pipe.FlushAsync().AsTask();
        }
        catch (SocketException)
        {
            Refusals++;
        }
    }

    /// <summary>Begins a send; one that waits is remembered.</summary>
    private void Wait(Func<CancellationToken, Task> send)
    {
        var cancel = new CancellationTokenSource();
        _waiting.Add((send(cancel.Token), cancel));
        CountEnded();
    }

    private void CountEnded()
    {
        _waiting.RemoveAll(w =>
        {
            if (w.Task.IsCompleted)
            {
                Sends += w.Task is Task<ZeroCopySend> { IsCompletedSuccessfully: true } sent && sent.Result.BytesQueued > 0 ? 1 : 0;
                Refusals += w.Task.Exception?.InnerException is SocketException { SocketErrorCode: SocketError.NoBufferSpaceAvailable } ? 1 : 0;
                w.Cancel.Dispose();
            }

            return w.Task.IsCompleted;
        });
    }

    private void Read(int most)
    {
        while (most-- > 0 && _peer.Socket.TryReadZeroCopyNotification(out ZeroCopyNotification read))
        {
            Assert.True(read.Last - _firstId < _peer.Connection.ZeroCopy.NextId - _firstId, "an id that no send has");
            for (uint id = read.First; ; id++)
            {
                Assert.True(_notified.Add(id), $"id {id} was notified twice");
                if (id == read.Last)
                {
                    break;
                }
            }
        }
    }

    private void Verify()
    {
        TcpConnection connection = _peer.Connection;
        if ((connection.VerifyInvariants() ?? connection.Memory.Verify()) is { } wrong)
        {
            throw new InvalidOperationException(wrong);
        }

        ZeroCopySends sends = connection.ZeroCopy;
        Assert.False(connection.IsOwned);
        Assert.Equal(connection.Memory.Pages, _peer.Stack.Tcp.Memory.AllocatedPages);
        Assert.True(_peer.Stack.Pool.HeldMaximumBytes <= _peer.Stack.Pool.Limit);
        Assert.True(_peer.Stack.Tcp.PinnedBytes <= _peer.Settings.PinnedMax);
        Assert.True(sends.OptionalBytes <= _peer.Settings.OptionalMemoryMax);
        if (connection.Memory.WriteQueueBytes == 0 && _peer.Link.Held.Count == 0 && _waiting.TrueForAll(w => w.Task.IsCompleted))
        {
            // Nothing refers to anything.
            _peer.Time.RunReady();
            Assert.False(sends.HoldsMemory && connection.Memory.WriteQueueBytes == 0);
        }

        if (!sends.HoldsMemory)
        {
            Assert.Equal(0, _peer.Stack.Tcp.PinnedBytes);
            Assert.Equal(sends.Unread * ZeroCopyToken.TrueSize, sends.OptionalBytes);
        }
    }

    private void Trim()
    {
        // What was sent is only needed for its end.
        if (_peer.Link.Sent.Count > 200)
        {
            SentSegment furthest = _peer.Link.Sent.MaxBy(s => (int)(s.End - _peer.First))!;
            _peer.Link.Sent.Clear();
            _peer.Link.Sent.Add(furthest);
        }
    }

    private void End()
    {
        TcpConnection connection = _peer.Connection;
        Downgrades = _peer.Stack.GetCounter(StackCounter.TcpZeroCopyDowngrades);
        Copied = _peer.Stack.GetCounter(StackCounter.TcpZeroCopyCopied);
        _peer.Socket.Dispose();
        connection.Own();
        connection.Abort(SocketError.ConnectionAborted);
        connection.Release();
        _pipe!.Complete(new IOException("the end"));
        Assert.Equal((0L, 0, 0, 0), (connection.Memory.Pages, connection.Memory.ForwardAlloc, connection.Memory.WriteQueueBytes, connection.Memory.WriteCharged));
        _peer.Link.Holds = false;
        _peer.Link.LetGo();
        _peer.Time.RunReady();
        CountEnded();
        Assert.Empty(_waiting);
        Assert.False(connection.ZeroCopy.HoldsMemory);
        Assert.Equal(0, _peer.Stack.Tcp.PinnedBytes);
        Assert.All(_lent, l => Assert.Equal((1, 0), (l.Disposals, l.Pinned)));
        Read(int.MaxValue);
        Assert.Equal(0, connection.ZeroCopy.OptionalBytes);

        // One for each send that queued something, and no number without one.
        Assert.Equal((Sends, (long)(connection.ZeroCopy.NextId - _firstId)), (_notified.Count, _notified.Count));
    }
}
