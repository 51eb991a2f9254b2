using System.Buffers.Binary;
using System.Net.Sockets;

namespace Penstock.Tool.Perf.Pipe;

/// <summary>
/// 64 bytes there and the same back, on one connection, one after the other. On one thread: both stacks share it and the application's continuations run on it too, so no
/// step waits for another thread. Otherwise as by default: a thread for each stack, continuations on the thread pool.
/// </summary>
internal sealed class RoundTripTest(string name, bool oneThread) : PipeTest
{
    private const int Message = 64;

    /// <summary>Round trips between two looks at the clock.</summary>
    private const int Batch = 64;

    public override IReadOnlyList<string> Names => [name];

    public override Task RunAsync(PipeSettings settings, PipeReport report) => report.RepeatAsync(settings, () => RunOnceAsync(settings.Time, report));

    private async Task RunOnceAsync(TimeSpan time, PipeReport report)
    {
        var pair = new PipePair(oneThread: oneThread);
        await using var owned = pair.ConfigureAwait(false);
        (TcpSocket near, TcpSocket far) = await pair.ConnectAsync(7, noDelay: true, report.Stop).ConfigureAwait(false);
        near.UnsafeInlineContinuations = far.UnsafeInlineContinuations = oneThread;
        Task echo = EchoAsync(far);
        try
        {
            await MeasureAsync(near, time, report).ConfigureAwait(false);
        }
        finally
        {
            // What comes next must not run on the thread that the stacks are stopped with.
            await Task.Yield();
            near.Abort();
            await echo.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        }
    }

    private async Task MeasureAsync(TcpSocket socket, TimeSpan time, PipeReport report)
    {
        byte[] sent = GC.AllocateArray<byte>(Message, pinned: true);
        byte[] received = GC.AllocateArray<byte>(Message, pinned: true);
        long trips = 0;
        Moment warm = Moment.Now;
        do
        {
            trips = await TripsAsync(socket, sent, received, trips, report.Stop).ConfigureAwait(false);
        }
        while (warm.Elapsed < time / 2);

        Moment begin = Moment.Now;
        long before = trips;
        do
        {
            trips = await TripsAsync(socket, sent, received, trips, report.Stop).ConfigureAwait(false);
        }
        while (begin.Elapsed < time);

        Moment end = Moment.Now;
        long done = trips - before;
        report.Add(name, "round trips/s", done / begin.SecondsUntil(end), begin.UsedUntil(end, done, "round trip"));
    }

    private async ValueTask<long> TripsAsync(TcpSocket socket, byte[] sent, byte[] received, long trips, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        for (int i = 0; i < Batch; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(sent, ++trips);
            BinaryPrimitives.WriteInt64LittleEndian(sent.AsSpan(Message - sizeof(long)), ~trips);
            await socket.SendAsync(sent, CancellationToken.None).ConfigureAwait(false);
            int got = 0;
            while (got < Message)
            {
                int length = await socket.ReceiveAsync(received.AsMemory(got), CancellationToken.None).ConfigureAwait(false);
                if (length == 0)
                {
                    throw ToolFailure.Environment($"{name}: the connection ended in the middle of a round trip. This is a bug in the stack: please report it.");
                }

                got += length;
            }

            if (!received.AsSpan().SequenceEqual(sent))
            {
                throw ToolFailure.Environment($"{name}: what came back is not what was sent. This is a bug in the stack: please report it.");
            }
        }

        return trips;
    }

    private static async Task EchoAsync(TcpSocket socket)
    {
        byte[] buffer = GC.AllocateArray<byte>(Message, pinned: true);
        try
        {
            int length;
            while ((length = await socket.ReceiveAsync(buffer, CancellationToken.None).ConfigureAwait(false)) > 0)
            {
                await socket.SendAsync(buffer.AsMemory(0, length), CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (SocketException reset) when (reset.SocketErrorCode == SocketError.ConnectionReset)
        {
            // The end of the run.
        }
    }
}
