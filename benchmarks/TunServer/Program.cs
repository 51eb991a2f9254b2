// The measuring server over TUN: sink on 9001, source on 9002, echo on 9003, for benchmarks/peers/kernel-client.
//   TunServer NAME ADDRESS/PREFIX HOST-ADDRESS/PREFIX [--mtu N] [--no-offload] [--inline]
using System.Net;
using System.Net.Sockets;
using Penstock;

string name = args[0];
InterfaceAddress address = InterfaceAddress.Parse(args[1]);
InterfaceAddress host = InterfaceAddress.Parse(args[2]);
int mtu = args.SkipWhile(a => a != "--mtu").Skip(1).Select(int.Parse).FirstOrDefault(1500);
bool offload = !args.Contains("--no-offload");
bool inline = args.Contains("--inline");

await using var stack = new NetworkStack(new NetworkStackOptions { Name = "bench" });
stack.AddInterface(TunLink.Open(name, new TunOptions { Offloads = offload, Mtu = mtu, HostAddress = host }), address);
var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, e) => { e.Cancel = true; stop.Cancel(); };
AppDomain.CurrentDomain.ProcessExit += (_, _) => stop.Cancel();
_ = Serve(9001, Sink);
_ = Serve(9002, Source);
_ = Serve(9003, Echo);
Console.WriteLine("ready");
try
{
    await Task.Delay(Timeout.Infinite, stop.Token);
}
catch (OperationCanceledException)
{
}

foreach (StackCounter counter in Enum.GetValues<StackCounter>())
{
    if (stack.GetCounter(counter) is var value and not 0)
    {
        Console.Error.WriteLine($"{counter} {value}");
    }
}

async Task Serve(int port, Func<TcpSocket, Task> serve)
{
    await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Any, port));
    while (true)
    {
        TcpSocket socket = await listener.AcceptAsync();
        _ = Run(socket, serve);
    }
}

async Task Run(TcpSocket socket, Func<TcpSocket, Task> serve)
{
    socket.UnsafeInlineContinuations = inline;
    try
    {
        await serve(socket);
    }
    catch (SocketException)
    {
        // The client resets its connections when it has measured enough.
    }
    finally
    {
        await socket.DisposeAsync();
    }
}

static async Task Sink(TcpSocket socket)
{
    byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 18, pinned: true);
    while (await socket.ReceiveAsync(buffer) > 0)
    {
    }
}

static async Task Source(TcpSocket socket)
{
    byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 16, pinned: true);
    while (await socket.SendAsync(buffer) == buffer.Length)
    {
    }
}

static async Task Echo(TcpSocket socket)
{
    socket.NoDelay = true;
    byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 12, pinned: true);
    int n;
    while ((n = await socket.ReceiveAsync(buffer)) > 0)
    {
        await socket.SendAsync(buffer.AsMemory(0, n));
    }
}
