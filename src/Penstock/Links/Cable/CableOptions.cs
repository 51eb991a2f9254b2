namespace Penstock;

/// <summary>
/// What a <see cref="VirtualCable"/>, or one direction of it, does to the packets that cross. Validated and copied when the cable is made; change a cable
/// that is in use with <see cref="VirtualCable.Update"/> or <see cref="CableDirection.Update"/>.
/// </summary>
/// <remarks>
/// A packet meets the impairments in this order: <see cref="Loss"/>, <see cref="Duplicate"/>, then each copy by itself the rate queue
/// (<see cref="Rate"/>, <see cref="QueueLimit"/>), <see cref="Reorder"/> or <see cref="Delay"/> and <see cref="Jitter"/>, and <see cref="Corrupt"/>.
/// </remarks>
public sealed class CableOptions
{
    private const long MaximumRate = 1_000_000_000_000_000;

    /// <summary>A name for captures and metrics; the ends are called <c>NAME-a</c> and <c>NAME-b</c>.</summary>
    public string Name { get; set; } = "cable";

    /// <summary>The largest IP packet that crosses, bytes, header included: 68..65535, 1500 by default. Fixed when the cable is made.</summary>
    public int Mtu { get; set; } = 1500;

    /// <summary>How long a packet is on its way, in one direction: zero (the default) to one day, exact to 100 ns.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>
    /// A random extra delay for each packet, uniform in 0..Jitter: zero (the default) to one day. Packets stay in order: one that would overtake waits for
    /// the packet before it; only <see cref="Reorder"/> reorders. Unlike netem's, the jitter only adds, so <see cref="Delay"/> is the least a packet takes.
    /// </summary>
    public TimeSpan Jitter { get; set; }

    /// <summary>The probability, 0..1, that a packet is lost. It is lost before it takes room in the rate queue, as with netem.</summary>
    public double Loss { get; set; }

    /// <summary>
    /// The probability, 0..1, that a packet skips <see cref="Delay"/> and <see cref="Jitter"/>, and so arrives before the ones that are on their way (netem's
    /// reorder). Needs a delay or a jitter: without them no packet is ever on its way.
    /// </summary>
    public double Reorder { get; set; }

    /// <summary>The probability, 0..1, that a packet is sent twice. The second copy stands right behind the first in the rate queue.</summary>
    public double Duplicate { get; set; }

    /// <summary>
    /// The probability, 0..1, that one bit of a packet, headers included, arrives flipped. Above zero, checksums are computed and verified as with
    /// <see cref="Checksums"/>.
    /// </summary>
    public double Corrupt { get; set; }

    /// <summary>Bits per second, 1 to 10^15, counted in bytes of IP packets; null, the default, is without limit. A change applies to packets sent from then on.</summary>
    public long? Rate { get; set; }

    /// <summary>
    /// Packets that the rate queue holds, the one that is being sent included; one more is dropped. 1000 by default, as netem; without a
    /// <see cref="Rate"/> there is no queue.
    /// </summary>
    public int QueueLimit { get; set; } = 1000;

    /// <summary>
    /// Bytes of IP packets that the rate queue holds; a packet that would pass it is dropped, unless the queue is empty. Null, the default, is without limit.
    /// </summary>
    public long? QueueLimitBytes { get; set; }

    /// <summary>Decides, with the order of packets, every random choice. The two directions draw from it differently. 1 by default.</summary>
    public ulong Seed { get; set; } = 1;

    /// <summary>
    /// Lets the sender's super-segments (up to 64 KiB in one piece) cross without being split, which is faster. On by default. They are split all the same
    /// while an impairment is in force that acts on single packets: everything but <see cref="Delay"/>.
    /// </summary>
    public bool SuperSegments { get; set; } = true;

    /// <summary>
    /// Lets the data of zero-copy sends cross without being copied: the receiver's queues refer to the sending application's memory, which is released when the receiving application has
    /// consumed the data, or closes its socket. Off by default: data is copied as it enters the receiver, as Linux does between network namespaces, so that a reader that never reads
    /// holds nothing of the sender's; the notification (<see cref="TcpSocket.ZeroCopyNotifications"/>) then says that it was copied.
    /// </summary>
    /// <remarks>
    /// <para>What is held is limited by the receiver's window: it counts, in whole pages, against the receive buffer. Only the headers, and what was sent by copying, use memory of the
    /// receiver's stack. It also counts against the sender's <see cref="NetworkStackOptions.PinnedMemoryLimit"/> as long. <see cref="TcpSocket.CloseAsync"/> of the sender waits for it; after a
    /// plain Dispose, of the socket or of its stack, the memory may still be held.</para>
    /// <para>The receiver sees the memory itself, not a copy: a sender that changes it too early changes what was received already. It has no effect while packets do not cross whole
    /// (see <see cref="SuperSegments"/>) or with <see cref="Checksums"/>: all is copied then. So is a packet whose payload is in 17 pieces, the most that one can have.</para>
    /// </remarks>
    public bool HoldReferences { get; set; }

    /// <summary>
    /// Merges TCP segments that arrive at the same moment again before the receiver's TCP sees them (Linux: GRO). On by default; off, TCP sees, and answers,
    /// each packet by itself. Fixed when the end is added to a stack.
    /// </summary>
    public bool MergeReceived { get; set; } = true;

    /// <summary>Computes checksums of what is sent and has them verified by the receiver. Off by default: the bytes never leave memory.</summary>
    public bool Checksums { get; set; }

    internal CableOptions Clone() => (CableOptions)MemberwiseClone();

    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(Name);
        ArgumentOutOfRangeException.ThrowIfLessThan(Mtu, 68);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Mtu, 65535);
        CheckTime(Delay, nameof(Delay));
        CheckTime(Jitter, nameof(Jitter));
        CheckProbability(Loss, nameof(Loss));
        CheckProbability(Reorder, nameof(Reorder));
        CheckProbability(Duplicate, nameof(Duplicate));
        CheckProbability(Corrupt, nameof(Corrupt));
        if (Rate is { } rate)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(rate, 1, nameof(Rate));
            ArgumentOutOfRangeException.ThrowIfGreaterThan(rate, MaximumRate, nameof(Rate));
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(QueueLimit, 1);
        if (QueueLimitBytes is { } bytes)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(bytes, 1, nameof(QueueLimitBytes));
        }

        if (Reorder > 0 && Delay == TimeSpan.Zero && Jitter == TimeSpan.Zero)
        {
            throw new ArgumentException("Reorder needs a Delay or a Jitter: a packet can only overtake packets that are on their way.", nameof(Reorder));
        }
    }

    private static void CheckTime(TimeSpan value, string name)
    {
        if (value < TimeSpan.Zero || value > TimeSpan.FromDays(1))
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} is between zero and one day.");
        }
    }

    private static void CheckProbability(double value, string name)
    {
        // Written so that NaN is refused too.
        if (!(value >= 0 && value <= 1))
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} is a probability between 0 and 1.");
        }
    }
}
