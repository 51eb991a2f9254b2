using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>A socket without a protocol: the lock and the backlog alone.</summary>
internal sealed class TestSocket : OwnedSocket
{
    private readonly PacketPool _pool = new(1 << 28);
    private int _drops;
    private int _working;

    public TestSocket(Driver driver)
        : base(new Worker(driver, 0)) => Omitted = Proof.Omitted;

    public List<uint> Processed { get; } = [];

    public Action<uint>? OnPacket { get; set; }

    public Action<DeferredWork>? OnWork { get; set; }

    public Action? OnMerge { get; set; }

    /// <summary>Says, when a drain ends, whether an ACK was left for it.</summary>
    public bool AckAfterDrain { get; set; }

    public long Limit { get; set; } = long.MaxValue;

    public int Received { get; set; }

    public int Drops => Volatile.Read(ref _drops);

    /// <summary>Two contexts were inside at once.</summary>
    public bool Collided { get; private set; }

    public static int PacketSize => PacketBuffer.ObjectSize;

    protected internal override long BacklogLimit => Limit;

    protected override int BacklogReceiveBytes => Received;

    public void Arrive(uint number, int extra = 0)
    {
        PacketBuffer packet = _pool.RentBuffer()!;
        packet.Sequence = new SequenceNumber(number);
        packet.TrueSize += extra;
        ReceivePacket(packet, null!);
    }

    /// <summary>The time of the owner's present step.</summary>
    public long StepTime => StepNanos;

    /// <summary>Has a packet received by the socket's own worker, after <paramref name="meanwhile"/>, in the same round.</summary>
    public void ArriveInRound(uint number, Action meanwhile)
    {
        PacketBuffer packet = _pool.RentBuffer()!;
        packet.Sequence = new SequenceNumber(number);
        packet.Ingress = new Receiver(this, meanwhile);
        Worker.Post(packet);
        Worker.Run();
    }

    private sealed class Receiver(TestSocket socket, Action meanwhile) : IReceiver
    {
        public void Receive(PacketBuffer packet, Worker worker)
        {
            meanwhile();
            socket.ReceivePacket(packet, worker);
        }
    }

    public void Subscribe(SocketWaiter waiter) => AddWaiter(waiter);

    public void Raise(SocketEvents events) => Notify(events);

    public void Enter()
    {
        if (Interlocked.Exchange(ref _working, 1) != 0)
        {
            Collided = true;
        }
    }

    public void Leave() => Volatile.Write(ref _working, 0);

    public long Rented => _pool.RentedBuffers;

    protected override void ProcessPacket(PacketBuffer packet)
    {
        Enter();
        uint number = packet.Sequence.Value;
        Processed.Add(number);
        packet.Free();
        Leave();
        OnPacket?.Invoke(number);
    }

    protected override void RunDeferred(DeferredWork work) => OnWork?.Invoke(work);

    protected override bool OnDrainEnds() => AckAfterDrain;

    protected override bool TryCoalesce(PacketBuffer tail, PacketBuffer packet) => false;

    protected override void OnBacklog(BacklogOutcome outcome)
    {
        if (outcome == BacklogOutcome.Dropped)
        {
            Interlocked.Increment(ref _drops);
        }
    }
}
