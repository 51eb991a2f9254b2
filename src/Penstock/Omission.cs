namespace Penstock;

/// <summary>
/// Rules that a test can take away from a stack, to prove that the tests which claim a rule notice when it is missing. Production code never sets one
/// (<see cref="NetworkStack.Omitted"/> is <see cref="None"/>, nothing reads the environment); <c>eng/prove-tests</c> takes them away one by one. Each name is the rule that is then missing.
/// </summary>
[Flags]
internal enum Omission : long
{
    None = 0,

    // --- The socket lock and its backlog.

    /// <summary>A packet that meets an owned socket waits.</summary>
    OwnedPacketWaits = 1L << 0,

    /// <summary>The backlog is worked off in the order of arrival.</summary>
    BacklogOrder = 1L << 1,

    /// <summary>A full backlog drops.</summary>
    BacklogLimit = 1L << 2,

    /// <summary>The limit test leaves the new packet's own size out.</summary>
    BacklogFirstFits = 1L << 3,

    /// <summary>The backlog's length is zeroed only when nothing more comes.</summary>
    BacklogLengthKept = 1L << 4,

    /// <summary>A release does what was deferred.</summary>
    ReleaseRunsDeferred = 1L << 5,

    /// <summary>A flush of nothing takes no lock.</summary>
    FlushWithoutLock = 1L << 6,

    /// <summary>A flush keeps the socket.</summary>
    FlushKeepsSocket = 1L << 7,

    /// <summary>Who waits for the socket gets it in the order of asking.</summary>
    WaitersInOrder = 1L << 8,

    /// <summary>One send at a time.</summary>
    SendTurn = 1L << 9,

    // --- The send loop.

    /// <summary>The send buffer's limit is looked at before the backlog.</summary>
    LimitBeforeFlush = 1L << 10,

    /// <summary>After a flush the loop reads everything again.</summary>
    RestartAfterFlush = 1L << 11,

    /// <summary>A path-MTU report that meets an owned socket is kept for the owner.</summary>
    PathMtuKept = 1L << 12,

    /// <summary>Other ICMP errors that meet an owned socket are dropped.</summary>
    IcmpDropped = 1L << 13,

    /// <summary>An error after some bytes gives their count.</summary>
    PartialCount = 1L << 14,

    /// <summary>Buffers are filled to a goal that depends on windows, flags and the knob.</summary>
    SizeGoal = 1L << 15,

    /// <summary>What is queued is pushed before the sender waits.</summary>
    PushBeforeWait = 1L << 16,

    /// <summary>A waiting sender is woken only when a third of the buffer is free.</summary>
    WakeThreshold = 1L << 17,

    /// <summary>No empty buffer stays behind a failed copy.</summary>
    EmptyTailRemoved = 1L << 18,

    /// <summary>Filled buffers go out while the next one is being filled.</summary>
    PushWhileFilling = 1L << 19,

    /// <summary>At least one new buffer between two flushes.</summary>
    ProgressBetweenFlushes = 1L << 20,

    /// <summary>The loop keeps no pointer into the queues across a flush.</summary>
    NoPointerAcrossFlush = 1L << 21,

    // --- The conditions of merging in the backlog.
    CoalesceSequence = 1L << 22,
    CoalesceCongestionBits = 1L << 23,
    CoalesceControlBits = 1L << 24,
    CoalesceBothAck = 1L << 25,
    CoalesceTypeOfService = 1L << 26,
    CoalesceOptions = 1L << 27,
    CoalesceFragments = 1L << 28,

    /// <summary>A merged packet keeps the newest acknowledgment and window.</summary>
    CoalesceNewest = 1L << 29,

    /// <summary>A merged packet counts for all of its segments.</summary>
    CoalesceSegments = 1L << 30,

    // --- Memory.

    /// <summary>What is inside a device is counted.</summary>
    DeviceCounted = 1L << 31,

    /// <summary>Whole free pages go back at once.</summary>
    PagesReturned = 1L << 32,

    /// <summary>A partial acknowledgment gives its bytes' charge back.</summary>
    TrimUncharges = 1L << 33,

    /// <summary>Above the high limit memory is refused.</summary>
    HighLimit = 1L << 34,

    /// <summary>Under pressure only small and modest sockets get more.</summary>
    FairShare = 1L << 35,

    /// <summary>Under pressure buffers do not grow.</summary>
    PressureStopsGrowth = 1L << 36,

    /// <summary>The first buffer is granted by force.</summary>
    FirstBufferForced = 1L << 37,

    /// <summary>A refused copy still gets the guaranteed minimum, trimmed to what was bought.</summary>
    PartialGrant = 1L << 38,

    /// <summary>A freed buffer gives back its real head size.</summary>
    RealHeadSize = 1L << 39,

    /// <summary>Copied data is charged by the byte.</summary>
    CopyChargedByByte = 1L << 40,

    /// <summary>A sender that memory was short for sleeps before it asks again.</summary>
    MemoryWaitSleeps = 1L << 41,

    /// <summary>A refused sender's buffer is shrunk.</summary>
    RefusalShrinksBuffer = 1L << 42,

    /// <summary>What a pipe reader holds stays charged until it gives it back.</summary>
    HeldStaysCharged = 1L << 50,

    /// <summary>Under pressure a small window is offered.</summary>
    PressureShrinksWindow = 1L << 51,

    /// <summary>When memory is short the receive queue is collapsed, data beyond a gap pruned, unused purchases given back, and orphans are reset above the high limit.</summary>
    PressureReclaims = 1L << 52,

    /// <summary>At its limit a group refuses.</summary>
    GroupLimit = 1L << 53,

    // --- The adaptive flush policy.

    /// <summary>While a flush runs in mid-buffer, the partial tail is not sent.</summary>
    TailWithheld = 1L << 43,

    /// <summary>A long send also looks at the backlog when its budget of time is used up.</summary>
    BudgetFlush = 1L << 44,

    /// <summary>Chunks shrink while the source is slow.</summary>
    ChunkShrinks = 1L << 45,

    /// <summary>A flush for the sake of time sends the ACK that is owed.</summary>
    OwedAckLeaves = 1L << 46,

    // --- Merging of queued buffers.

    /// <summary>Pure zero-copy buffers are merged only with their like.</summary>
    CollapseKeepsKinds = 1L << 47,

    /// <summary>When merging SACKed buffers fills a hole, the one behind it is asked for itself.</summary>
    ShiftTestsThirdNeighbor = 1L << 48,

    /// <summary>Application memory is never shifted between SACKed buffers.</summary>
    ShiftRefusesZeroCopy = 1L << 49,

    // --- Zero-copy sends.

    /// <summary>A send that continues a buffer joins the token of the send before.</summary>
    TokenExtended = 1L << 54,

    /// <summary>Notifications are limited by the socket's optional memory.</summary>
    OptionalMemoryLimit = 1L << 55,

    /// <summary>A send that queued nothing gives its id back.</summary>
    EmptyCallTakesIdBack = 1L << 56,

    /// <summary>Notifications of neighboring ids and equal codes become one.</summary>
    NotificationsMerge = 1L << 57,

    /// <summary>Data that was copied after all is reported so.</summary>
    CopiedReported = 1L << 58,

    /// <summary>A buffer carries one token.</summary>
    OneTokenPerBuffer = 1L << 59,

    /// <summary>Only an empty buffer becomes pure.</summary>
    PureOnlyWhenEmpty = 1L << 60,

    /// <summary>A pure buffer that is mixed is charged its true size, not its bytes.</summary>
    DowngradeByTrueSize = 1L << 61,

    /// <summary>Slabs that are attached make a pure buffer mixed, as copied bytes do.</summary>
    SpliceDowngrades = 1L << 62,

    /// <summary>Both halves of a pure buffer that is split are pure.</summary>
    SplitKeepsPure = 1L << 63,
}
