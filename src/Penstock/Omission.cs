using System.Runtime.CompilerServices;

namespace Penstock;

/// <summary>
/// Rules that a test can take away from a stack, to prove that the tests which claim a rule notice when it is missing. Production code never sets one
/// (<see cref="NetworkStack.Omitted"/> is <see cref="None"/>, nothing reads the environment); <c>eng/prove-tests</c> takes them away one by one. Each name is the rule that is then missing.
/// A set of up to 128 rules, as an enum of flags would be if there were one so wide: each rule is a constant to the compiler, so that to ask for one is a load and a test of one word.
/// </summary>
internal readonly struct Omission : IEquatable<Omission>
{
    private readonly ulong _low;
    private readonly ulong _high;

    private Omission(ulong low, ulong high) => (_low, _high) = (low, high);

    // --- The socket lock and its backlog.

    /// <summary>A packet that meets an owned socket waits.</summary>
    public static Omission OwnedPacketWaits => At(0);

    /// <summary>The backlog is worked off in the order of arrival.</summary>
    public static Omission BacklogOrder => At(1);

    /// <summary>A full backlog drops.</summary>
    public static Omission BacklogLimit => At(2);

    /// <summary>The limit test leaves the new packet's own size out.</summary>
    public static Omission BacklogFirstFits => At(3);

    /// <summary>The backlog's length is zeroed only when nothing more comes.</summary>
    public static Omission BacklogLengthKept => At(4);

    /// <summary>A release does what was deferred.</summary>
    public static Omission ReleaseRunsDeferred => At(5);

    /// <summary>A flush of nothing takes no lock.</summary>
    public static Omission FlushWithoutLock => At(6);

    /// <summary>A flush keeps the socket.</summary>
    public static Omission FlushKeepsSocket => At(7);

    /// <summary>Who waits for the socket gets it in the order of asking.</summary>
    public static Omission WaitersInOrder => At(8);

    /// <summary>One send at a time.</summary>
    public static Omission SendTurn => At(9);

    // --- The send loop.

    /// <summary>The send buffer's limit is looked at before the backlog.</summary>
    public static Omission LimitBeforeFlush => At(10);

    /// <summary>After a flush the loop reads everything again.</summary>
    public static Omission RestartAfterFlush => At(11);

    /// <summary>A path-MTU report that meets an owned socket is kept for the owner.</summary>
    public static Omission PathMtuKept => At(12);

    /// <summary>Other ICMP errors that meet an owned socket are dropped.</summary>
    public static Omission IcmpDropped => At(13);

    /// <summary>An error after some bytes gives their count.</summary>
    public static Omission PartialCount => At(14);

    /// <summary>Buffers are filled to a goal that depends on windows, flags and the knob.</summary>
    public static Omission SizeGoal => At(15);

    /// <summary>What is queued is pushed before the sender waits.</summary>
    public static Omission PushBeforeWait => At(16);

    /// <summary>A waiting sender is woken only when a third of the buffer is free.</summary>
    public static Omission WakeThreshold => At(17);

    /// <summary>No empty buffer stays behind a failed copy.</summary>
    public static Omission EmptyTailRemoved => At(18);

    /// <summary>Filled buffers go out while the next one is being filled.</summary>
    public static Omission PushWhileFilling => At(19);

    /// <summary>At least one new buffer between two flushes.</summary>
    public static Omission ProgressBetweenFlushes => At(20);

    /// <summary>The loop keeps no pointer into the queues across a flush.</summary>
    public static Omission NoPointerAcrossFlush => At(21);

    // --- The conditions of merging in the backlog.
    public static Omission CoalesceSequence => At(22);
    public static Omission CoalesceCongestionBits => At(23);
    public static Omission CoalesceControlBits => At(24);
    public static Omission CoalesceBothAck => At(25);
    public static Omission CoalesceTypeOfService => At(26);
    public static Omission CoalesceOptions => At(27);
    public static Omission CoalesceFragments => At(28);

    /// <summary>A merged packet keeps the newest acknowledgment and window.</summary>
    public static Omission CoalesceNewest => At(29);

    /// <summary>A merged packet counts for all of its segments.</summary>
    public static Omission CoalesceSegments => At(30);

    // --- Memory.

    /// <summary>What is inside a device is counted.</summary>
    public static Omission DeviceCounted => At(31);

    /// <summary>Whole free pages go back at once.</summary>
    public static Omission PagesReturned => At(32);

    /// <summary>A partial acknowledgment gives its bytes' charge back.</summary>
    public static Omission TrimUncharges => At(33);

    /// <summary>Above the high limit memory is refused.</summary>
    public static Omission HighLimit => At(34);

    /// <summary>Under pressure only small and modest sockets get more.</summary>
    public static Omission FairShare => At(35);

    /// <summary>Under pressure buffers do not grow.</summary>
    public static Omission PressureStopsGrowth => At(36);

    /// <summary>The first buffer is granted by force.</summary>
    public static Omission FirstBufferForced => At(37);

    /// <summary>A refused copy still gets the guaranteed minimum, trimmed to what was bought.</summary>
    public static Omission PartialGrant => At(38);

    /// <summary>A freed buffer gives back its real head size.</summary>
    public static Omission RealHeadSize => At(39);

    /// <summary>Copied data is charged by the byte.</summary>
    public static Omission CopyChargedByByte => At(40);

    /// <summary>A sender that memory was short for sleeps before it asks again.</summary>
    public static Omission MemoryWaitSleeps => At(41);

    /// <summary>A refused sender's buffer is shrunk.</summary>
    public static Omission RefusalShrinksBuffer => At(42);

    /// <summary>What a pipe reader holds stays charged until it gives it back.</summary>
    public static Omission HeldStaysCharged => At(50);

    /// <summary>Under pressure a small window is offered.</summary>
    public static Omission PressureShrinksWindow => At(51);

    /// <summary>When memory is short the receive queue is collapsed, data beyond a gap pruned, unused purchases given back, and orphans are reset above the high limit.</summary>
    public static Omission PressureReclaims => At(52);

    /// <summary>At its limit a group refuses.</summary>
    public static Omission GroupLimit => At(53);

    // --- The adaptive flush policy.

    /// <summary>While a flush runs in mid-buffer, the partial tail is not sent.</summary>
    public static Omission TailWithheld => At(43);

    /// <summary>A long send also looks at the backlog when its budget of time is used up.</summary>
    public static Omission BudgetFlush => At(44);

    /// <summary>Chunks shrink while the source is slow.</summary>
    public static Omission ChunkShrinks => At(45);

    /// <summary>A flush for the sake of time sends the ACK that is owed.</summary>
    public static Omission OwedAckLeaves => At(46);

    // --- Merging of queued buffers.

    /// <summary>Buffers of one kind of charge are merged only with their like, and application memory not at all with what goes again.</summary>
    public static Omission CollapseKeepsKinds => At(47);

    /// <summary>When merging SACKed buffers fills a hole, the one behind it is asked for itself.</summary>
    public static Omission ShiftTestsThirdNeighbor => At(48);

    /// <summary>Application memory is never shifted between SACKed buffers.</summary>
    public static Omission ShiftRefusesZeroCopy => At(49);

    // --- Zero-copy sends.

    /// <summary>A send that continues a buffer joins the token of the send before.</summary>
    public static Omission TokenExtended => At(54);

    /// <summary>Notifications are limited by the socket's optional memory.</summary>
    public static Omission OptionalMemoryLimit => At(55);

    /// <summary>A send that queued nothing gives its id back.</summary>
    public static Omission EmptyCallTakesIdBack => At(56);

    /// <summary>Notifications of neighboring ids and equal codes become one.</summary>
    public static Omission NotificationsMerge => At(57);

    /// <summary>Data that was copied after all is reported so.</summary>
    public static Omission CopiedReported => At(58);

    /// <summary>A buffer carries one token.</summary>
    public static Omission OneTokenPerBuffer => At(59);

    /// <summary>Only an empty buffer becomes pure.</summary>
    public static Omission PureOnlyWhenEmpty => At(60);

    /// <summary>A pure buffer that is mixed is charged its true size, not its bytes.</summary>
    public static Omission DowngradeByTrueSize => At(61);

    /// <summary>Slabs that are attached make a pure buffer mixed, as copied bytes do.</summary>
    public static Omission SpliceDowngrades => At(62);

    /// <summary>Both halves of a pure buffer that is split are pure.</summary>
    public static Omission SplitKeepsPure => At(63);

    // --- Loss recovery, congestion and the size of what is sent.

    /// <summary>A timeout whose ACKs show that nothing was lost is undone (RFC 5682).</summary>
    public static Omission SpuriousTimeoutUndone => At(64);

    /// <summary>An echoed congestion mark reduces the window (RFC 3168).</summary>
    public static Omission CongestionEchoReduces => At(65);

    /// <summary>Data leaves at the pacing rate.</summary>
    public static Omission PacingEnforced => At(66);

    /// <summary>Super-segments are as long as the pacing rate allows.</summary>
    public static Omission SegmentsAutosized => At(67);

    /// <summary>Larger segments are tried when a black hole was found (RFC 4821).</summary>
    public static Omission MtuProbeSent => At(68);

    // --- Receiving and listening.

    /// <summary>A short message goes into the waiting receive's memory in the step that received it.</summary>
    public static Omission DirectReceive => At(69);

    /// <summary>Requests that the application decides on are bounded.</summary>
    public static Omission HeldRequestLimit => At(70);

    /// <summary>No rule is missing.</summary>
    public static Omission None => default;

    /// <summary>The rules of both.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Omission operator |(Omission left, Omission right) => new(left._low | right._low, left._high | right._high);

    /// <summary>The rules that both have.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Omission operator &(Omission left, Omission right) => new(left._low & right._low, left._high & right._high);

    /// <summary>Whether the sets are the same.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool operator ==(Omission left, Omission right) => ((left._low ^ right._low) | (left._high ^ right._high)) == 0;

    /// <summary>Whether the sets differ.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool operator !=(Omission left, Omission right) => !(left == right);

    public bool Equals(Omission other) => this == other;

    public override bool Equals(object? obj) => obj is Omission other && this == other;

    public override int GetHashCode() => HashCode.Combine(_low, _high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Omission At(int place) => place < 64 ? new Omission(1UL << place, 0) : new Omission(0, 1UL << (place - 64));
}
