using System.Net;
using System.Net.Sockets;
using Penstock.Tcp.ZeroCopy;
using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.ZeroCopy;

/// <summary>E12: how an application learns that its memory is free again: ranges of ids, whether the bytes were copied after all, and the limit of what may be outstanding.</summary>
internal sealed class Notifications : Experiment
{
    private const int Message = 64 << 10;
    private const int ReadEvery = 8;
    private static readonly Metric s_sends = new("sends", "zero-copy sends");
    private static readonly Metric s_entries = new("notifications", "notifications read");
    private static readonly Metric s_ratio = new("sends_per_notification", "sends for each notification");
    private static readonly Metric s_copied = new("copied_share", "of the ids: COPIED", "share");
    private static readonly Metric s_wrong = new("ids_missing_or_twice", "ids never notified, or twice");
    private static readonly Metric s_until = new("sends_until_enobufs", "1 MiB sends until ENOBUFS, none acknowledged");
    private static readonly Metric s_expected = new("sends_until_enobufs_expected", "by the limit: optmem_max / a notification");
    private static readonly Metric s_optional = new("optmem_bytes", "optmem then", "B");
    private static readonly Metric s_queued = new("queued_bytes", "wmem_queued then", "bytes");
    private static readonly Metric s_stack = new("tcp_memory_bytes", "all TCP memory of the stack then", "bytes");
    private static readonly Metric s_after = new("tcp_memory_after_close_bytes", "and after close", "bytes");

    public override string Id => "E12";

    public override string Title => "Notifications";

    public override string Setup =>
        "Sends of 64 KiB, notifications read after each eighth send: over a device that sends scattered memory, one that cannot, the stack's own loopback and a cable. Then 1 MiB sends that nobody acknowledges, up to the limit (optmem_max 128 KiB).";

    public override string Switch => "the way that the bytes go; 'no merging' drops the rule that neighboring notifications become one.";

    public override string Control => "'no merging': as many entries as the peer's acknowledgments release, one by one. 'direct' must report no copy, or the COPIED of the others would mean nothing.";

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        int sends = settings.Full ? 43_700 : 4000;
        report.Begin("direct");
        Scripted("direct", settings, sends, Omission.None, scatterGather: true, report);
        Exhaust("direct", settings, report);
        report.Begin("no scatter-gather");
        Scripted("no scatter-gather", settings, sends, Omission.None, scatterGather: false, report);
        report.Begin("loopback");
        Loopback("loopback", settings, sends, report);
        report.Begin("cable");
        VirtualPair.Run(
            new PairOptions { Seed = settings.Seed, Flush = FlushPolicy.Adaptive, SendBuffer = 2 << 20 },
            settings,
            pair => ConnectedAsync("cable", settings, sends, pair.Sender, pair.Peer, pair.DrainAsync, report));
        report.Begin("no merging");
        Scripted("no merging", settings, sends, Omission.NotificationsMerge, scatterGather: true, report);
        Linux(report);
        report.Remarks.Add("Linux: three runs, 4,400 to 5,400 notifications, of which the middle is shown; its TCP memory is the whole machine's.");
    }

    /// <summary>Over a veth pair, notifications read every eight sends too.</summary>
    private static void Linux(ExperimentReport report)
    {
        const string Name = "Linux 6.18, veth";
        report.Add(Name, s_sends, 43_700);
        report.Add(Name, s_entries, 4900);
        report.Add(Name, s_ratio, 8.9);
        report.Add(Name, s_copied, 1);
        report.Add(Name, s_until, 157);
        report.Add(Name, s_expected, 157);
        report.Add(Name, s_optional, 130_624);
        report.Add(Name, s_queued, 187_700_000);
        report.Add(Name, s_stack, 2459 * 4096);
        report.Add(Name, s_after, 371 * 4096);
    }

    private static void Scripted(string name, DemoSettings settings, int sends, Omission without, bool scatterGather, ExperimentReport report)
    {
        int message = settings.Message ?? Message;
        using ScriptedPeer peer = new ScriptedPeer(settings, without, scatterGather).Open(settings.SendBuffer ?? 16 << 20);
        var memory = new PageRing(Math.Max(message, 1 << 20));
        var book = new IdBook(peer.Socket);
        for (int i = 0; i < sends; i++)
        {
            peer.SendZeroCopy(memory.Next(message));
            peer.AckAll();
            book.ReadAfter(i);
        }

        book.Report(name, sends, report);
    }

    private static void Loopback(string name, DemoSettings settings, int sends, ExperimentReport report)
    {
        var time = new Time.VirtualTime();
        time.Run(
            async () =>
            {
                var stack = new NetworkStack(new NetworkStackOptions { Name = "alone", Driver = time, Seed = settings.Seed, CloseTimeout = TimeSpan.Zero });
                VirtualPair.Tune(stack, new PairOptions { Flush = FlushPolicy.Adaptive }, settings);
                var at = new IPEndPoint(IPAddress.Loopback, 7);
                TcpSocketListener listener = stack.ListenTcp(new TcpListenOptions(at));
                TcpSocket sender = await stack.ConnectTcpAsync(at, new TcpConnectOptions { SendBufferSize = 2 << 20 }).ConfigureAwait(true);
                TcpSocket peer = await listener.AcceptAsync().ConfigureAwait(true);
                await ConnectedAsync(
                    name, settings, sends, sender, peer,
                    async () =>
                    {
                        while (sender.Connection.UnacknowledgedBytes > 0)
                        {
                            await time.Delay(TimeSpan.FromMilliseconds(1)).ConfigureAwait(true);
                        }
                    },
                    report).ConfigureAwait(true);
                sender.Abort();
                peer.Abort();
                await listener.DisposeAsync().ConfigureAwait(true);
                await stack.DisposeAsync().ConfigureAwait(true);
            },
            TimeSpan.FromHours(1));
    }

    private static async Task ConnectedAsync(string name, DemoSettings settings, int sends, TcpSocket sender, TcpSocket peer, Func<Task> drain, ExperimentReport report)
    {
        Task<long> sink = Sink.DrainAsync(peer);
        int message = settings.Message ?? Message;
        var memory = new PageRing(Math.Max(message, 1 << 20));
        var book = new IdBook(sender);
        for (int i = 0; i < sends; i++)
        {
            await sender.SendZeroCopyAsync(memory.Next(message)).ConfigureAwait(true);
            book.ReadAfter(i);
        }

        await drain().ConfigureAwait(true);
        book.Report(name, sends, report);
    }

    /// <summary>Sends until the socket's optional memory is used up by notifications to come.</summary>
    private static void Exhaust(string name, DemoSettings settings, ExperimentReport report)
    {
        using ScriptedPeer peer = new ScriptedPeer(settings).Open(int.MaxValue);
        peer.CloseWindow();
        var memory = new PageRing(1 << 20);
        int sends = 0;
        try
        {
            while (sends < 10_000)
            {
                peer.SendZeroCopy(memory.At(0, 1 << 20));
                sends++;
            }
        }
        catch (SocketException refused) when (refused.SocketErrorCode == SocketError.NoBufferSpaceAvailable)
        {
            // The limit that this is about.
        }

        report.Add(name, s_until, sends);
        report.Add(name, s_expected, peer.Stack.Tcp.Settings.OptionalMemoryMax / ZeroCopyToken.TrueSize);
        report.Add(name, s_optional, peer.Connection.ZeroCopy.OptionalBytes);
        report.Add(name, s_queued, peer.Connection.Memory.WriteQueueBytes);
        report.Add(name, s_stack, peer.Stack.Tcp.Memory.AllocatedPages * 4096);
        peer.End();
        report.Add(name, s_after, peer.Stack.Tcp.Memory.AllocatedPages * 4096);
    }

    /// <summary>Reads a socket's notifications and checks that each id comes once.</summary>
    private sealed class IdBook
    {
        private readonly TcpSocket _socket;
        private readonly HashSet<uint> _seen = [];
        private int _entries, _copied, _twice;

        public IdBook(TcpSocket socket)
        {
            _socket = socket;
            socket.ZeroCopyNotifications = true;
        }

        public void ReadAfter(int send)
        {
            if ((send + 1) % ReadEvery == 0)
            {
                ReadAll();
            }
        }

        public void Report(string name, int sends, ExperimentReport report)
        {
            ReadAll();
            report.Add(name, s_sends, sends);
            report.Add(name, s_entries, _entries);
            report.Add(name, s_ratio, (double)sends / _entries);
            report.Add(name, s_copied, (double)_copied / sends);
            report.Add(name, s_wrong, _twice + (sends - _seen.Count));
        }

        private void ReadAll()
        {
            while (_socket.TryReadZeroCopyNotification(out ZeroCopyNotification read))
            {
                _entries++;
                _copied += read.Copied ? (int)(read.Last - read.First) + 1 : 0;
                for (uint id = read.First; id <= read.Last; id++)
                {
                    _twice += _seen.Add(id) ? 0 : 1;
                }
            }
        }
    }
}
