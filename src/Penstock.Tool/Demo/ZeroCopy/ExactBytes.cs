using Penstock.Buffers;
using Penstock.Tcp.ZeroCopy;
using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.ZeroCopy;

/// <summary>E11: what each kind of append does to the ledger, to the byte, beside what the same calls do on Linux.</summary>
internal sealed class ExactBytes : Experiment
{
    private const int Page = PageRing.Page;

    // A buffer's head: Linux 832 B, here the object and its table of fragments.
    private const int Head = PacketBuffer.ObjectSize;
    private const int TinySends = 5000;

    public override string Id => "E11";

    public override string Title => "Appends to the byte";

    public override string Setup =>
        $"Sends into a closed window, so that all of it stays queued; what changes in the ledger. A buffer's head is {Head} B here, 832 B in Linux, and a notification 384 B, 832 B in Linux; that is all in which 'expected' differs from Linux 6.18, where it was measured.";

    public override string Switch => "nothing between Linux and Penstock but the head's size; --pure-zc and --downgrade turn the last columns' switches for the column 'Penstock'.";

    public override string Control => "pure off: what pure buffers save is charged. data_len: a pure buffer that is mixed is charged its bytes and not its pages, as the patch did at first. Rows must differ.";

    /// <summary>A row: what Linux showed, if it was measured, and what it should be here.</summary>
    private sealed record Row(Metric Metric, int? Linux, int Expected, Func<ScriptedPeer, PageRing, int> Measure)
    {
        public static Row Of(string name, string label, int? linux, int expected, Func<ScriptedPeer, PageRing, int> measure) =>
            new(new Metric(name, label, "B"), linux, expected, measure);
    }

    private static readonly Metric s_differ = new("rows_not_as_expected", "rows that are not as expected");

    private static readonly Row[] s_rows =
    [
        Row.Of("copy_4096_queued", "copy 4096: wmem_queued", 4928, Head + Page, (p, m) => Queued(p, () => Copy(p, m, Page))),
        Row.Of("copy_4096_charged", "copy 4096: charged", null, Head + Page, (p, m) => Charged(p, () => Copy(p, m, Page))),
        Row.Of("copy_1000_queued", "copy 1000: wmem_queued", 1832, Head + 1000, (p, m) => Queued(p, () => Copy(p, m, 1000))),
        Row.Of("zc_4096_queued", "zerocopy 4096: wmem_queued", 4928, Head + Page, (p, m) => Queued(p, () => ZeroCopy(p, m, 0, Page))),
        Row.Of("zc_4096_charged", "zerocopy 4096: charged", null, Head, (p, m) => Charged(p, () => ZeroCopy(p, m, 0, Page))),
        Row.Of("zc_32768_queued", "zerocopy 32768: wmem_queued", 33600, Head + (8 * Page), (p, m) => Queued(p, () => ZeroCopy(p, m, 0, 8 * Page))),
        Row.Of("zc_edge_queued", "zerocopy 100 over a page's edge: wmem_queued", 9024, Head + (2 * Page), (p, m) => Queued(p, () => ZeroCopy(p, m, Page - 50, 100))),
        Row.Of("pure_append_queued", "zerocopy 8192 onto pure: wmem_queued", 8192, 2 * Page, (p, m) => After(p, m, 2 * Page, Queued, () => ZeroCopy(p, m, 2 * Page, 2 * Page))),
        Row.Of("pure_append_charged", "zerocopy 8192 onto pure: charged", null, 0, (p, m) => After(p, m, 2 * Page, Charged, () => ZeroCopy(p, m, 2 * Page, 2 * Page))),
        Row.Of("pure_append_forward", "zerocopy 8192 onto pure: forward_alloc", 0, 0, (p, m) => After(p, m, 2 * Page, Forward, () => ZeroCopy(p, m, 2 * Page, 2 * Page))),
        Row.Of("pure_append_optmem", "zerocopy 8192 onto pure: optmem", 0, 0, (p, m) => After(p, m, 2 * Page, Optional, () => ZeroCopy(p, m, 2 * Page, 2 * Page))),
        Row.Of("downgrade_queued", "copy 100 onto 24576 pure: wmem_queued", 100, 100, (p, m) => After(p, m, 6 * Page, Queued, () => Copy(p, m, 100))),
        Row.Of("downgrade_forward", "copy 100 onto 24576 pure: forward_alloc", -100, -100, (p, m) => After(p, m, 6 * Page, Forward, () => Copy(p, m, 100))),
        Row.Of("downgrade_charged", "copy 100 onto 24576 pure: charged", 24676, (6 * Page) + 100, (p, m) => After(p, m, 6 * Page, Charged, () => Copy(p, m, 100))),
        Row.Of("downgrade_edge_charged", "copy 100 onto 100 pure over a page's edge: charged", null, (2 * Page) + 100, (p, m) => Edge(p, m)),
        Row.Of("mixed_append_charged", "zerocopy 8192 onto copied: charged", 8192, 2 * Page, (p, m) =>
        {
            Copy(p, m, 1000);
            return Charged(p, () => ZeroCopy(p, m, 0, 2 * Page));
        }),
        Row.Of("tiny_queued", $"{TinySends} x zerocopy 1 with MSG_EOR: wmem_queued", TinySends * 4928, TinySends * (Head + Page), (p, m) => Queued(p, () => Tiny(p, m))),
        Row.Of("tiny_optmem", $"{TinySends} x zerocopy 1 with MSG_EOR: optmem (one notification)", 832, ZeroCopyToken.TrueSize, (p, m) => Optional(p, () => Tiny(p, m))),
    ];

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        foreach (Row row in s_rows)
        {
            report.Begin(row.Metric.Label);
            if (row.Linux is { } linux)
            {
                report.Add("Linux 6.18", row.Metric, linux);
            }

            report.Add("expected", row.Metric, row.Expected);
        }

        Measure("Penstock", settings, Omission.None, pure: true, report);
        DemoSettings free = settings with { PureZeroCopy = null, DowngradeByLength = false };
        Measure("pure off", free, Omission.None, pure: false, report);
        Measure("data_len", free, Omission.DowngradeByTrueSize, pure: true, report);
    }

    private static void Measure(string name, DemoSettings settings, Omission without, bool pure, ExperimentReport report)
    {
        int differ = 0;
        foreach (Row row in s_rows)
        {
            report.Begin($"{name}, {row.Metric.Label}");
            using ScriptedPeer peer = new ScriptedPeer(settings, without, pure: pure).Open(1 << 30);
            peer.CloseWindow();
            int value = row.Measure(peer, new PageRing(16 * Page));
            differ += value == row.Expected ? 0 : 1;
            report.Add(name, row.Metric, value);
        }

        report.Add(name, s_differ, differ);
    }

    /// <summary>What <paramref name="act"/> changes behind a pure buffer of <paramref name="pure"/> bytes.</summary>
    private static int After(ScriptedPeer peer, PageRing memory, int pure, Func<ScriptedPeer, Action, int> change, Action act)
    {
        ZeroCopy(peer, memory, 0, pure);
        return change(peer, act);
    }

    private static int Edge(ScriptedPeer peer, PageRing memory)
    {
        ZeroCopy(peer, memory, Page - 50, 100);
        return Charged(peer, () => Copy(peer, memory, 100));
    }

    private static int Queued(ScriptedPeer peer, Action act) => Change(() => peer.Connection.Memory.WriteQueueBytes, act);

    private static int Charged(ScriptedPeer peer, Action act) => Change(() => peer.Connection.Memory.WriteCharged, act);

    private static int Forward(ScriptedPeer peer, Action act) => Change(() => peer.Connection.Memory.ForwardAlloc, act);

    private static int Optional(ScriptedPeer peer, Action act) => Change(() => peer.Connection.ZeroCopy.OptionalBytes, act);

    private static int Change(Func<int> what, Action act)
    {
        int before = what();
        act();
        return what() - before;
    }

    private static void Copy(ScriptedPeer peer, PageRing memory, int bytes) => peer.Socket.TrySend(memory.At(0, bytes).Span, TcpSendFlags.None, out _);

    private static void ZeroCopy(ScriptedPeer peer, PageRing memory, int offset, int bytes) => peer.SendZeroCopy(memory.At(offset, bytes));

    private static void Tiny(ScriptedPeer peer, PageRing memory)
    {
        for (int i = 0; i < TinySends; i++)
        {
            peer.SendZeroCopy(memory.At(i, 1), TcpSendFlags.EndOfRecord);
        }
    }
}
