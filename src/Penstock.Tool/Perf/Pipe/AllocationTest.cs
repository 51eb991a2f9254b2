using System.Globalization;
using System.Net.Sockets;

namespace Penstock.Tool.Perf.Pipe;

/// <summary>
/// Bytes that the process allocates for each send, each receive and each segment, added up. Two messages go together and are received one by one, so that every other receive
/// finds its data there and every other really waits; which did is counted, not assumed.
/// </summary>
internal sealed class AllocationTest : PipeTest
{
    private const string Test = "pipe.alloc";
    private const int Message = 64;

    public override IReadOnlyList<string> Names => [Test];

    public override async Task RunAsync(PipeSettings settings, PipeReport report)
    {
        var pair = new PipePair();
        await using var owned = pair.ConfigureAwait(false);
        (TcpSocket near, TcpSocket far) = await pair.ConnectAsync(7, noDelay: true, report.Stop).ConfigureAwait(false);
        var there = new Counts();
        var back = new Counts();
        Task echo = EchoAsync(far, back);

        // A whole run: what the runtime compiles anew, and what is kept for reuse until there is enough of it, is not what an operation costs.
        int trips = (settings.Operations / 4) + 1;
        await TripsAsync(near, there, trips, report.Stop).ConfigureAwait(false);
        await report.RepeatAsync(settings with { WarmUpRuns = 0 }, RunOnceAsync).ConfigureAwait(false);
        near.Abort();
        await echo.ConfigureAwait(false);

        async Task RunOnceAsync()
        {
            Counts before = there + back;
            long segments = Segments(pair);
            long allocated = GC.GetTotalAllocatedBytes(precise: true);

            // Each trip is two receives here and two there.
            await TripsAsync(near, there, trips, report.Stop).ConfigureAwait(false);
            double bytes = GC.GetTotalAllocatedBytes(precise: true) - allocated;
            segments = Segments(pair) - segments;
            Counts done = there + back - before;
            report.Add(
                Test,
                "B",
                (bytes / done.Sends) + (bytes / done.Receives) + (bytes / segments),
                string.Create(CultureInfo.InvariantCulture, $"{bytes:0} B for {done.Sends} sends, {done.Receives} receives of which {done.Waits} waited, and {segments} segments"));
        }
    }

    private static long Segments(PipePair pair) => pair.Client.GetCounter(StackCounter.TcpOutSegs) + pair.Server.GetCounter(StackCounter.TcpOutSegs);

    private static async Task TripsAsync(TcpSocket socket, Counts counts, int trips, CancellationToken stop)
    {
        byte[] sent = new byte[2 * Message];
        byte[] received = new byte[Message];
        for (int trip = 0; trip < trips; trip++)
        {
            stop.ThrowIfCancellationRequested();
            sent.AsSpan(0, Message).Fill((byte)trip);
            sent.AsSpan(Message).Fill((byte)~trip);
            await socket.SendAsync(sent, CancellationToken.None).ConfigureAwait(false);
            counts.Sends++;
            for (int half = 0; half < 2; half++)
            {
                if (await counts.Note(socket.ReceiveAsync(received, CancellationToken.None)).ConfigureAwait(false) != Message
                    || !received.AsSpan().SequenceEqual(sent.AsSpan(half * Message, Message)))
                {
                    throw Broken();
                }
            }
        }
    }

    private static async Task EchoAsync(TcpSocket socket, Counts counts)
    {
        byte[] both = new byte[2 * Message];
        try
        {
            while (true)
            {
                for (int half = 0; half < 2; half++)
                {
                    if (await counts.Note(socket.ReceiveAsync(both.AsMemory(half * Message, Message), CancellationToken.None)).ConfigureAwait(false) != Message)
                    {
                        throw Broken();
                    }
                }

                await socket.SendAsync(both, CancellationToken.None).ConfigureAwait(false);
                counts.Sends++;
            }
        }
        catch (SocketException reset) when (reset.SocketErrorCode == SocketError.ConnectionReset)
        {
            // The end of the test.
        }
    }

    private static ToolFailure Broken() => ToolFailure.Environment($"{Test}: what came is not what was sent. This is a bug in the stack: please report it.");

    /// <summary>What one end has done so far.</summary>
    private sealed class Counts
    {
        public long Sends;
        public long Receives;
        public long Waits;

        /// <summary>Counts a receive that has begun; not in an async method of its own, which would allocate each time that it waits.</summary>
        public ValueTask<int> Note(ValueTask<int> receiving)
        {
            Receives++;
            Waits += receiving.IsCompleted ? 0 : 1;
            return receiving;
        }

        public static Counts operator +(Counts a, Counts b) => new() { Sends = a.Sends + b.Sends, Receives = a.Receives + b.Receives, Waits = a.Waits + b.Waits };

        public static Counts operator -(Counts a, Counts b) => new() { Sends = a.Sends - b.Sends, Receives = a.Receives - b.Receives, Waits = a.Waits - b.Waits };
    }
}
