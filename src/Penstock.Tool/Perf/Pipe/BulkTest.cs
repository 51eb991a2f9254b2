using System.Net.Sockets;

namespace Penstock.Tool.Perf.Pipe;

/// <summary>
/// One connection, one direction, as fast as it goes. The receiver compares every byte with what must stand at its place in the stream, and its clock and count give the figure,
/// so nothing counts that has not arrived.
/// </summary>
internal sealed class BulkTest(string name, CableOptions cable) : PipeTest
{
    private const int SendSize = 64 << 10;
    private const int ReceiveSize = 256 << 10;

    /// <summary>The stream repeats after this many bytes: prime, so that no boundary of packets or pages falls in step with it.</summary>
    private const int Period = 131_071;

    public override IReadOnlyList<string> Names => [name];

    public override Task RunAsync(PipeSettings settings, PipeReport report) => report.RepeatAsync(settings, () => RunOnceAsync(settings, report));

    private async Task RunOnceAsync(PipeSettings settings, PipeReport report)
    {
        byte[] pattern = MakePattern();
        var pair = new PipePair(cable);
        await using var owned = pair.ConfigureAwait(false);
        (TcpSocket near, TcpSocket far) = await pair.ConnectAsync(7, noDelay: false, report.Stop).ConfigureAwait(false);
        using var ended = new CancellationTokenSource();
        Task sending = Task.Run(() => SendAsync(near, pattern, ended.Token), report.Stop);
        try
        {
            await ReceiveAsync(far, pattern, settings.Time, report).ConfigureAwait(false);
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            far.Abort();
            await sending.ConfigureAwait(false);
            near.Abort();
        }
    }

    private static async Task SendAsync(TcpSocket socket, byte[] pattern, CancellationToken ended)
    {
        try
        {
            for (int at = 0; !ended.IsCancellationRequested; at = (at + SendSize) % Period)
            {
                await socket.SendAsync(pattern.AsMemory(at, SendSize), CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (SocketException) when (ended.IsCancellationRequested)
        {
            // The receiver has seen enough.
        }
    }

    private async Task ReceiveAsync(TcpSocket socket, byte[] pattern, TimeSpan time, PipeReport report)
    {
        byte[] buffer = GC.AllocateUninitializedArray<byte>(ReceiveSize, pinned: true);
        long received = 0;
        Moment warm = Moment.Now;
        while (warm.Elapsed < time / 2)
        {
            received += await ReceiveOnceAsync(socket, buffer, pattern, received, report.Stop).ConfigureAwait(false);
        }

        Moment begin = Moment.Now;
        long before = received;
        while (begin.Elapsed < time)
        {
            received += await ReceiveOnceAsync(socket, buffer, pattern, received, report.Stop).ConfigureAwait(false);
        }

        Moment end = Moment.Now;
        double megabytes = (received - before) / 1e6;
        report.Add(name, "Gbit/s", megabytes * 8 / 1e3 / begin.SecondsUntil(end), begin.UsedUntil(end, megabytes, "MB"));
    }

    private async ValueTask<int> ReceiveOnceAsync(TcpSocket socket, byte[] buffer, byte[] pattern, long position, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        int length = await socket.ReceiveAsync(buffer, stop).ConfigureAwait(false);
        ReadOnlySpan<byte> got = buffer.AsSpan(0, length);
        return got.Length > 0 && got.SequenceEqual(pattern.AsSpan((int)(position % Period), length))
            ? length
            : throw ToolFailure.Environment($"{name}: what arrived behind byte {position} is not what was sent. This is a bug in the stack: please report it.");
    }

    /// <summary>The stream from any place in its period on, as long as the longest receive.</summary>
    private static byte[] MakePattern()
    {
        byte[] pattern = GC.AllocateUninitializedArray<byte>(Period + ReceiveSize, pinned: true);
        var random = new RandomSource(7);
        for (int i = 0; i < Period; i++)
        {
            pattern[i] = (byte)random.NextUInt32();
        }

        for (int i = Period; i < pattern.Length; i++)
        {
            pattern[i] = pattern[i - Period];
        }

        return pattern;
    }
}
