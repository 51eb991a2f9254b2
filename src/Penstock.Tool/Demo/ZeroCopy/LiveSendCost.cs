using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.ZeroCopy;

/// <summary>E8 in real time: processor time that a gigabyte costs the sender, copied and zero-copy by turns, to a socket of the kernel over a TUN device.</summary>
internal static class LiveSendCost
{
    public const string Setup =
        "1 MiB sends from a 64 MiB working set that no cache holds, copied and zero-copy by turns over one connection to the kernel, over a TUN device (--tun); processor time of this process without that of the reading thread.";

    private const int Set = 64 << 20;
    private const int Message = 1 << 20;
    private static readonly Metric s_cpu = new("cpu_s_per_gb", "processor seconds per GB");
    private static readonly Metric s_ratio = new("cpu_ratio_to_copy", "against copying, same round");
    private static readonly Metric s_throughput = new("throughput_bits", "throughput", "bit/s");

    public static void Run(DemoSettings settings, ExperimentReport report)
    {
        if (settings.Tun is not { } device)
        {
            report.Remarks.Add("Skipped: this needs the kernel as the peer. Run it as root with --tun NAME, best in a network namespace: sudo unshare -n penstock demo zerocopy E8 --live --tun penstock0");
            return;
        }

        KernelSink sink;
        try
        {
            sink = KernelSink.Connect(device, settings);
        }
        catch (ArgumentException failure)
        {
            throw ToolFailure.Usage($"--tun {device}: {failure.Message}");
        }
        catch (Exception failure) when (failure is UnauthorizedAccessException or IOException or PlatformNotSupportedException)
        {
            report.Remarks.Add($"Skipped: {failure.Message}");
            return;
        }

        try
        {
            Compare(sink, settings, report);
        }
        finally
        {
            sink.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    private static void Compare(KernelSink sink, DemoSettings settings, ExperimentReport report)
    {
        int message = settings.Message ?? Message;
        int rounds = settings.Full ? 61 : 21;
        var memory = new PageRing(Math.Max(Set, message));
        for (int round = -2; round < rounds; round++)
        {
            report.Begin($"round {round + 1} of {rounds}");
            Cost copy = Measure(sink, memory, message, zeroCopy: false), zeroCopy = Measure(sink, memory, message, zeroCopy: true);

            // The first rounds fill pools and have the code compiled.
            if (round >= 0)
            {
                Report(report, "copy", copy);
                Report(report, "zerocopy", zeroCopy);
                report.Add("zerocopy", s_ratio, zeroCopy.CpuPerGigabyte / copy.CpuPerGigabyte);
            }
        }
    }

    private sealed record Cost(double CpuPerGigabyte, double Bits);

    private static void Report(ExperimentReport report, string name, Cost cost)
    {
        report.Add(name, s_cpu, cost.CpuPerGigabyte);
        report.Add(name, s_throughput, cost.Bits);
    }

    private static Cost Measure(KernelSink sink, PageRing memory, int message, bool zeroCopy) =>
        MeasureAsync(sink, memory, message, zeroCopy).GetAwaiter().GetResult();

    private static async Task<Cost> MeasureAsync(KernelSink sink, PageRing memory, int message, bool zeroCopy)
    {
        const long Bytes = 256 << 20;
        int slots = Math.Max(1, Set / message), sends = (int)(Bytes / message);
        var held = new ZeroCopySend[slots];
        double cpu = sink.SenderSeconds();
        long begin = TimeProvider.System.GetTimestamp();
        for (int i = 0; i < sends; i++)
        {
            int slot = i % slots;
            if (zeroCopy)
            {
                // Its turn comes again: it must be free by now, or else wait.
                await held[slot].Released.ConfigureAwait(false);
                held[slot] = await sink.Sender.SendZeroCopyAsync(memory.At(slot * message, message)).ConfigureAwait(false);
            }
            else
            {
                await sink.Sender.SendAsync(memory.At(slot * message, message)).ConfigureAwait(false);
            }
        }

        // What a copying send leaves in the send buffer is part of its cost too.
        sink.WaitFor((long)sends * message);
        foreach (ZeroCopySend send in held)
        {
            await send.Released.ConfigureAwait(false);
        }

        double seconds = TimeProvider.System.GetElapsedTime(begin).TotalSeconds;
        long sent = (long)sends * message;
        return new Cost((sink.SenderSeconds() - cpu) / (sent / 1e9), sent * 8 / seconds);
    }
}
