// What a send costs, copied and zero-copy, by turns in one process: processor time of the whole process for each GB, and bytes allocated for each send.
//   ZeroCopy tun NAME ADDRESS/PREFIX HOST-ADDRESS/PREFIX [options]     to a sink on port 9001 of the kernel's TCP, over a TUN device
//   ZeroCopy cable [options]                                     to a reader on another stack in this process; the zero-copy sends over a cable that passes references
// Options: --chunk BYTES (1 MiB) --set BYTES (64 MiB, gone through in a circle, so that no chunk is in a cache when its turn comes) --bytes BYTES (a run's, 512 MiB) --runs N (31) --only copy|zerocopy --inline (cable: the reader reads on
// its stack's own thread)
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Penstock;

long chunk = Option("--chunk", 1 << 20);
long set = Option("--set", 64 << 20);
long bytes = Option("--bytes", 512 << 20);
int runs = (int)Option("--runs", 31);
string? only = args.SkipWhile(a => a != "--only").Skip(1).FirstOrDefault();
bool inline = args.Contains("--inline");
byte[] memory = GC.AllocateUninitializedArray<byte>((int)set, pinned: true);
new Random(1).NextBytes(memory);

await using var stack = new NetworkStack(new NetworkStackOptions { Name = "sender" });
await using var far = new NetworkStack(new NetworkStackOptions { Name = "reader" });
IPEndPoint copySink, zeroCopySink;
if (args[0] == "tun")
{
    string[] sink = args[3].Split('/');
    stack.AddInterface(TunLink.Open(args[1], new TunOptions { HostAddress = InterfaceAddress.Parse(args[3]) }), InterfaceAddress.Parse(args[2]));
    copySink = zeroCopySink = new IPEndPoint(IPAddress.Parse(sink[0]), 9001);
}
else
{
    var copying = new VirtualCable();
    var passing = new VirtualCable(new CableOptions { HoldReferences = true });
    stack.AddInterface(copying.A, InterfaceAddress.Parse("10.1.0.1/24"));
    far.AddInterface(copying.B, InterfaceAddress.Parse("10.1.0.2/24"));
    stack.AddInterface(passing.A, InterfaceAddress.Parse("10.2.0.1/24"));
    far.AddInterface(passing.B, InterfaceAddress.Parse("10.2.0.2/24"));
    copySink = IPEndPoint.Parse("10.1.0.2:9001");
    zeroCopySink = IPEndPoint.Parse("10.2.0.2:9001");
    _ = ServeAsync();
}

await using TcpSocket copyTo = await stack.ConnectTcpAsync(copySink);
await using TcpSocket zeroCopyTo = await stack.ConnectTcpAsync(zeroCopySink);
var slots = new ZeroCopySend[set / chunk];

// The first rounds fill pools and have the code compiled.
var copies = new List<Run>();
var zeroCopies = new List<Run>();
for (int i = -4; i < runs; i++)
{
    Run? copy = only == "zerocopy" ? null : await MeasureAsync(copyTo, zeroCopy: false);
    Run? zeroCopy = only == "copy" ? null : await MeasureAsync(zeroCopyTo, zeroCopy: true);
    if (i >= 0)
    {
        copies.AddRange(copy is null ? [] : [copy]);
        zeroCopies.AddRange(zeroCopy is null ? [] : [zeroCopy]);
    }
}

Print("copy", copies);
Print("zerocopy", zeroCopies);
if (copies.Count > 0 && zeroCopies.Count > 0)
{
    double medians = Median(zeroCopies) / Median(copies);
    List<double> ratios = [.. copies.Zip(zeroCopies, (c, z) => z.CpuPerGigabyte / c.CpuPerGigabyte).Order()];
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"{{\"path\":\"{args[0]}\",\"cpu_ratio_of_medians\":{medians:0.000},\"cpu_ratio_of_pairs_median\":{ratios[ratios.Count / 2]:0.000},\"bytes_per_cpu_s_ratio_of_medians\":{1 / medians:0.00}}}"));
}

static double Median(List<Run> of) => of.Select(r => r.CpuPerGigabyte).Order().ElementAt(of.Count / 2);

ReadOnlyMemory<byte> Chunk(int index) => memory.AsMemory((int)(index % slots.Length * chunk), (int)chunk);

async Task<Run> MeasureAsync(TcpSocket socket, bool zeroCopy)
{
    int sends = (int)(bytes / chunk);
    long acknowledged = socket.GetInfo().BytesAcked;

    // Once suspended, this method's own state is allocated and is not counted below.
    await Task.Yield();
    GC.Collect();
    long allocated = GC.GetTotalAllocatedBytes(precise: true);
    TimeSpan cpu = Environment.CpuUsage.TotalTime;
    long start = Stopwatch.GetTimestamp();
    for (int i = 0; i < sends; i++)
    {
        if (!zeroCopy)
        {
            await socket.SendAsync(Chunk(i));
            continue;
        }

        // The chunk's turn comes again: it must be free by now, or else wait.
        int slot = i % slots.Length;
        await slots[slot].Released;
        slots[slot] = await socket.SendZeroCopyAsync(Chunk(i));
    }

    allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
    for (int i = 0; i < slots.Length; i++)
    {
        await slots[i].Released;
        slots[i] = default;
    }

    // What a copying send leaves in the send buffer is part of its cost too.
    while (socket.GetInfo().BytesAcked - acknowledged < bytes)
    {
        await Task.Delay(1);
    }

    TimeSpan wall = Stopwatch.GetElapsedTime(start);
    cpu = Environment.CpuUsage.TotalTime - cpu;
    return new Run(cpu.TotalSeconds / (bytes / 1e9), (double)allocated / sends, bytes * 8 / wall.TotalSeconds / 1e9);
}

async Task ServeAsync()
{
    await using TcpSocketListener listener = far.ListenTcp(new IPEndPoint(IPAddress.Any, 9001));
    while (true)
    {
        TcpSocket socket = await listener.AcceptAsync();
        socket.UnsafeInlineContinuations = inline;
        _ = ReadAsync(socket);
    }
}

static async Task ReadAsync(TcpSocket socket)
{
    byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 18, pinned: true);
    try
    {
        while (await socket.ReceiveAsync(buffer) > 0)
        {
        }
    }
    catch (SocketException)
    {
        // The sender has measured enough.
    }
}

long Option(string name, long otherwise) =>
    args.SkipWhile(a => a != name).Skip(1).FirstOrDefault() is { } text ? long.Parse(text, CultureInfo.InvariantCulture) : otherwise;

void Print(string kind, List<Run> of)
{
    if (of.Count > 0)
    {
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{{\"path\":\"{args[0]}\",\"send\":\"{kind}\",\"runs\":{of.Count},{Spread("cpu_s_per_gb", of, r => r.CpuPerGigabyte)},{Spread("gbit_s", of, r => r.Gigabits)},{Spread("bytes_allocated_per_send", of, r => r.AllocatedPerSend)}}}"));
    }
}

static string Spread(string name, List<Run> of, Func<Run, double> value)
{
    List<double> values = [.. of.Select(value).Order()];
    return string.Create(CultureInfo.InvariantCulture, $"\"{name}_median\":{values[values.Count / 2]:0.000},\"{name}_min\":{values[0]:0.000},\"{name}_max\":{values[^1]:0.000}");
}

internal sealed record Run(double CpuPerGigabyte, double AllocatedPerSend, double Gigabits);
