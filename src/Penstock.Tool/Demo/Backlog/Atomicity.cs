using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.Backlog;

/// <summary>E4: whether records that two threads send into one socket stay whole although the sends flush in between.</summary>
internal sealed class Atomicity : Experiment
{
    private const int Large = 256 << 10;
    private const int Small = 4 << 10;
    private static readonly Metric s_largeTorn = new("interleavings_256k", "interleavings, 256 KiB records");
    private static readonly Metric s_largeCount = new("records_256k", "256 KiB records");
    private static readonly Metric s_smallTorn = new("interleavings_4k", "interleavings, 4 KiB records");
    private static readonly Metric s_smallCount = new("records_4k", "4 KiB records");
    private static readonly Metric s_flushes = new("backlog_flushes", "flushes that found something");

    public override string Id => "E4";

    public override string Title => "Records stay whole";

    public override string Setup =>
        "Two threads send records, each filled with its thread's mark, into one socket; the reader counts where a record is torn. Buffers of one segment and a look before each, so that there are many flushes; real threads.";

    public override string Switch => "what a flush does: it keeps the socket; or it releases the socket and locks it again, and sends have no turn of their own.";

    public override string Control => "release+lock: the other thread gets in at a flush and tears records.";

    public override bool RealTime => true;

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        int large = settings.Full ? 10_000 : 300, small = settings.Full ? 1_000_000 : 20_000;
        (string Name, int SendBuffer, Omission Without)[] cases =
        [
            ("keep", 32 << 20, Omission.None),
            ("keep, full buffer", 16 << 10, Omission.None),
            ("release+lock", 32 << 20, Omission.FlushKeepsSocket | Omission.SendTurn),
            ("release+lock, full", 16 << 10, Omission.FlushKeepsSocket | Omission.SendTurn),
        ];
        foreach ((string name, int sendBuffer, Omission without) in cases)
        {
            var options = new PairOptions { Flush = settings.Flush ?? FlushPolicy.One, OneSegment = true, SendBuffer = sendBuffer, Without = without };
            report.Begin($"{name}, 256 KiB");
            Count(options, settings, settings.Message ?? Large, large, name, s_largeTorn, s_largeCount, report);
            report.Begin($"{name}, 4 KiB");
            Count(options, settings, Small, small, name, s_smallTorn, s_smallCount, report);
        }
    }

    private static void Count(PairOptions options, DemoSettings settings, int length, int records, string name, Metric torn, Metric count, ExperimentReport report)
    {
        LivePair pair = LivePair.Connect(options, settings);
        try
        {
            Thread[] senders = [.. new byte[] { 1, 2 }.Select(mark => new Thread(() =>
            {
                byte[] record = new byte[length];
                record.AsSpan().Fill(mark);
                for (int i = 0; i < records / 2; i++)
                {
                    pair.Sender.Send(record);
                }
            }))];
            foreach (Thread sender in senders)
            {
                sender.Start();
            }

            var reader = new RecordReader(length);
            byte[] buffer = new byte[1 << 18];
            for (long left = (long)length * (records / 2) * 2; left > 0;)
            {
                int read = pair.Peer.Receive(buffer);
                if (read == 0)
                {
                    throw new InvalidOperationException("The stream ended before all records had arrived.");
                }

                reader.Take(buffer.AsSpan(0, read));
                left -= read;
            }

            foreach (Thread sender in senders)
            {
                sender.Join();
            }

            report.Add(name, torn, reader.Torn);
            report.Add(name, count, records / 2 * 2);
            if (torn == s_largeTorn)
            {
                report.Add(name, s_flushes, pair.Sender.GetInfo().BacklogFlushes);
            }
        }
        finally
        {
            pair.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    /// <summary>Counts the places where the mark changes although the record is not complete.</summary>
    private sealed class RecordReader(int length)
    {
        private byte _mark;
        private long _run;

        public int Torn { get; private set; }

        public void Take(ReadOnlySpan<byte> bytes)
        {
            while (!bytes.IsEmpty)
            {
                if (bytes[0] != _mark)
                {
                    Torn += _run % length != 0 ? 1 : 0;
                    _mark = bytes[0];
                    _run = 0;
                }

                int same = bytes.IndexOfAnyExcept(_mark);
                same = same < 0 ? bytes.Length : same;
                _run += same;
                bytes = bytes[same..];
            }
        }
    }
}
