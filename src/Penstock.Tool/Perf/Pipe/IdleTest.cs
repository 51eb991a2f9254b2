using System.Globalization;

namespace Penstock.Tool.Perf.Pipe;

/// <summary>
/// What an established connection costs while nothing happens on it: memory of the process (RSS) and of the managed heap, each after a full collection, over the number of ends;
/// a connection has two here. One run: what a run leaves behind would be part of the next one's figure.
/// </summary>
internal sealed class IdleTest : PipeTest
{
    private const string Test = "pipe.idle";
    private const string Unit = "B/end";
    private const int PerPort = 20_000;
    private const int AtATime = 64;

    public override IReadOnlyList<string> Names => [Test];

    public override async Task RunAsync(PipeSettings settings, PipeReport report)
    {
        var pair = new PipePair();
        await using var owned = pair.ConfigureAwait(false);
        int most = settings.IdleConnections, few = Math.Max(1, most / 10);
        var sockets = new TcpSocket[2 * most];

        // Pages that were never written are not resident yet: they would count as the connections'.
        Array.Clear(sockets);

        // One comes and goes first: what the first connection brings along is not part of any.
        await OpenAsync(pair, sockets, 0, 1, report).ConfigureAwait(false);
        (long resident, long heap) = Measure();
        await OpenAsync(pair, sockets, 1, few, report).ConfigureAwait(false);
        Report(few, resident, heap, report, "." + few.ToString(CultureInfo.InvariantCulture));
        await OpenAsync(pair, sockets, few, most, report).ConfigureAwait(false);
        Report(most, resident, heap, report, "");
        foreach (TcpSocket socket in sockets)
        {
            socket.Abort();
        }
    }

    private static void Report(int connections, long resident, long heap, PipeReport report, string suffix)
    {
        (long residentNow, long heapNow) = Measure();
        double ends = 2.0 * Math.Max(1, connections - 1);
        report.Add(Test + suffix, Unit, (residentNow - resident) / ends);
        report.Add($"{Test}.heap{suffix}", Unit, (heapNow - heap) / ends);
    }

    private static async Task OpenAsync(PipePair pair, TcpSocket[] sockets, int from, int to, PipeReport report)
    {
        for (int next = from; next < to;)
        {
            int port = 7 + (next / PerPort), upTo = Math.Min(to, (next / PerPort * PerPort) + PerPort);
            report.Progress($"{Test}: opening connection {next + 1} to {upTo}");
            TcpSocketListener listener = pair.Server.ListenTcp(new TcpListenOptions(PipePair.At(port)));
            await using var owned = listener.ConfigureAwait(false);
            for (; next < upTo; next += Math.Min(AtATime, upTo - next))
            {
                await OpenSomeAsync(pair.Client, listener, sockets, next, Math.Min(AtATime, upTo - next), report.Stop).ConfigureAwait(false);
            }
        }
    }

    private static async Task OpenSomeAsync(NetworkStack client, TcpSocketListener listener, TcpSocket[] sockets, int first, int count, CancellationToken stop)
    {
        var connecting = new Task<TcpSocket>[count];
        for (int i = 0; i < count; i++)
        {
            connecting[i] = client.ConnectTcpAsync(listener.LocalEndPoint, null, stop).AsTask();
        }

        for (int i = 0; i < count; i++)
        {
            sockets[2 * (first + i)] = await connecting[i].ConfigureAwait(false);
            sockets[(2 * (first + i)) + 1] = await listener.AcceptAsync(stop).ConfigureAwait(false);
        }
    }

    private static (long Resident, long Heap) Measure()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        GC.WaitForPendingFinalizers();
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        return (Environment.WorkingSet, GC.GetTotalMemory(forceFullCollection: false));
    }
}
