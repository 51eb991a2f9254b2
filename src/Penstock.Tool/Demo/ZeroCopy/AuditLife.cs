using System.IO.Pipelines;
using System.Net.Sockets;
using Penstock.Tcp;
using Penstock.Tcp.ZeroCopy;
using Penstock.Tool.Demo.Lab;
using Penstock.Wire;

namespace Penstock.Tool.Demo.ZeroCopy;

/// <summary>What happened in random lives.</summary>
internal sealed class AuditTally
{
    public long Steps { get; set; }

    public long Sends { get; set; }

    public long Refusals { get; set; }

    public long Downgrades { get; set; }

    public long Merges { get; set; }

    public long Ids { get; set; }
}

/// <summary>
/// One random life of a connection that sends copied bytes, bytes of the application's memory and slabs of a pipe, with short memory, a device that may hold what it is given and a peer that acknowledges anything.
/// The ledger's identity (R2.25) is checked after every step.
/// </summary>
internal sealed class AuditLife : ICopySeam, IDisposable
{
    private const int Page = PageRing.Page;
    private static readonly PageRing s_pages = new(80 * Page);
    private readonly Random _random;
    private readonly ScriptedPeer _peer;
    private readonly PipeWriter _pipe;
    private readonly AuditTally _tally;
    private readonly HashSet<uint> _notified = [];

    // Every other life sends small segments of one size, each a buffer: these merge when they are SACKed or sent again.
    private readonly int _small;
    private readonly uint _firstId;
    private Task? _sending;
    private CancellationTokenSource _cancel = new();
    private Task? _flushing;
    private bool _inCopy;

    private AuditLife(ulong seed, DemoSettings settings, Omission without, AuditTally tally)
    {
        _random = new Random((int)seed);
        _tally = tally;
        _small = seed % 2 == 0 ? _random.Next(100, 1400) : 0;
        _peer = new ScriptedPeer(settings, without, sack: _random.Next(4) != 0, memoryLimit: _random.Next(4) == 0 ? 1 << 20 : 1 << 30);
        TcpSettings tcp = _peer.Stack.Tcp.Settings;
        tcp.SizeGoal = _random.Next(3) switch { 0 => 0, 1 => 1, _ => 5000 };
        tcp.OptionalMemoryMax = _random.Next(3) == 0 ? ZeroCopyToken.TrueSize * _random.Next(1, 20) : 128 * 1024;
        _peer.Socket.NoDelay = _small > 0;
        _peer.Connection.Cwnd.Window = _random.Next(1, 200);
        if (_random.Next(3) != 0)
        {
            _peer.Connection.Memory.SendBuffer = _random.Next(5000, 1_000_000);
            _peer.Connection.Memory.SendBufferLocked = true;
        }

        _peer.Socket.ZeroCopyNotifications = true;
        _firstId = _peer.Connection.ZeroCopy.NextId = _random.Next(2) == 0 ? uint.MaxValue - (uint)_random.Next(100) : 0;
        _pipe = _peer.Socket.AsPipe().Output;
        _peer.Stack.CopySeam = this;
    }

    /// <summary>Lives <paramref name="steps"/> steps, or until the connection ends. What was wrong, or null.</summary>
    public static string? Run(ulong seed, int steps, DemoSettings settings, Omission without, AuditTally tally)
    {
        using var life = new AuditLife(seed, settings, without, tally);
        try
        {
            return life.Live(steps);
        }
        catch (InvalidOperationException wrong)
        {
            // The stack's own assertion, in a build that has them.
            return wrong.Message;
        }
    }

    public void Dispose()
    {
        _peer.Dispose();
        _cancel.Dispose();
    }

    /// <summary>Something may arrive while a send copies: it goes to the backlog.</summary>
    public void OnCopied(int bytes)
    {
        if (!_inCopy && _random.Next(3) == 0)
        {
            _inCopy = true;
            Arrive();
            _inCopy = false;
        }
    }

    private string? Live(int steps)
    {
        for (int step = 0; step < steps && _peer.Connection.State != TcpConnectionState.Closed; step++)
        {
One();
            if (_random.Next(4) != 0)
            {
_peer.Time.RunReady();
            }

            _tally.Steps++;
            if (Verify() is { } wrong)
            {
                return wrong;
            }
        }

        return End();
    }

    private string? Verify()
    {
        TcpConnection connection = _peer.Connection;
        return connection.VerifyInvariants() ?? connection.Memory.Verify()
            ?? (connection.Memory.Pages == _peer.Stack.Tcp.Memory.AllocatedPages ? null : "the socket's pages are not the stack's");
    }

    private void One()
    {
        switch (_random.Next(24))
        {
            case < 8:
                SendZeroCopy();
                break;
            case < 10:
                int bytes = _small > 0 ? _small : _random.Next(10) == 0 ? _random.Next(1, 60_000) : _random.Next(1, 3000);
                _tally.Sends += _peer.Socket.TrySend(s_pages.At(0, bytes).Span, Flags(), out _) > 0 ? 1 : 0;
                break;
            case 10:
                Flush();
                break;
            case < 19:
                Arrive();
                break;
            case 19:
                _peer.Time.RunFor(TimeSpan.FromMilliseconds(_random.Next(1, 700)));
                break;
            case 20:
                _peer.Connection.OnPathMtuReport(_peer.Acked, _random.Next(300, 1500), null!);
                break;
            case 21:
                Read(_random.Next(1, 10));
                _peer.Socket.TryReceive(new byte[_random.Next(1, 20_000)], TcpReceiveFlags.None, out _);
                break;
            case 22:
                _peer.Link.Holds = _random.Next(2) == 0;
                if (!_peer.Link.Holds)
                {
                    _peer.Link.LetGo();
                }

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
                _peer.Deliver(TcpFlags.RstAck, _peer.Next);
                break;
            case 1:
                _peer.Socket.Abort();
                break;
            case < 5:
                _peer.Link.ScatterGather = _random.Next(3) != 0;
                break;
            case < 9:
                int pages = _random.Next(1, 120);
                _peer.Stack.Tcp.Memory.SetLimits(pages / 3, pages / 2, _random.Next(3) == 0 ? 100_000 : pages);
                break;
            case < 12:
                _cancel.Cancel();
                break;
            default:
                _peer.Ack(_peer.Link.SentEnd);
                break;
        }
    }

    /// <summary>Small segments are records of their own, so that each is a buffer.</summary>
    private TcpSendFlags Flags() => _small > 0 ? TcpSendFlags.EndOfRecord : (TcpSendFlags)_random.Next(8);

    private void SendZeroCopy()
    {
        ReadOnlyMemory<byte> data = _small > 0
            ? s_pages.At(_random.Next(70 * Page), _small)
            : _random.Next(3) switch
            {
                0 => s_pages.At(_random.Next(60) * Page, _random.Next(1, 12) * Page),
                1 => s_pages.At(_random.Next(60 * Page), _random.Next(1, 20_000)),
                _ => s_pages.At(_random.Next(60 * Page), _random.Next(1, 300)),
            };
        for (int i = _random.Next(1, 4); i > 0; i--)
        {
            if (_sending is { IsCompleted: false })
            {
                return;
            }

            if (_sending is { IsFaulted: true } || _cancel.IsCancellationRequested)
            {
                _tally.Refusals++;
                _cancel.Dispose();
                _cancel = new CancellationTokenSource();
            }

            _sending = _peer.Socket.SendZeroCopyAsync(data, Flags(), _cancel.Token).AsTask();
            _tally.Sends++;
        }
    }

    /// <summary>Slabs that are attached, not copied: what splice does in Linux.</summary>
    private void Flush()
    {
        if (_flushing is { IsCompleted: false })
        {
            return;
        }

        try
        {
            int bytes = _random.Next(1, 2000);
            _pipe.GetSpan(bytes);
            _pipe.Advance(bytes);
            _flushing = _pipe.FlushAsync().AsTask();
        }
        catch (SocketException)
        {
            _tally.Refusals++;
        }
    }

    private void Arrive()
    {
        int flight = _peer.Link.SentEnd.Since(_peer.Acked);
        if (_random.Next(10) == 0)
        {
            _peer.Window = (uint)(_random.Next(4) == 0 ? _random.Next(0, 3) : _random.Next(10, 65535));
        }

        switch (_random.Next(9))
        {
            case 0:
                _peer.Ack(_peer.Link.SentEnd);
                break;
            case < 3:
                _peer.Ack(_peer.Acked + (_random.Next(2) == 0 ? _random.Next(flight + 1) : flight / ScriptedPeer.Mss / 2 * ScriptedPeer.Mss));
                break;
            case < 6:
                _peer.Deliver(TcpFlags.Ack, _peer.Next, options: Blocks(flight));
                break;
            case 6:
                int length = _random.Next(1, ScriptedPeer.Mss);
                _peer.Deliver(TcpFlags.Ack, _peer.Next, length);
                _peer.Next += length;
                break;
            case 7:
                _peer.Deliver(TcpFlags.Ack, _peer.Next + _random.Next(1, 40_000), _random.Next(1, ScriptedPeer.Mss));
                break;
            default:
                _peer.Deliver(TcpFlags.Ack, _peer.Next + -_random.Next(1, 2000), _random.Next(1, ScriptedPeer.Mss));
                break;
        }
    }

    /// <summary>Some of what was sent has arrived out of order: whole segments of a small life, anything else at times.</summary>
    private TcpOptions Blocks(int flight)
    {
        var options = default(TcpOptions);
        for (int i = _random.Next(1, 4); i > 0 && flight > 2; i--)
        {
            int grain = _small > 0 ? _small : _random.Next(2) == 0 ? ScriptedPeer.Mss : 1;
            int from = Math.Max(1, _random.Next(1, flight) / grain) * grain;
            int to = from + (Math.Max(1, _random.Next(0, Math.Max(1, flight - from)) / grain) * grain);
            if (to <= flight)
            {
                options.AddSackBlock(new SackBlock(_peer.Acked + from, _peer.Acked + to));
            }
        }

        return options;
    }

    private string? Read(int most)
    {
        while (most-- > 0 && _peer.Socket.TryReadZeroCopyNotification(out ZeroCopyNotification read))
        {
            for (uint id = read.First; ; id++)
            {
                if (!_notified.Add(id))
                {
                    return $"id {id} was notified twice";
                }

                _tally.Ids++;
                if (id == read.Last)
                {
                    break;
                }
            }
        }

        return null;
    }

    /// <summary>When all is over, nothing is owed and everybody has been told.</summary>
    private string? End()
    {
        TcpConnection connection = _peer.Connection;
        _peer.Stack.CopySeam = null;
        _tally.Downgrades += _peer.Stack.GetCounter(StackCounter.TcpZeroCopyDowngrades);
        _tally.Merges += _peer.Stack.GetCounter(StackCounter.TcpSackMerged) + _peer.Stack.GetCounter(StackCounter.TcpSackShifted);
        _pipe.Complete(new IOException("the end"));
        _peer.End();
        string? wrong = Read(int.MaxValue);
        return wrong
            ?? ((connection.Memory.Pages, connection.Memory.ForwardAlloc, connection.Memory.WriteQueueBytes, connection.Memory.WriteCharged) == (0, 0, 0, 0)
                ? null : $"at the end: {connection.Memory}")
            ?? (connection.ZeroCopy.NextId - _firstId == (uint)_notified.Count ? null : "an id was never notified")
            ?? (connection.ZeroCopy.OptionalBytes == 0 && _peer.Stack.Tcp.PinnedBytes == 0 ? null : "optional or pinned memory is left");
    }
}
