using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;

namespace Penstock;

/// <summary>
/// One direction of a <see cref="VirtualCable"/>: what it does to packets, and what it has done so far.
/// </summary>
/// <remarks>All members are thread-safe.</remarks>
public sealed class CableDirection
{
    /// <summary>Wire packets of one super-segment that are delivered together: so the receiver begins while the rest is being copied.</summary>
    private const int Burst = 16;

    private readonly object _updating;
    private readonly uint _index;
    private readonly ArrivalTimer _timer;
    private readonly RateQueue _rateQueue = new();

    /// <summary>Wire packets, and bytes of them, that passed untouched.</summary>
    private readonly CountRows _passed = new(2);
    private CableOptions _options;
    private CableRules _rules;

    // The gate guards everything below; it is held while a packet's fate is decided and while a queue is changed, never across a copy or a delivery.
    private SpinGate _gate;
    private CableChance _loss, _duplicate, _reorder, _jitter, _corrupt;
    private ArrivalQueue _onTheirWay;
    private ArrivalQueue _overtaking;
    private long _latestArrivalNanos;
    private ILinkClient? _receiver;
    private bool _cut;
    private long _sent, _sentBytes, _delivered, _lost, _queueDrops, _memoryDrops, _duplicated, _corrupted, _reordered, _inFlight;

    /// <summary><paramref name="updating"/> is the lock that both directions share, so that a change of both is one.</summary>
    internal CableDirection(CableOptions options, uint index, object updating)
    {
        _updating = updating;
        _index = index;
        _options = options.Clone();
        _rules = new CableRules(_options);
        _timer = new ArrivalTimer(this);
        Reseed(_options.Seed);
    }

    /// <summary>A copy of the options in force.</summary>
    public CableOptions Options => Volatile.Read(ref _options).Clone();

    /// <summary>What has happened so far.</summary>
    public CableCounters Counters
    {
        get
        {
            // Looked at once: packets pass meanwhile, and what was sent and what was delivered have to agree.
            long passed = _passed[0];
            _gate.Enter();
            var counters = new CableCounters
            {
                Sent = _sent + passed,
                SentBytes = _sentBytes + _passed[1],
                Delivered = _delivered + passed,
                Lost = _lost,
                DroppedByQueue = _queueDrops,
                DroppedByMemory = _memoryDrops,
                Duplicated = _duplicated,
                Corrupted = _corrupted,
                Reordered = _reordered,
                InFlight = _inFlight,
            };
            _gate.Exit();
            return counters;
        }
    }

    internal bool MergesReceived => Volatile.Read(ref _options).MergeReceived;

    internal int Mtu => Volatile.Read(ref _rules).Mtu;

    /// <summary>
    /// Changes the impairments for packets that are sent from now on: <paramref name="change"/> gets a copy of the options in force. Packets that are under way
    /// keep their times, and later ones do not overtake them. A new <see cref="CableOptions.Seed"/> starts the random choices anew.
    /// </summary>
    /// <exception cref="ArgumentException">An option is out of its range, or the MTU or the name was changed. Nothing has changed then.</exception>
    public void Update(Action<CableOptions> change)
    {
        ArgumentNullException.ThrowIfNull(change);
        lock (_updating)
        {
            Apply(Changed(change));
        }
    }

    /// <summary>The options after a change, checked, not yet in force.</summary>
    internal CableOptions Changed(Action<CableOptions> change)
    {
        CableOptions current = Volatile.Read(ref _options);
        CableOptions next = current.Clone();
        change(next);
        next = next.Clone();
        next.Validate();
        if (next.Mtu != current.Mtu || next.Name != current.Name)
        {
            throw new ArgumentException("The MTU and the name of a cable are fixed when it is made. Make another cable.", nameof(change));
        }

        return next;
    }

    internal void Apply(CableOptions next)
    {
        var rules = new CableRules(next);
        _gate.Enter();
        if (next.Seed != _options.Seed)
        {
            Reseed(next.Seed);
        }

        _options = next;
        Volatile.Write(ref _rules, rules);
        _gate.Exit();
    }

    internal void AttachReceiver(ILinkClient receiver)
    {
        _gate.Enter();
        _receiver = receiver;
        _gate.Exit();
    }

    /// <summary>The receiving end is gone: what is under way is freed, into the receiver's pool, and what comes is lost.</summary>
    internal void DetachReceiver()
    {
        _gate.Enter();
        ILinkClient? receiver = _receiver;
        _receiver = null;
        PacketBuffer? packets = TakeDue(long.MaxValue);
        for (PacketBuffer? packet = packets; packet is not null; packet = packet.Next)
        {
            _inFlight -= packet.SegmentCount;
            _lost += packet.SegmentCount;
        }

        _gate.Exit();
        receiver?.WorkerOf(0).Timers.Cancel(_timer);
        while (packets is not null)
        {
            PacketBuffer? next = packets.Next;
            packets.Free();
            packets = next;
        }
    }

    /// <summary>The sending end is gone: what comes is lost; what is under way still arrives.</summary>
    internal void Cut()
    {
        _gate.Enter();
        _cut = true;
        _gate.Exit();
    }

    /// <summary>Takes over a packet. Copies what will arrive; never enters a socket.</summary>
    internal void Send(PacketBuffer packet)
    {
        CableRules rules = Volatile.Read(ref _rules);
        ILinkClient? receiver = Volatile.Read(ref _receiver);
        Worker? worker = receiver?.WorkerOf(0);

        // The receiver's clock counts: its timer delivers, and the sender's driver may have another origin.
        long now = worker is null ? 0 : rules.AtOnce ? worker.RecentNanos : worker.NowNanos;
        if (!Segmentation.IsSuperSegment(packet))
        {
            SendWire(packet, 0, 1, packet.TotalLength, rules, receiver, now);
        }
        else if (rules.Whole)
        {
            SendWire(packet, 0, Segmentation.SegmentsOf(packet), packet.TotalLength, rules, receiver, now);
        }
        else if (!rules.IsPlain || receiver is null || !TrySendBurst(packet, rules, receiver, now))
        {
            int count = Segmentation.SegmentsOf(packet);
            for (int i = 0; i < count; i++)
            {
                SendWire(packet, i, 1, Segmentation.LengthOf(packet, i), rules, receiver, now);
            }
        }

        packet.Free();
    }

    /// <summary>
    /// Sends the wire packets of a super-segment when nothing can happen to any of them: decided once, and delivered some at a time. False: something can, and nothing has been sent.
    /// </summary>
    private bool TrySendBurst(PacketBuffer packet, CableRules rules, ILinkClient receiver, long now)
    {
        int count = Segmentation.SegmentsOf(packet);
        _gate.Enter();
        if (_cut || _receiver != receiver || !_onTheirWay.IsEmpty || !_overtaking.IsEmpty || Segmentation.LengthOf(packet, 0) > rules.Mtu)
        {
            _gate.Exit();
            return false;
        }

        _sent += count;
        _sentBytes += packet.Length + ((long)count * packet.HeadLength);
        _delivered += count;
        _latestArrivalNanos = Math.Max(now, _latestArrivalNanos);
        _gate.Exit();
        var fate = new Fate { Arrives = true, AtOnce = true, ArrivalNanos = now, FlippedBit = -1 };
        PacketBuffer? first = null;
        PacketBuffer? last = null;
        int linked = 0;
        for (int i = 0; i < count; i++)
        {
            PacketBuffer? copy = MakeArrival(packet, i, 1, Segmentation.LengthOf(packet, i), fate, rules, receiver);
            if (copy is not null)
            {
                if (last is null)
                {
                    first = copy;
                }
                else
                {
                    last.Next = copy;
                }

                last = copy;
                linked++;
            }

            if (first is not null && (linked == Burst || i == count - 1))
            {
                receiver.DeliverBurst(first, last!, linked, 0);
                first = last = null;
                linked = 0;
            }
        }

        return true;
    }

    /// <summary>Sends what crosses in one piece: the wire packet at <paramref name="index"/>, or all <paramref name="segments"/> of a super-segment.</summary>
    private void SendWire(PacketBuffer packet, int index, int segments, int bytes, CableRules rules, ILinkClient? receiver, long now)
    {
        if (rules.IsPlain && receiver is not null && Passes(segments == 1 ? bytes : 0, rules, receiver))
        {
            _passed.Add(0, segments, 1, bytes + ((segments - 1) * packet.HeadLength));
            Carry(packet, index, segments, bytes, new Fate { Arrives = true, AtOnce = true, ArrivalNanos = now, FlippedBit = -1 }, rules, receiver);
            return;
        }

        Fate second = default;
        _gate.Enter();
        _sent += segments;
        _sentBytes += bytes + ((segments - 1) * packet.HeadLength);
        if (_cut || receiver is null || (segments == 1 && bytes > rules.Mtu) || _loss.Happens(rules.Loss))
        {
            _lost += segments;
            _gate.Exit();
            return;
        }

        bool twice = _duplicate.Happens(rules.Duplicate);
        Fate first = Decide(rules, bytes, segments, now);
        if (twice)
        {
            _duplicated++;
            second = Decide(rules, bytes, segments, now);
        }

        _gate.Exit();
        if (first.Arrives)
        {
            Carry(packet, index, segments, bytes, first, rules, receiver);
        }

        if (second.Arrives)
        {
            Carry(packet, index, segments, bytes, second, rules, receiver);
        }
    }

    /// <summary>Nothing can happen to a packet and none is on its way that it could overtake. Plain looks: what another thread does at this moment may have been done before or after.</summary>
    private bool Passes(int bytes, CableRules rules, ILinkClient receiver) =>
        bytes <= rules.Mtu && !Volatile.Read(ref _cut) && Volatile.Read(ref _receiver) == receiver && _onTheirWay.IsEmpty && _overtaking.IsEmpty;

    /// <summary>Decides, under the gate, what becomes of a packet that was not lost, and counts it.</summary>
    private Fate Decide(CableRules rules, int bytes, int segments, long now)
    {
        var fate = new Fate { ArrivalNanos = now, FlippedBit = -1 };
        if (rules.Rate != 0 && !_rateQueue.TryEnter(rules, bytes, now, out fate.ArrivalNanos))
        {
            _queueDrops += segments;
            return default;
        }

        fate.Overtakes = _reorder.Happens(rules.Reorder);
        if (fate.Overtakes)
        {
            _reordered += _latestArrivalNanos > fate.ArrivalNanos ? 1 : 0;
        }
        else
        {
            fate.ArrivalNanos += rules.DelayNanos + (rules.JitterNanos > 0 ? _jitter.Below(rules.JitterNanos + 1) : 0);
            fate.ArrivalNanos = _latestArrivalNanos = Math.Max(fate.ArrivalNanos, _latestArrivalNanos);
        }

        if (_corrupt.Happens(rules.Corrupt))
        {
            _corrupted++;
            fate.FlippedBit = (int)_corrupt.Below(bytes * 8L);
        }

        fate.Arrives = true;
        fate.AtOnce = fate.ArrivalNanos <= now && _overtaking.IsEmpty && (fate.Overtakes || _onTheirWay.IsEmpty);
        if (fate.AtOnce)
        {
            _delivered += segments;
        }
        else
        {
            _inFlight += segments;
        }

        return fate;
    }

    /// <summary>Makes the receiver's copy, or lets it refer to what an application lent, and delivers or queues it.</summary>
    private void Carry(PacketBuffer packet, int index, int segments, int bytes, in Fate fate, CableRules rules, ILinkClient receiver)
    {
        if (MakeArrival(packet, index, segments, bytes, fate, rules, receiver) is not { } copy)
        {
            return;
        }

        if (fate.AtOnce)
        {
            receiver.Deliver(copy, 0);
        }
        else
        {
            Queue(copy, fate.Overtakes, receiver);
        }
    }

    /// <summary>What the receiver gets of a packet; null, and counted, when its pool is at its limit.</summary>
    private PacketBuffer? MakeArrival(PacketBuffer packet, int index, int segments, int bytes, in Fate fate, CableRules rules, ILinkClient receiver)
    {
        PacketBuffer? copy = (rules.PassesReferences ? PacketCopy.TryShare(receiver.Pool, packet) : null)
            ?? TryCopy(packet, index, segments, bytes, fate, rules, receiver);
        if (copy is null)
        {
            receiver.OnReceiveDropped();
            _gate.Enter();
            (fate.AtOnce ? ref _delivered : ref _inFlight) -= segments;
            _memoryDrops += segments;
            _gate.Exit();
            return null;
        }

        // A packet that came with a complete checksum may come from anywhere: the receiver looks for itself.
        copy.Checksum = rules.RealChecksums || packet.Checksum == ChecksumState.None ? ChecksumState.None : ChecksumState.Verified;
        copy.GsoSize = segments == 1 ? 0 : packet.GsoSize;
        copy.SegmentCount = segments;
        copy.ArrivalNanos = fate.ArrivalNanos;
        return copy;
    }

    /// <summary>Copies what crosses, as it will arrive; null when the receiver's pool is at its limit.</summary>
    private static PacketBuffer? TryCopy(PacketBuffer packet, int index, int segments, int bytes, in Fate fate, CableRules rules, ILinkClient receiver)
    {
        PacketBuffer? copy = PacketCopy.TryRent(receiver.Pool, bytes, out Slab? slab);
        if (copy is null)
        {
            return null;
        }

        Span<byte> destination = slab!.Array.AsSpan(0, bytes);
        if (segments == 1)
        {
            Segmentation.WriteSegment(packet, index, destination, rules.RealChecksums);
        }
        else
        {
            Segmentation.WriteWhole(packet, destination, rules.RealChecksums);
        }

        packet.NoteCopied();
        if (fate.FlippedBit >= 0)
        {
            destination[fate.FlippedBit >> 3] ^= (byte)(1 << (fate.FlippedBit & 7));
        }

        return copy;
    }

    private void Queue(PacketBuffer copy, bool overtakes, ILinkClient receiver)
    {
        long at = copy.ArrivalNanos;
        _gate.Enter();
        if (_receiver != receiver)
        {
            // Detached while the copy was made.
            _inFlight -= copy.SegmentCount;
            _lost += copy.SegmentCount;
            _gate.Exit();
            copy.Free();
            return;
        }

        bool first = (overtakes ? ref _overtaking : ref _onTheirWay).Append(copy);
        _gate.Exit();
        if (first)
        {
            receiver.WorkerOf(0).Arm(_timer, at);
        }
    }

    /// <summary>Runs on the receiver's worker: delivers all that has arrived by now and files the timer for the next arrival.</summary>
    private void OnArrival(long nowNanos)
    {
        _gate.Enter();
        ILinkClient? receiver = _receiver;
        PacketBuffer? packets = receiver is null ? null : TakeDue(nowNanos);
        for (PacketBuffer? packet = packets; packet is not null; packet = packet.Next)
        {
            _inFlight -= packet.SegmentCount;
            _delivered += packet.SegmentCount;
        }

        long next = Math.Min(_onTheirWay.NextNanos, _overtaking.NextNanos);
        _gate.Exit();
        while (packets is not null)
        {
            PacketBuffer? following = packets.Next;
            receiver!.Deliver(packets, 0);
            packets = following;
        }

        if (next != long.MaxValue)
        {
            receiver?.WorkerOf(0).Arm(_timer, next);
        }
    }

    /// <summary>Detaches, under the gate, the packets that have arrived by <paramref name="nowNanos"/>, in the order of arrival.</summary>
    private PacketBuffer? TakeDue(long nowNanos)
    {
        PacketBuffer? head = null;
        PacketBuffer? tail = null;
        while (true)
        {
            ref ArrivalQueue from = ref _overtaking.NextNanos <= _onTheirWay.NextNanos ? ref _overtaking : ref _onTheirWay;
            if (from.IsEmpty || from.NextNanos > nowNanos)
            {
                return head;
            }

            PacketBuffer packet = from.Take();
            if (tail is null)
            {
                head = packet;
            }
            else
            {
                tail.Next = packet;
            }

            tail = packet;
        }
    }

    private void Reseed(ulong seed)
    {
        uint stream = _index * 16;
        _loss = new CableChance(seed, stream);
        _duplicate = new CableChance(seed, stream + 1);
        _reorder = new CableChance(seed, stream + 2);
        _jitter = new CableChance(seed, stream + 3);
        _corrupt = new CableChance(seed, stream + 4);
    }

    /// <summary>What becomes of one packet.</summary>
    private struct Fate
    {
        public bool Arrives;
        public bool AtOnce;
        public bool Overtakes;
        public long ArrivalNanos;

        /// <summary>The bit that arrives flipped, or -1.</summary>
        public int FlippedBit;
    }

    /// <summary>Packets in the order of their arrival, first in first out, linked by <see cref="PacketBuffer.Next"/>.</summary>
    private struct ArrivalQueue
    {
        private PacketBuffer? _head;
        private PacketBuffer? _tail;

        public readonly bool IsEmpty => _head is null;

        public readonly long NextNanos => _head?.ArrivalNanos ?? long.MaxValue;

        /// <summary>True when the packet is the first.</summary>
        public bool Append(PacketBuffer packet)
        {
            packet.Next = null;
            bool first = _head is null;
            if (first)
            {
                _head = packet;
            }
            else
            {
                _tail!.Next = packet;
            }

            _tail = packet;
            return first;
        }

        public PacketBuffer Take()
        {
            PacketBuffer packet = _head!;
            _head = packet.Next;
            if (_head is null)
            {
                _tail = null;
            }

            packet.Next = null;
            return packet;
        }
    }

    private sealed class ArrivalTimer(CableDirection direction) : TimerEntry
    {
        public override void OnTimer(long nowNanos) => direction.OnArrival(nowNanos);
    }
}
