using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Tracing;
using System.Net;
using System.Net.Sockets;
using Penstock.Time;

namespace Penstock.Tests.Telemetry;

public class EventTests
{
    private static readonly IPEndPoint Http = new(IPAddress.Loopback, 80);

    [Fact]
    public void The_life_of_a_listener_and_its_connections_is_told()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Name = "told", Driver = time, Seed = 1 });
        using var events = new SeenEvents("told");
        time.Run(async () =>
        {
            stack.Sysctl.Set("net.ipv4.tcp_syncookies", "2");
            TcpSocketListener listener = stack.ListenTcp(Http);
            TcpSocket client = await stack.ConnectTcpAsync(Http);
            TcpSocket server = await listener.AcceptAsync();
            client.Abort();
            await Assert.ThrowsAsync<SocketException>(async () => await server.ReceiveAsync(new byte[1], TestContext.Current.CancellationToken));
            server.Dispose();
            listener.Dispose();
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(5));

        Assert.Equal("127.0.0.1:80 512", Assert.Single(events.Of("ListenerStarted")));
        Assert.Equal("127.0.0.1:80 0", Assert.Single(events.Of("SynCookiesSent")));
        string[] established = events.Of("ConnectionEstablished");
        Assert.Single(established, e => e.StartsWith("127.0.0.1:80 127.0.0.1:", StringComparison.Ordinal) && e.EndsWith(" True", StringComparison.Ordinal));
        Assert.Single(established, e => e.EndsWith(" 127.0.0.1:80 False", StringComparison.Ordinal));
        Assert.Single(events.Of("ConnectionClosedWithError"), e => e.EndsWith("127.0.0.1:80 Established ConnectionAborted", StringComparison.Ordinal));
        Assert.Single(events.Of("ConnectionClosedWithError"), e => e.EndsWith("Established ConnectionReset", StringComparison.Ordinal));
        Assert.Equal("127.0.0.1:80", Assert.Single(events.Of("ListenerStopped")));
        Assert.Empty(events.Of("EventSourceMessage"));
    }

    [Fact]
    public async Task Failed_links_and_memory_pressure_are_told()
    {
        using var events = new SeenEvents("poor");
        await using var stack = new NetworkStack(new NetworkStackOptions { Name = "poor", Driver = new VirtualTime(), MemoryLimit = 64 << 20 });
        stack.Tcp.Memory.EnterPressure();
        stack.OnLinkFailed(stack.Interfaces[0], new IOException("cut"));
        Assert.Equal($"0 {48 << 20}", Assert.Single(events.Of("MemoryPressureEntered")));
        Assert.Equal("lo cut", Assert.Single(events.Of("LinkFailed")));
    }

    [Fact]
    public void A_connect_into_nowhere_tells_its_timeouts_and_is_a_failed_activity()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Name = "lonely", Driver = time, Seed = 1 });
        var link = new PacketLink(new PacketLinkOptions());
        stack.AddInterface(link, InterfaceAddress.Parse("10.0.0.1/24"));
        stack.Sysctl.Set("net.ipv4.tcp_syn_retries", "2");
        using var events = new SeenEvents("lonely");
        using var activities = new SeenActivities("lonely");
        time.Run(async () =>
        {
            var failure = await Assert.ThrowsAsync<SocketException>(async () =>
                await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.0.0.2"), 443), null, TestContext.Current.CancellationToken));
            Assert.Equal(SocketError.TimedOut, failure.SocketErrorCode);
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(5));

        Assert.NotEmpty(events.Of("RetransmissionTimeout"));
        Assert.Contains(" 10.0.0.2:443 1 1000", events.Of("RetransmissionTimeout")[0], StringComparison.Ordinal);
        Assert.EndsWith(" 10.0.0.2:443 SynSent TimedOut", Assert.Single(events.Of("ConnectionClosedWithError")), StringComparison.Ordinal);
        Activity activity = Assert.Single(activities.Stopped);
        Assert.Equal("penstock.tcp.connect", activity.OperationName);
        Assert.Equal(ActivityKind.Client, activity.Kind);
        Assert.Equal(ActivityStatusCode.Error, activity.Status);
        Assert.Equal("timed_out", activity.GetTagItem("error.type"));
        Assert.Equal("10.0.0.2", activity.GetTagItem("server.address"));
        Assert.Equal(443, activity.GetTagItem("server.port"));
    }

    [Fact]
    public void A_connect_by_name_is_an_activity_with_the_peer()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Name = "named", Driver = time, Seed = 1 });
        stack.Hosts.Add("web.test", IPAddress.Loopback);
        using var activities = new SeenActivities("named");
        time.Run(async () =>
        {
            await using TcpSocketListener listener = stack.ListenTcp(Http);
            TcpSocket client = await stack.ConnectTcpAsync(new DnsEndPoint("web.test", 80));
            Assert.Null(Activity.Current);
            client.Abort();
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(5));

        Activity activity = Assert.Single(activities.Stopped);
        Assert.Equal(ActivityStatusCode.Unset, activity.Status);
        Assert.Equal("web.test", activity.GetTagItem("server.address"));
        Assert.Equal("127.0.0.1", activity.GetTagItem("network.peer.address"));
        Assert.Equal(80, activity.GetTagItem("network.peer.port"));
    }

    /// <summary>The events of one stack; other tests' stacks may speak at the same time.</summary>
    private sealed class SeenEvents : EventListener
    {
        private readonly ConcurrentQueue<EventWrittenEventArgs> _all = new();
        private readonly string _stack;

        public SeenEvents(string stack)
        {
            _stack = stack;
            EnableEvents(Penstock.Telemetry.PenstockEventSource.Log, EventLevel.Informational, EventKeywords.All);
        }

        /// <summary>Payloads without the stack's name.</summary>
        public string[] Of(string name) =>
            [.. _all.Where(e => e.EventName == name && (string?)e.Payload![0] == _stack || name == "EventSourceMessage" && e.EventName == name)
                .Select(e => string.Join(' ', e.Payload!.Skip(1)))];

        // Called from the base constructor too, before there is a queue.
        protected override void OnEventWritten(EventWrittenEventArgs eventData) => _all?.Enqueue(eventData);
    }

    private sealed class SeenActivities : IDisposable
    {
        private readonly ActivityListener _listener;

        public SeenActivities(string stack)
        {
            _listener = new ActivityListener
            {
                ShouldListenTo = s => s.Name == "Penstock",
                Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
                ActivityStopped = a =>
                {
                    if ((string?)a.GetTagItem("penstock.stack") == stack)
                    {
                        Stopped.Enqueue(a);
                    }
                },
            };
            ActivitySource.AddActivityListener(_listener);
        }

        public ConcurrentQueue<Activity> Stopped { get; } = new();

        public void Dispose() => _listener.Dispose();
    }
}
