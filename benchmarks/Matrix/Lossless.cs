using System.Globalization;
using System.Text;
using Penstock.Benchmarks.Compare;

namespace Penstock.Benchmarks.Matrix;

/// <summary>
/// What is sent again for nothing: bulk transfers over a path that loses and delays nothing, by turns, while threads of this process keep every processor busy, so that whoever has to
/// acknowledge is often late.
/// </summary>
internal static class Lossless
{
    public const string Writer = "eng/matrix --lossless";
    private const int ThreadsForEachProcessor = 2;

    private static readonly (Pairing Pairing, string Title)[] s_pairings = [(Pairing.Linux, "Linux to Linux"), (Pairing.Sends, "Penstock to Linux")];

    public static async Task<string> MeasureAsync(int rounds, string commit, TextWriter error, CancellationToken stop)
    {
        var outcomes = new List<Outcome>();
        double load;
        using (new BusyThreads(Environment.ProcessorCount * ThreadsForEachProcessor))
        {
            for (int round = 1; round <= rounds; round++)
            {
                foreach ((Pairing pairing, string title) in s_pairings)
                {
                    Outcome outcome = await Transfer.RunAsync(Cell.Lossless, pairing, (ulong)round, new Start(1), stop);
                    outcomes.Add(outcome);
                    await error.WriteLineAsync(string.Create(
                        CultureInfo.InvariantCulture,
                        $"round {round} of {rounds}  {title}: {outcome.Megabits:0} Mbit/s, again {outcome.Retransmits}, fast {outcome.FastRetransmits}, timeouts {outcome.Timeouts}, probes {outcome.Probes}; lost by the path {outcome.Data.Sent - outcome.Data.Delivered + outcome.DeviceDrops}, by the receiver {outcome.ReceiverDrops}"));
                }
            }

            load = SystemFacts.Load;
        }

        return Section(outcomes, rounds, commit, load);
    }

    private static string Section(List<Outcome> outcomes, int rounds, string commit, double load)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"Machine: {SystemFacts.Machine}, with {Environment.ProcessorCount * ThreadsForEachProcessor} busy threads; load average {load:0.0}. Commit {commit}, {TimeProvider.System.GetUtcNow():yyyy-MM-dd}. {rounds} rounds of {Cell.Lossless.Seconds:0} s.\n\n");
        text.Append("| | GB | Mbit/s, median | fast retransmissions for each GB | timeouts for each GB | tail-loss probes for each GB | duplicates reported for each GB |\n| --- | --- | --- | --- | --- | --- | --- |\n");
        foreach ((Pairing pairing, string title) in s_pairings)
        {
            Outcome[] own = [.. outcomes.Where(outcome => outcome.Pairing == pairing)];
            double gigabytes = own.Sum(outcome => outcome.Bytes) / 1e9;
            double median = Report.MedianOf([.. own.Select(outcome => outcome.Megabits).Order()])!.Value;
            text.Append(CultureInfo.InvariantCulture, $"| {title} | {gigabytes:0.00} | {Numbers.Text(median)} | {own.Sum(o => o.FastRetransmits) / gigabytes:0.0} | {own.Sum(o => o.Timeouts) / gigabytes:0.0} | {own.Sum(o => o.Probes) / gigabytes:0.0} | {own.Sum(o => o.Duplicates) / gigabytes:0.0} |\n");
        }

        return text.ToString();
    }

    private sealed class BusyThreads : IDisposable
    {
        private readonly Thread[] _threads;
        private volatile bool _over;

        public BusyThreads(int count)
        {
            _threads = new Thread[count];
            for (int i = 0; i < count; i++)
            {
                _threads[i] = new Thread(Spin) { IsBackground = true, Name = "busy" };
                _threads[i].Start();
            }
        }

        public void Dispose()
        {
            _over = true;
            foreach (Thread thread in _threads)
            {
                thread.Join();
            }
        }

        private void Spin()
        {
            while (!_over)
            {
                Thread.SpinWait(1000);
            }
        }
    }
}
