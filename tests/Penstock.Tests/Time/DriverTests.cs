using System.Net;
using Penstock.Time;

namespace Penstock.Tests.Time;

/// <summary>What drives workers in real time: one thread for several stacks, and a provider's timer.</summary>
public sealed class DriverTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Stacks_with_one_driver_share_its_thread_and_one_may_leave_before_the_other()
    {
        var driver = new ThreadDriver("shared");
        await using var server = new NetworkStack(new NetworkStackOptions { CloseTimeout = TimeSpan.Zero, Driver = driver });
        for (int round = 0; round < 3; round++)
        {
            var cable = new VirtualCable();
            await using var other = new NetworkStack(new NetworkStackOptions { CloseTimeout = TimeSpan.Zero, Driver = driver });
            var third = new NetworkStack(new NetworkStackOptions { CloseTimeout = TimeSpan.Zero, Driver = driver });
            third.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
            other.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));
            await using TcpSocketListener listener = other.ListenTcp(new IPEndPoint(IPAddress.Any, 7));
            await using TcpSocket near = await third.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 7), cancellationToken: Cancel);
            await using TcpSocket far = await listener.AcceptAsync(Cancel);
            var threads = new HashSet<Thread>();
            near.UnsafeInlineContinuations = far.UnsafeInlineContinuations = true;
            near.NoDelay = far.NoDelay = true;
            for (int i = 0; i < 50; i++)
            {
                Task first = ReceiveAsync(near, threads);
                Task second = ReceiveAsync(far, threads);
                await near.SendAsync(new byte[10], Cancel);
                await far.SendAsync(new byte[10], Cancel);
                await first;
                await second;
                await Task.Yield();
            }

            // A receive that found the socket owned for a moment goes on where it is given it, which is a thread of the pool.
            Assert.Single(threads, thread => thread.Name == "shared");
            await third.DisposeAsync();
        }

        await using TcpSocketListener last = server.ListenTcp(new IPEndPoint(IPAddress.Any, 7));
        await using TcpSocket still = await server.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 7), cancellationToken: Cancel);
    }

    [Fact]
    public async Task What_is_posted_while_a_provider_s_timer_is_set_runs_at_once()
    {
        var provider = new PostingProvider();
        var driver = new TimeProviderDriver(provider);
        var worker = new Worker(driver, 0);
        provider.Worker = worker;
        driver.Start(worker);

        // With a deadline to come the worker reads the clock when it has run, and the driver sets its timer.
        worker.Arm(new Far(), 3_600_000_000_000);
        await provider.Late.Done.WaitAsync(TimeSpan.FromMinutes(1), Cancel);

        driver.Stop(worker);
        Assert.All(provider.DueTimes, due => Assert.InRange(due, TimeSpan.Zero, TimeSpan.FromHours(1)));
        Assert.NotEmpty(provider.DueTimes);
    }

    private static async Task ReceiveAsync(TcpSocket socket, HashSet<Thread> threads)
    {
        await socket.ReceiveAsync(new byte[10], Cancel).ConfigureAwait(false);
        lock (threads)
        {
            threads.Add(Thread.CurrentThread);
        }
    }

    private sealed class Far : TimerEntry
    {
        public override void OnTimer(long nowNanos)
        {
        }
    }

    private sealed class Note : WorkItem
    {
        private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Done => _done.Task;

        public override void OnWorker(Worker worker) => _done.TrySetResult();
    }

    /// <summary>Posts one more item when the clock is read for the second time, which is when the worker has run and the timer is about to be set.</summary>
    private sealed class PostingProvider : TimeProvider
    {
        private int _reads = -1;

        public Worker? Worker { get; set; }

        public Note Late { get; } = new();

        public List<TimeSpan> DueTimes { get; } = [];

        public override long GetTimestamp()
        {
            if (Worker is not null && ++_reads == 1)
            {
                Worker.Post(Late);
            }

            return 0;
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => new Timer(DueTimes);

        private sealed class Timer(List<TimeSpan> dueTimes) : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period)
            {
                dueTimes.Add(dueTime);
                return true;
            }

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }
}
