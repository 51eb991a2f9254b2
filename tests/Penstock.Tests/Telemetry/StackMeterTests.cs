using System.Diagnostics.Metrics;
using System.Net;
using Penstock.Telemetry;
using Penstock.Time;

namespace Penstock.Tests.Telemetry;

public class StackMeterTests
{
    [Fact]
    public void Every_counter_has_one_instrument_with_a_name_of_its_own()
    {
        Assert.Equal(Enum.GetValues<StackCounter>(), CounterInstruments.All.Select(r => r.Counter).Order());
        Assert.Equal(CounterInstruments.All.Count, CounterInstruments.All.Select(r => r.Name).Distinct().Count());
        Assert.All(CounterInstruments.All, r =>
        {
            Assert.Matches("^penstock(\\.[a-z_]+)+$", r.Name);
            Assert.Matches("^\\{[a-z]+\\}$", r.Unit);
            Assert.EndsWith(".", r.Description, StringComparison.Ordinal);
        });
    }

    [Fact]
    public void The_telemetry_page_shows_the_table()
    {
        string[] page = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "docs", "telemetry.md"));
        int first = Array.IndexOf(page, "| counter | instrument | unit | meaning |") + 2;
        Assert.Equal(
            CounterInstruments.All.Select(r => $"| {r.Counter} | `{r.Name}` | `{r.Unit}` | {r.Description} |"),
            page.Skip(first).TakeWhile(l => l.StartsWith('|')));
    }

    [Fact]
    public void A_listener_sees_counters_states_memory_and_links_of_a_stack()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Name = "metered", Driver = time, Seed = 1, MemoryLimit = 64 << 20 });
        using var seen = new SeenMeasurements("metered");
        time.Run(async () =>
        {
            await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
            await using TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            await using TcpSocket server = await listener.AcceptAsync();
            await client.SendAsync(new byte[1000]);
            seen.Read();
            Assert.Equal(stack.GetCounter(StackCounter.TcpOutSegs), seen["penstock.tcp.sent"]);
            Assert.True(seen["penstock.tcp.sent"] >= 3);
            Assert.Equal(2, seen["penstock.tcp.established"]);
            Assert.Equal(2, seen["penstock.tcp.connections", "network.connection.state=established"]);
            Assert.Equal(1, seen["penstock.tcp.connections", "network.connection.state=listen"]);
            Assert.Equal(0, seen["penstock.tcp.connections", "network.connection.state=fin_wait1"]);
            Assert.Equal(64 << 20, seen["penstock.memory.limit"]);
            Assert.Equal(stack.Pool.HeldBytes, seen["penstock.memory.held"]);
            Assert.Equal(stack.Tcp.Memory.AllocatedPages * 4096, seen["penstock.tcp.memory"]);
            Assert.Equal(48 << 20, seen["penstock.tcp.memory.limit"]);
            Assert.Equal(0, seen["penstock.malformed", "error.type=ipv4_bad_checksum"]);
            Assert.True(seen["penstock.link.io", "penstock.link=lo", "network.io.direction=transmit"] > 1000);
            await client.CloseAsync();
            await server.CloseAsync();
            await listener.DisposeAsync();
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(5));
        seen.Read();
        Assert.True(seen.IsEmpty, "a disposed stack has no instruments");
    }

    [Fact]
    public async Task A_factory_makes_the_meter_and_a_disposed_stack_says_nothing_on_it()
    {
        using var factory = new KeepingFactory();
        var stack = new NetworkStack(new NetworkStackOptions { Name = "made", Driver = new VirtualTime(), MeterFactory = factory });
        using var seen = new SeenMeasurements("made");
        seen.Read();
        Assert.Equal(0, seen["penstock.tcp.retransmits"]);
        await stack.DisposeAsync();
        seen.Read();
        Assert.True(seen.IsEmpty);
        Assert.Equal("Penstock", Assert.Single(factory.Made).Name);
    }

    [Fact]
    public async Task Memory_pressure_is_counted()
    {
        await using var stack = new NetworkStack(new NetworkStackOptions { Driver = new VirtualTime() });
        stack.Tcp.Memory.EnterPressure();
        stack.Tcp.Memory.EnterPressure();
        Assert.Equal(1, stack.GetCounter(StackCounter.TcpMemoryPressures));
    }

    /// <summary>Like a dependency-injection container's factory: disposing one of its meters does nothing.</summary>
    private sealed class KeepingFactory : IMeterFactory
    {
        public List<Meter> Made { get; } = [];

        public Meter Create(MeterOptions options)
        {
            var meter = new KeptMeter(options);
            Made.Add(meter);
            return meter;
        }

        public void Dispose() => Made.ForEach(m => ((KeptMeter)m).Release());

        private sealed class KeptMeter(MeterOptions options) : Meter(options)
        {
            public void Release() => base.Dispose(true);

#pragma warning disable CA2215 // Not disposing is the point.
            protected override void Dispose(bool disposing)
            {
            }
#pragma warning restore CA2215
        }
    }

    /// <summary>What one reading of a stack's instruments gave.</summary>
    internal sealed class SeenMeasurements : IDisposable
    {
        private readonly MeterListener _listener = new();
        private readonly Dictionary<string, long> _values = [];

        public SeenMeasurements(string stack)
        {
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Penstock" && instrument.Meter.Tags!.Any(t => t.Key == "penstock.stack" && (string?)t.Value == stack))
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            };
            _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
                _values.Add(string.Join(' ', [instrument.Name, .. tags.ToArray().Select(t => $"{t.Key}={t.Value}")]), value));
            _listener.Start();
        }

        public bool IsEmpty => _values.Count == 0;

        public long this[params string[] nameAndTags] => _values[string.Join(' ', nameAndTags)];

        public void Read()
        {
            _values.Clear();
            _listener.RecordObservableInstruments();
        }

        public void Dispose() => _listener.Dispose();
    }
}
