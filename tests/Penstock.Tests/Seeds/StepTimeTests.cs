using Penstock.Time;

namespace Penstock.Tests.Seeds;

/// <summary>
/// The time of an owner's step never goes backward. A worker reads the clock when its round begins; before it comes to its packet its thread may have lost the processor, and another have sent with a later time: a segment with the
/// older one would be dropped by the peer, for its timestamp runs backward (RFC 7323 5).
/// </summary>
public sealed class StepTimeTests
{
    private readonly SettableDriver _driver = new() { Now = 1_000_000 };
    private readonly TestSocket _socket;

    public StepTimeTests() => _socket = new TestSocket(_driver);

    [Fact]
    public void A_packet_is_not_processed_at_a_time_before_what_another_owner_has_done_since_the_round_began()
    {
        long sent = 0, processed = 0;
        _socket.OnPacket = _ => processed = _socket.StepTime;
        _socket.ArriveInRound(1, () =>
        {
            _driver.Now += 5_000_000;
            _socket.Own();
            sent = _socket.StepTime;
            _socket.Release();
            _driver.Now += 100;
        });
        Assert.Equal((6_000_000, 6_000_100), (sent, processed));
    }

    [Fact]
    public void Without_another_owner_the_rounds_reading_serves_its_first_packet()
    {
        long processed = 0;
        _socket.OnPacket = _ => processed = _socket.StepTime;
        _socket.ArriveInRound(1, () => _driver.Now += 300);
        Assert.Equal((1_000_000, 1), (processed, _driver.Reads));
    }

    /// <summary>Two stacks on one thread: the answer may come in a batch that has the time of the sending. It took longer than that, and no round-trip time is nothing.</summary>
    [Fact]
    public void What_comes_in_a_round_of_the_sockets_own_last_step_has_a_later_time()
    {
        long processed = 0;
        _socket.OnPacket = _ => processed = _socket.StepTime;
        _socket.Own();
        Assert.Equal(1_000_000, _socket.StepTime);
        _socket.Release();
        _socket.ArriveInRound(1, () => _driver.Now += 300);
        Assert.Equal(1_000_300, processed);
    }

    private sealed class SettableDriver : Driver
    {
        public long Now { get; set; }

        public int Reads { get; private set; }

        public override long NowNanos
        {
            get
            {
                Reads++;
                return Now;
            }
        }

        public override void Wake(Worker worker)
        {
        }

        public override void Start(Worker worker)
        {
        }

        public override void Stop(Worker worker)
        {
        }
    }
}
