using System.Net;
using Penstock.Tests;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tun.Tests;

/// <summary>No managed memory is allocated for a packet, neither on its way in nor on its way out.</summary>
public sealed class TunAllocationTests
{
    private const int Packets = 2000;

    [Fact]
    public async Task A_packet_in_and_the_answer_to_it_allocate_nothing()
    {
        using var device = new VirtualDevice();
        TunLink link = TunLink.FromDescriptor(device.Near, new TunOptions { Offloads = true });
        await using var stack = new NetworkStack();
        stack.AddInterface(link, InterfaceAddress.Parse("10.77.0.2/24"));
        Worker worker = stack.Interfaces[1].WorkerOf(0);
        byte[] frame = new byte[VirtioHeader.Size + 60];
        new IPv4Header
        {
            Source = IpAddress.From(IPAddress.Parse("10.77.0.1")),
            Destination = IpAddress.From(IPAddress.Parse("10.77.0.2")),
            Protocol = IpProtocol.Udp,
            TimeToLive = 64,
            TotalLength = 60,
        }.Write(frame.AsSpan(VirtioHeader.Size));
        Exchange(device, stack, frame);

        long allocated = Allocations.Least(() => Exchange(device, stack, frame), () => Allocated(worker), Packets);

        // What the runtime itself allocates on that thread, if anything, does not grow with the packets.
        Assert.InRange(allocated, 0, Packets);
    }

    [Fact]
    public void A_packet_out_allocates_nothing()
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near, new TunOptions { Offloads = true }));
        var from = new IPEndPoint(IPAddress.Parse("10.77.0.2"), 9);
        var to = new IPEndPoint(IPAddress.Parse("10.77.0.1"), 80);
        byte[] payload = new byte[5000], options = new byte[12];
        Send(10);

        long allocated = Allocations.Least(() => Send(Packets), GC.GetAllocatedBytesForCurrentThread, Packets);

        Assert.InRange(allocated, 0, Packets);

        void Send(int count)
        {
            for (int i = 0; i < count; i++)
            {
                client.SendTcp(from, to, TcpFlags.Ack, 1, 2, payload, 1448, 8, options);
            }
        }
    }

    private static void Exchange(VirtualDevice device, NetworkStack stack, byte[] frame)
    {
        long until = stack.GetCounter(StackCounter.IpInReceives) + Packets;
        for (int i = 0; i < Packets; i++)
        {
            device.Write(frame);
        }

        Assert.True(SpinWait.SpinUntil(() => stack.GetCounter(StackCounter.IpInReceives) == until, 20_000));
    }

    private static long Allocated(Worker worker)
    {
        using var ask = new Question();
        worker.Post(ask);
        Assert.True(ask.Answered.Wait(20_000, TestContext.Current.CancellationToken));
        return ask.Bytes;
    }

    private sealed class Question : WorkItem, IDisposable
    {
        public readonly ManualResetEventSlim Answered = new();
        public long Bytes;

        public override void OnWorker(Worker worker)
        {
            Bytes = GC.GetAllocatedBytesForCurrentThread();
            Answered.Set();
        }

        public void Dispose() => Answered.Dispose();
    }
}
