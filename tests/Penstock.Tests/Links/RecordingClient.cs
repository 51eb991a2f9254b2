using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;

namespace Penstock.Tests.Links;

/// <summary>Stands where a stack's interface would: notes what a link delivers, and when.</summary>
internal sealed class RecordingClient : ILinkClient, IReceiver
{
    private readonly Worker _worker;

    public RecordingClient(Driver driver, long memory = 64 << 20)
    {
        Pool = new PacketPool(memory);
        _worker = new Worker(driver, 0);
        driver.Start(_worker);
    }

    public PacketPool Pool { get; }

    public List<Arrival> Arrivals { get; } = [];

    /// <summary>Only counts and frees: for measurements of allocation.</summary>
    public bool OnlyCount { get; set; }

    public int Count { get; private set; }

    public int Spaces { get; private set; }

    public int Dropped { get; private set; }

    public Exception? Failure { get; private set; }

    public Worker WorkerOf(int queue) => _worker;

    public void Deliver(PacketBuffer packet, int queue)
    {
        packet.Ingress = this;
        _worker.Post(packet);
    }

    public void Receive(PacketBuffer packet, Worker worker)
    {
        Count++;
        if (!OnlyCount)
        {
            byte[] bytes = new byte[packet.Length];
            packet.CopyPayloadTo(0, bytes);
            Arrivals.Add(new Arrival(worker.NowNanos, packet.ArrivalNanos, bytes, packet.Checksum, packet.GsoSize, packet.SegmentCount));
        }

        packet.Free();
    }

    public void OnSpace() => Spaces++;

    public void OnFailed(Exception reason) => Failure = reason;

    public void OnReceiveDropped() => Dropped++;

    public void AssertNothingRented()
    {
        Assert.Equal(0, Pool.RentedBuffers);
        Assert.Equal(0, Pool.RentedSlabs);
    }

    internal sealed record Arrival(long Nanos, long StampNanos, byte[] Bytes, ChecksumState Checksum, int GsoSize, int SegmentCount);
}
