using Penstock.Time;

namespace Penstock.Tests.Time;

/// <summary>The driver that spins a little and then sleeps: whoever wakes it at any moment is heard.</summary>
public class ThreadDriverTests
{
    [Fact]
    public void No_wake_up_is_lost_between_two_threads_that_fall_asleep_all_the_time()
    {
        const int Hops = 40_000;
        var here = new ThreadDriver("here");
        var there = new ThreadDriver("there");
        var near = new Worker(here, 0);
        var far = new Worker(there, 0);
        here.Start(near);
        there.Start(far);
        using var done = new ManualResetEventSlim();
        var ball = new Ball(near, far, Hops, done);
        near.Post(ball.ToNear);
        Assert.True(done.Wait(TimeSpan.FromMinutes(2), TestContext.Current.CancellationToken), $"a wake-up was lost at hop {ball.Hop}");
        here.Stop(near);
        there.Stop(far);
    }

    private sealed class Ball
    {
        private readonly Worker _near;
        private readonly Worker _far;
        private readonly ManualResetEventSlim _done;
        private readonly Random _random = new(1);
        private int _left;

        public Ball(Worker near, Worker far, int hops, ManualResetEventSlim done)
        {
            (_near, _far, _left, _done) = (near, far, hops, done);
            ToNear = new Hit(this);
            ToFar = new Hit(this);
        }

        public WorkItem ToNear { get; }

        public WorkItem ToFar { get; }

        public int Hop => Volatile.Read(ref _left);

        /// <summary>One at a time: whoever has the ball.</summary>
        public void Strike(Worker at)
        {
            if (--_left == 0)
            {
                _done.Set();
                return;
            }

            // As long as the other side takes to fall asleep, more or less.
            Thread.SpinWait(_random.Next(1000));
            if (at == _near)
            {
                _far.Post(ToFar);
            }
            else
            {
                _near.Post(ToNear);
            }
        }
    }

    private sealed class Hit(Ball ball) : WorkItem
    {
        public override void OnWorker(Worker worker) => ball.Strike(worker);
    }
}
