using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>
/// Random lives of connections under tight memory, every invariant checked after every step. A new seed each run, printed; PENSTOCK_AUDIT_SEED repeats one.
/// </summary>
public class AccountingAuditTests
{
    private const int Lives = 250;
    private const int Steps = 450;

    [Fact]
    [Trait("Requirement", "R2.1")]
    [Trait("Requirement", "R2.2")]
    [Trait("Requirement", "R2.3")]
    [Trait("Requirement", "R2.6")]
    [Trait("Requirement", "R2.7")]
    [Trait("Requirement", "R2.8")]
    [Trait("Requirement", "R2.22")]
    public async Task The_ledgers_balance_after_every_step_of_random_lives()
    {
        string? given = Environment.GetEnvironmentVariable("PENSTOCK_AUDIT_SEED");
        int seed = given is null ? Random.Shared.Next() : int.Parse(given, System.Globalization.CultureInfo.InvariantCulture);
        TestContext.Current.TestOutputHelper!.WriteLine($"PENSTOCK_AUDIT_SEED={seed}");
        long steps = 0, refusals = 0, resets = 0, joined = 0, marked = 0;
        for (int life = 0; life < Lives; life++)
        {
            var audit = new Life(seed + life);
            try
            {
                await audit.RunAsync(Steps);
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException(
                    $"PENSTOCK_AUDIT_SEED={seed + life}, step {audit.Step} of the first life then: {audit.Last}. {failure.Message}", failure);
            }

            steps += audit.Step;
            refusals += audit.Refusals;
            resets += audit.Ended ? 1 : 0;
            joined += audit.Joined;
            marked += audit.Marked;
        }

        TestContext.Current.TestOutputHelper.WriteLine($"{steps} steps, {refusals} refusals, {resets} early ends, {joined} buffers joined after SACKs, {marked} marked as zero-copy");
        Assert.True(steps > 50_000);
        Assert.True(refusals > 100, "memory was never short: the audit tests too little");
        Assert.True(joined > 500 && marked > 500, "hardly anything was merged: the audit tests too little");
    }

    private sealed class Life(int seed)
    {
        private readonly Random _random = new(seed);

        // Every other life is one of small segments, each a buffer, which merge when they are sent again or SACKed; some of their payload is then marked as the application's.
        private readonly bool _small = seed % 2 == 0;
        private readonly List<CountedMemory> _memories = [];

        public int Step { get; private set; }

        public string Last { get; private set; } = "start";

        public int Refusals { get; private set; }

        public bool Ended { get; private set; }

        public long Joined { get; private set; }

        public int Marked => _memories.Count;

        public async Task RunAsync(int most)
        {
            bool tightPool = _random.Next(3) == 0;
            await using var peer = new HandPeer(
                s =>
                {
                    s.SizeGoal = _random.Next(3) switch { 0 => 0, 1 => 1, _ => 5000 };
                    s.BacklogFlushBuffers = _random.Next(3);
                    s.BacklogCoalesce = _random.Next(4) != 0;
                    s.BacklogAckDefer = _random.Next(4) != 0;
                },
                sack: _random.Next(4) != 0,
                memoryLimit: tightPool ? 1 << 20 : 1 << 30);
            peer.Link.KeepsPayload = false;
            peer.Socket.NoDelay = _small;
            peer.Connection.Cwnd.Window = _random.Next(1, 200);
            if (_random.Next(2) == 0)
            {
                peer.SendBuffer(_random.Next(3000, 500_000));
            }

            if (_random.Next(2) == 0)
            {
                int pages = _random.Next(1, 60);
                peer.Stack.Tcp.Memory.SetLimits(pages / 3, pages / 2, pages);
            }

            bool inCopy = false;
            peer.InCopy = _ =>
            {
                if (!inCopy && _random.Next(3) == 0)
                {
                    inCopy = true;
                    Last = RandomArrival.Deliver(peer, _random, _small);
                    if (_random.Next(8) == 0)
                    {
                        peer.Time.Elapse(_random.Next(1, 300) * 1_000_000L);
                    }

                    inCopy = false;
                }
            };
            for (Step = 1; Step <= most && peer.Connection.State != TcpConnectionState.Closed; Step++)
            {
                long before = peer.Stack.Pool.Refusals;
                One(peer);
                Refusals += peer.Stack.Pool.Refusals > before ? 1 : 0;
                Verify(peer);
                Trim(peer);
            }

            Ended = peer.Connection.State == TcpConnectionState.Closed;
            Joined = peer.Stack.GetCounter(StackCounter.TcpSackMerged) + peer.Stack.GetCounter(StackCounter.TcpSackShifted);
            Last = "end";
            peer.InCopy = null;
            peer.Socket.Dispose();
            peer.Connection.Own();
            peer.Connection.Abort(SocketError.ConnectionAborted);
            peer.Connection.Release();
            Assert.Equal(0, peer.Connection.Memory.Pages);
            Assert.Equal(0, peer.Connection.Memory.ForwardAlloc);
            Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
            Assert.Equal(0, peer.Connection.Memory.ReceiveAlloc);
            Assert.All(_memories, m => Assert.Equal(1, m.LetGo));
        }

        private static void Verify(HandPeer peer)
        {
            TcpConnection connection = peer.Connection;
            if ((connection.VerifyInvariants() ?? connection.Memory.Verify()) is { } wrong)
            {
                throw new InvalidOperationException(wrong);
            }

            Assert.False(connection.IsOwned);
            Assert.Equal(0, connection.BacklogBytes);
            Assert.Equal(connection.Memory.Pages, peer.Stack.Tcp.Memory.AllocatedPages);
            Assert.True(peer.Stack.Pool.HeldMaximumBytes <= peer.Stack.Pool.Limit);
            int sum = 0, charged = 0;
            foreach (QueuedBuffer buffer in connection.QueuedBuffers())
            {
                int rounding = buffer.TrueSize - (buffer.HeadTrueSize + buffer.Length);
                Assert.True((buffer.Flags & SegmentFlags.ZeroCopy) != 0 ? rounding >= 0 : rounding == 0, $"{rounding} bytes of true size too many");
                sum += buffer.TrueSize;
                charged += (buffer.Flags & SegmentFlags.PureZeroCopy) != 0 ? buffer.HeadTrueSize : buffer.TrueSize;
            }

            Assert.Equal(sum, connection.Memory.WriteQueueBytes);
            Assert.Equal(charged, connection.Memory.WriteCharged);
        }

        private static void Trim(HandPeer peer)
        {
            // What was sent is only needed for its end.
            if (peer.Link.Sent.Count > 200)
            {
                SentSegment furthest = peer.Link.Sent.MaxBy(s => (int)(s.End - peer.First))!;
                peer.Link.Sent.Clear();
                peer.Link.Sent.Add(furthest);
            }
        }

        private void One(HandPeer peer)
        {
            switch (_random.Next(20))
            {
                case < 6:
                    int bytes = _small ? 100 * _random.Next(1, 4) : _random.Next(10) == 0 ? _random.Next(1, 200_000) : _random.Next(1, 8000);
                    var flags = (TcpSendFlags)_random.Next(8);
                    Last = $"send {bytes} {flags}";
                    if (peer.Send(bytes, flags) == TcpConnection.WouldBlock)
                    {
                        Refusals++;
                    }

                    if (_small)
                    {
                        Mark(peer);
                    }

                    break;
                case < 14:
                    Last = RandomArrival.Deliver(peer, _random, _small);
                    break;
                case < 16:
                    Last = "time";
                    peer.Time.RunFor(TimeSpan.FromMilliseconds(_random.Next(1, 700)));
                    break;
                case 16:
                    Last = "read";
                    peer.Socket.TryReceive(new byte[_random.Next(1, 20_000)], TcpReceiveFlags.None, out _);
                    break;
                case 17:
                    Last = "burst";
                    peer.Connection.Own();
                    for (int i = _random.Next(1, 30); i > 0; i--)
                    {
                        Last = RandomArrival.Deliver(peer, _random, _small);
                    }

                    peer.Connection.Release();
                    break;
                case 18:
                    Last = "MTU";
                    peer.Connection.OnPathMtuReport(new SequenceNumber(peer.Acked), _random.Next(300, 1500), null!);
                    break;
                default:
                    switch (_random.Next(60))
                    {
                        case 0:
                            Last = "reset";
                            peer.Reset();
                            break;
                        case 1:
                            Last = "close";
                            peer.Socket.Dispose();
                            break;
                        case 2:
                            Last = "shutdown";
                            peer.Connection.Own();
                            peer.Connection.ShutdownSend();
                            peer.Connection.Release();
                            break;
                        default:
                            int pages = _random.Next(1, 80);
                            Last = $"tcp_mem {pages}";
                            peer.Stack.Tcp.Memory.SetLimits(pages / 3, pages / 2, _random.Next(3) == 0 ? 100_000 : pages);
                            break;
                    }

                    break;
            }
        }

        /// <summary>Makes a sent buffer of copied data one of application memory, now and then.</summary>
        private void Mark(HandPeer peer)
        {
            foreach (PacketBuffer buffer in QueuedMarks.Sent(peer.Connection))
            {
                if (_random.Next(12) == 0 && (buffer.Segment & SegmentFlags.ZeroCopy) == 0 && buffer.FragmentCount == 1 && (buffer.TcpFlags & TcpFlags.Syn) == 0)
                {
                    _memories.Add(QueuedMarks.Mark(peer.Connection, buffer, _random.Next(3) == 0 ? 'M' : 'P')!);
                }
            }
        }
    }
}
