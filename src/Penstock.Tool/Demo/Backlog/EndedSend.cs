using System.Net.Sockets;
using Penstock.Sockets;
using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.Backlog;

/// <summary>E7: how soon a long send notices that the peer is gone, and what it and the next call return.</summary>
internal sealed class EndedSend : Experiment
{
    private const int Message = 16 << 20;
    private const int FaultMicros = 780;
    private const long EndsAfterNanos = 100_000_000;

    public override string Id => "E7";

    public override string Title => "The peer ends the connection during a send";

    public override string Setup =>
        "16 MiB in one send at 0.78 ms a page; after 100 ms the peer resets the connection, or closes it and answers the data that still comes with a reset. Link 10 Gbit/s, 50 us each way.";

    public override string Switch => "when the send looks at its backlog (--flush).";

    public override string Control => "off: the call copies everything for a peer that is long gone.";

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        foreach (FlushPolicy policy in FlushPolicy.For(settings))
        {
            for (int run = 0; run < settings.Runs; run++)
            {
                report.Begin($"{policy.Name}, run {run + 1} of {settings.Runs}");
                Measure(settings, policy, settings.Seed + (ulong)run, End.Reset, report);
                Measure(settings, policy, settings.Seed + (ulong)run, End.Close, report);
            }
        }
    }

    private static void Measure(DemoSettings settings, FlushPolicy policy, ulong seed, End end, ExperimentReport report)
    {
        byte[] message = new byte[settings.Message ?? Message];
        VirtualPair.Run(new PairOptions { Seed = seed, Flush = policy }, settings, async pair =>
        {
            Task<long> sink = Sink.DrainAsync(pair.Peer);
            pair.Slow(new CopyModel(pair.Time, settings.FaultMicros ?? FaultMicros, CopyModel.WarmNanosPerByte, seed));
            long ended = 0;
            Ticker? once = null;
            once = Ticker.Start(pair.Clock, EndsAfterNanos, now =>
            {
                once!.Stop();
                ended = now;
                end.Act(pair.Peer);
            });
            int queued = await pair.Sender.SendAsync(message).ConfigureAwait(true);
            long returned = pair.Time.NowNanos;
            await pair.Time.Delay(TimeSpan.FromMilliseconds(1)).ConfigureAwait(true);
            report.Add(policy.Name, end.Returned, (returned - ended) / 1e3);
            report.Add(policy.Name, end.Partial, queued);
            report.Add(policy.Name, end.Next, await NextErrnoAsync(pair.Sender).ConfigureAwait(true));
        });
    }

    /// <summary>What the next call fails with, as Linux's number.</summary>
    private static async Task<int> NextErrnoAsync(TcpSocket socket)
    {
        try
        {
            await socket.SendAsync(new byte[1]).ConfigureAwait(true);
            return 0;
        }
        catch (SocketException failure)
        {
            return (int)SocketErrors.ToErrno(failure.SocketErrorCode);
        }
    }

    /// <summary>A way to end a connection, and the metrics of it.</summary>
    private sealed record End(Action<TcpSocket> Act, Metric Returned, Metric Partial, Metric Next)
    {
        public static readonly End Reset = Of("reset", "reset", socket => socket.Abort());
        public static readonly End Close = Of("close", "close", socket => socket.Dispose());

        private static End Of(string name, string label, Action<TcpSocket> act) => new(
            act,
            new Metric($"{name}_return_us", $"{label}: from there to the call's return", "us"),
            new Metric($"{name}_partial_bytes", $"{label}: bytes that the call reports", "bytes"),
            new Metric($"{name}_next_errno", $"{label}: next call's errno"));
    }
}
