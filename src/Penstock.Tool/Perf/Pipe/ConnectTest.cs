using System.Net.Sockets;

namespace Penstock.Tool.Perf.Pipe;

/// <summary>
/// Connections opened and closed, several at a time: the server accepts and closes, the client reads the end and closes, so that each goes through its whole life and leaves a
/// TIME-WAIT behind.
/// </summary>
internal sealed class ConnectTest : PipeTest
{
    private const string Test = "pipe.crr";
    private const int Clients = 16;

    public override IReadOnlyList<string> Names => [Test];

    public override Task RunAsync(PipeSettings settings, PipeReport report) => report.RepeatAsync(settings, () => RunOnceAsync(settings.Time, report));

    private static async Task RunOnceAsync(TimeSpan time, PipeReport report)
    {
        var pair = new PipePair();
        await using var owned = pair.ConfigureAwait(false);
        TcpSocketListener listener = pair.Server.ListenTcp(new TcpListenOptions(PipePair.At(7)));
        await using var ownedListener = listener.ConfigureAwait(false);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(report.Stop);
        Task accepting = AcceptAsync(listener, ended.Token);
        var clients = new Client[Clients];
        for (int i = 0; i < Clients; i++)
        {
            clients[i] = new Client(pair.Client);
            clients[i].Start(ended.Token);
        }

        try
        {
            // A client that fails says so at once.
            Task any = Task.WhenAny(clients.Select(client => client.Ended).Append(accepting));
            await Task.WhenAny(any, Task.Delay(time / 2, TimeProvider.System, report.Stop)).ConfigureAwait(false);
            Moment begin = Moment.Now;
            long before = clients.Sum(client => client.Done);
            await Task.WhenAny(any, Task.Delay(time, TimeProvider.System, report.Stop)).ConfigureAwait(false);
            Moment end = Moment.Now;
            long done = clients.Sum(client => client.Done) - before;
            report.Stop.ThrowIfCancellationRequested();
            if (!any.IsCompleted)
            {
                report.Add(Test, "connections/s", done / begin.SecondsUntil(end), begin.UsedUntil(end, Math.Max(1, done), "connection"));
            }
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(clients.Select(client => client.Ended).Append(accepting)).ConfigureAwait(false);
        }
    }

    private static async Task AcceptAsync(TcpSocketListener listener, CancellationToken ended)
    {
        try
        {
            while (true)
            {
                TcpSocket socket = await listener.AcceptAsync(ended).ConfigureAwait(false);
                socket.Dispose();
            }
        }
        catch (OperationCanceledException)
        {
            // The end of the run.
        }
    }

    private sealed class Client(NetworkStack stack)
    {
        private long _done;

        public long Done => Volatile.Read(ref _done);

        public Task Ended { get; private set; } = Task.CompletedTask;

        public void Start(CancellationToken ended) => Ended = Task.Run(() => RunAsync(ended), CancellationToken.None);

        private async Task RunAsync(CancellationToken ended)
        {
            byte[] buffer = new byte[1];
            try
            {
                while (true)
                {
                    TcpSocket socket = await stack.ConnectTcpAsync(PipePair.At(7), null, ended).ConfigureAwait(false);
                    await using var owned = socket.ConfigureAwait(false);
                    if (await socket.ReceiveAsync(buffer, ended).ConfigureAwait(false) != 0)
                    {
                        throw ToolFailure.Environment($"{Test}: bytes came that nobody sent. This is a bug in the stack: please report it.");
                    }

                    Volatile.Write(ref _done, _done + 1);
                }
            }
            catch (OperationCanceledException)
            {
                // The end of the run.
            }
        }
    }
}
