namespace Penstock.Bsd;

/// <summary>What poll(2) and epoll(7) report; the two have the same bits.</summary>
[Flags]
internal enum PollMask : uint
{
    None = 0,
    In = 0x1,
    Priority = 0x2,
    Out = 0x4,
    Error = 0x8,
    HangUp = 0x10,
    Invalid = 0x20,
    ReadNormal = 0x40,
    ReadBand = 0x80,
    WriteNormal = 0x100,
    WriteBand = 0x200,
    PeerHangUp = 0x2000,

    /// <summary>Reported whether asked for or not.</summary>
    Always = Error | HangUp,

    /// <summary>What Linux wakes with when data has come, room is there, or the state has changed.</summary>
    WakeReadable = In | Priority | ReadNormal | ReadBand,
    WakeWritable = Out | WriteNormal | WriteBand,
    Any = WakeReadable | WakeWritable | Error | HangUp | PeerHangUp,
}
