using System.Runtime.CompilerServices;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Buffers;

/// <summary>What TCP, IP and the links note on a buffer. Each field says who writes it.</summary>
internal sealed unsafe partial class PacketBuffer
{
    // --- Queue links: a buffer is in one queue at a time. Next also links free lists and ready queues.
    public PacketBuffer? Next;
    public PacketBuffer? Previous;

    // --- The tree that orders a retransmit or out-of-order queue by sequence (SequenceQueue writes them).
    public PacketBuffer? TreeLeft;
    public PacketBuffer? TreeRight;
    public uint TreePriority;

    // --- The list in the order of (re)transmission, for RACK (RetransmitQueue writes them).
    public PacketBuffer? SentNext;
    public PacketBuffer? SentPrevious;

    // --- TCP: position in the stream. EndSequence counts SYN and FIN.
    public SequenceNumber Sequence;
    public SequenceNumber EndSequence;
    public TcpFlags TcpFlags;
    public SegmentFlags Segment;

    /// <summary>Segments this buffer stands for on the wire, at least 1 once set (Linux: <c>gso_segs</c>).</summary>
    public int SegmentCount;

    /// <summary>Payload bytes of each wire segment when the buffer is a super-segment, else 0 (Linux: <c>gso_size</c>).</summary>
    public int GsoSize;

    /// <summary>When this was last handed to the link, nanoseconds.</summary>
    public long SentNanos;

    /// <summary>Which of its connection's transmissions this was last in; the parts of a split buffer have one number.</summary>
    public long SentOrder;

    /// <summary>The connection's delivered count when this was sent, and the times of a rate sample (RFC 8985 / delivery rate).</summary>
    public long DeliveredAtSend;
    public long DeliveredNanosAtSend;
    public long FirstSentNanosAtSend;

    // --- Received segments: what the header said (the input writes them).
    public SequenceNumber Acknowledgment;
    public uint Window;
    public ushort UrgentPointer;
    public TcpOptions Options;
    public byte Tos;
    public byte Ttl;

    // --- IP and link.
    public IpAddress Source;
    public IpAddress Destination;
    public ushort SourcePort;
    public ushort DestinationPort;
    public ChecksumState Checksum;

    /// <summary>Offset, from the start of the IP header, of the transport header that a partial checksum covers.</summary>
    public int ChecksumStart;

    /// <summary>When a received packet arrived at the link, nanoseconds.</summary>
    public long ArrivalNanos;

    /// <summary>When a received packet came to its socket, nanoseconds, if waits are measured; else 0 (the owned socket writes it).</summary>
    public long QueuedNanos;

    /// <summary>The interface a received packet came in by: who receives it from the ready queue.</summary>
    public IReceiver? Ingress;

    // --- Transmission: whom to tell when the device has let go of a clone.
    public DeviceAccount? Device;
    public int DeviceCharge;

    /// <summary>Of a queued buffer: what its socket had given to devices in all when this was last sent; see <see cref="DeviceAccount.Holds"/>.</summary>
    public long DeviceMark;

    /// <summary>Makes this empty buffer a transmission of <paramref name="source"/>: same bytes, own head. <paramref name="borrows"/>: as <see cref="BorrowFrom"/>.</summary>
    public void CloneFrom(PacketBuffer source, bool borrows = false)
    {
        if (borrows)
        {
            BorrowFrom(source);
        }
        else
        {
            ShareFrom(source, 0, source.Length);
        }

        Sequence = source.Sequence;
        EndSequence = source.EndSequence;
        TcpFlags = source.TcpFlags;
        SegmentCount = source.SegmentCount;
        GsoSize = source.GsoSize;
    }

    /// <summary>This packet is received next: asks for its headers, and for the packet behind it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void PrefetchForReceive()
    {
        if (FragmentCount > 0)
        {
            Prefetch.Memory(SlotAt(0).Address);
        }

        Prefetch.Object(Next, ObjectSize / 64);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void ResetState()
    {
        Next = Previous = TreeLeft = TreeRight = SentNext = SentPrevious = null;
        TcpFlags = 0;
        Segment = 0;
        SegmentCount = 0;
        GsoSize = 0;
        SentNanos = 0;
        SentOrder = 0;
        QueuedNanos = 0;
        UrgentPointer = 0;
        Checksum = ChecksumState.None;
        ChecksumStart = 0;
        Ingress = null;
        Device = null;
        DeviceCharge = 0;
        DeviceMark = 0;
        Tos = 0;
    }
}

/// <summary>
/// Counts what a socket has inside devices (Linux: <c>sk_wmem_alloc</c>, limited by TCP small queues). The device's side runs on any thread and
/// only counts and sets a flag; the socket's owner acts on it later.
/// </summary>
internal abstract class DeviceAccount
{
    private int _bytes;

    /// <summary>True-size bytes of clones that links still hold.</summary>
    public int DeviceBytes => Volatile.Read(ref _bytes);

    /// <summary>What was given to devices since the beginning. The owner's.</summary>
    public long Given { get; private set; }

    /// <summary>Before a clone is given to a device. The owner's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(int bytes)
    {
        Given += bytes;
        Interlocked.Add(ref _bytes, bytes);
    }

    /// <summary>After a device refused a clone: as if it had not been given, and no news of space, which there is none of. The owner's.</summary>
    public void TakeBack(int bytes)
    {
        Given -= bytes;
        Interlocked.Add(ref _bytes, -bytes);
    }

    /// <summary>
    /// Whether a clone that was sent when <see cref="Given"/> was <paramref name="mark"/> is still in a device (Linux: <c>skb_still_in_host_queue</c>). Counted, as devices
    /// let go in order: no pointer leads from a clone back to a buffer that may be gone. The owner's.
    /// </summary>
    public bool Holds(long mark) => Given - DeviceBytes < mark;

    public void OnDeviceDone(int bytes)
    {
        int left = Interlocked.Add(ref _bytes, -bytes);
        OnDeviceSpace(left);
    }

    /// <summary>Called, on any thread, whenever a device lets go of a clone; must only note it.</summary>
    protected abstract void OnDeviceSpace(int bytesLeft);
}
