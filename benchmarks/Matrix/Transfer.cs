using System.Net;
using System.Net.Sockets;

namespace Penstock.Benchmarks.Matrix;

/// <summary>
/// One transfer over a path of its own. The sender is at the cable's A, the receiver at its B, so that the same seed means the same losses for all.
/// </summary>
internal static class Transfer
{
    private const int Port = 9001;
    private const int SendChunk = 1 << 16;
    private const int ReceiveChunk = 1 << 18;
    private static readonly IPAddress s_sender = IPAddress.Parse("10.79.0.1");
    private static readonly IPEndPoint s_receiver = IPEndPoint.Parse($"10.79.0.2:{Port}");

    public static async Task<Outcome> RunAsync(Cell cell, Pairing pairing, ulong seed, Start start, CancellationToken stop)
    {
        using var cable = new VirtualCable(cell.ToCable(seed));
        using KernelHost? sendingHost = pairing == Pairing.Sends ? null : KernelHost.Make(s_sender);
        using KernelHost? receivingHost = pairing == Pairing.Receives ? null : KernelHost.Make(s_receiver.Address);
        using DeviceEnd? sendingEnd = pairing == Pairing.Linux ? new DeviceEnd(sendingHost!.Device, cable.A) : null;
        using DeviceEnd? receivingEnd = pairing == Pairing.Linux ? new DeviceEnd(receivingHost!.Device, cable.B) : null;
        NetworkStack? stack = pairing switch
        {
            Pairing.Sends => MakeStack(new ImpairedDevice(receivingHost!.Device, cable.A, cable.B), s_sender),
            Pairing.Receives => MakeStack(new ImpairedDevice(sendingHost!.Device, cable.B, cable.A), s_receiver.Address),
            _ => null,
        };
        TcpSocketListener? listener = null;
        if (receivingHost is null)
        {
            listener = stack!.ListenTcp(new TcpListenOptions(new IPEndPoint(IPAddress.Any, Port)));
        }
        else
        {
            receivingHost.Socket.Bind(s_receiver);
            receivingHost.Socket.Listen();
        }

        try
        {
            await start.ArriveAsync(stop);
            var meter = new Meter();
            using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
            Task receiving = Quiet(receivingHost is null ? ReceiveAsync(listener!, meter, over.Token) : OnThread(() => Receive(receivingHost.Socket, meter, over.Token)));
            var sent = new Sent();
            Task sending = Quiet(sendingHost is null ? SendAsync(stack!, sent, over.Token) : OnThread(() => Send(sendingHost.Socket, over.Token)));
            await Task.Delay(TimeSpan.FromSeconds(cell.Seconds), stop);

            double seconds = meter.Seconds;
            long bytes = meter.Bytes;
            SenderCounts sender = sendingHost?.Look() ?? Look(stack!, sent.Socket);
            var outcome = new Outcome
            {
                Cell = cell.Name,
                Pairing = pairing,
                Seed = seed,
                Bytes = bytes,
                Megabits = bytes * 8 / seconds / 1e6,
                LongestGapSeconds = meter.LongestGap(seconds),
                Retransmits = sender.Retransmits,
                Timeouts = sender.Timeouts,
                Duplicates = sender.Duplicates,
                FastRetransmits = sender.FastRetransmits,
                Probes = sender.Probes,
                DeviceDrops = (sendingHost?.Device.TransmitDrops ?? 0) + (receivingHost?.Device.TransmitDrops ?? 0),
                ReceiverDrops = receivingHost?.LookDrops() ?? 0,
                Data = cable.AToB.Counters,
                Acks = cable.BToA.Counters,
            };
            await over.CancelAsync();
            sent.Socket?.Dispose();
            sendingHost?.Socket.Close(0);
            receivingHost?.Socket.Close(0);
            if (listener is not null)
            {
                await listener.DisposeAsync();
            }

            if (stack is not null)
            {
                await stack.DisposeAsync();
                stack = null;
            }

            await sending;
            await receiving;
            return outcome;
        }
        finally
        {
            if (stack is not null)
            {
                await stack.DisposeAsync();
            }
        }
    }

    private static NetworkStack MakeStack(Link link, IPAddress address)
    {
        var stack = new NetworkStack(new NetworkStackOptions { Name = "penstock", CloseTimeout = TimeSpan.Zero });
        stack.AddInterface(link, new InterfaceAddress(address, 24));

        // This kernel's own limits, so that windows do not decide.
        foreach (string key in (string[])["tcp_rmem", "tcp_wmem"])
        {
            stack.Sysctl.Set($"net.ipv4.{key}", File.ReadAllText($"/proc/sys/net/ipv4/{key}").Trim().Replace('\t', ' '));
        }

        return stack;
    }

    private static async Task SendAsync(NetworkStack stack, Sent sent, CancellationToken over)
    {
        TcpSocket socket = await stack.ConnectTcpAsync(s_receiver, new TcpConnectOptions { CongestionControl = "cubic" }, over);
        sent.Socket = socket;
        byte[] buffer = GC.AllocateArray<byte>(SendChunk, pinned: true);
        while (!over.IsCancellationRequested)
        {
            await socket.SendAsync(buffer, over);
        }
    }

    private static async Task ReceiveAsync(TcpSocketListener listener, Meter meter, CancellationToken over)
    {
        await using TcpSocket socket = await listener.AcceptAsync(over);
        byte[] buffer = GC.AllocateUninitializedArray<byte>(ReceiveChunk, pinned: true);
        int received;
        while ((received = await socket.ReceiveAsync(buffer, over)) > 0)
        {
            meter.Add(received);
        }
    }

    private static void Send(Socket socket, CancellationToken over)
    {
        socket.Connect(s_receiver);
        byte[] buffer = new byte[SendChunk];
        while (!over.IsCancellationRequested)
        {
            socket.Send(buffer);
        }
    }

    private static void Receive(Socket listener, Meter meter, CancellationToken over)
    {
        using Socket socket = listener.Accept();
        using CancellationTokenRegistration closing = over.Register(() => socket.Close(0));
        byte[] buffer = new byte[ReceiveChunk];
        int received;
        while ((received = socket.Receive(buffer)) > 0)
        {
            meter.Add(received);
        }
    }

    private static Task OnThread(Action action) => Task.Factory.StartNew(action, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>A transfer ends by its sockets being closed. One that ends earlier shows in what was received.</summary>
    private static async Task Quiet(Task task)
    {
        try
        {
            await task;
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException or OperationCanceledException or IOException)
        {
        }
    }

    private static SenderCounts Look(NetworkStack stack, TcpSocket? socket) => new(
        stack.GetCounter(StackCounter.TcpRetransSegs), stack.GetCounter(StackCounter.TcpTimeouts), socket?.GetInfo().DuplicatesReported ?? 0, stack.GetCounter(StackCounter.TcpFastRetrans), stack.GetCounter(StackCounter.TcpLossProbes));

    /// <summary>The sending socket, once there is one.</summary>
    private sealed class Sent
    {
        public TcpSocket? Socket { get; set; }
    }
}
