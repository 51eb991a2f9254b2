namespace Penstock.Buffers;

/// <summary>What the checksum of a packet still needs, or what a link vouches for.</summary>
internal enum ChecksumState : byte
{
    /// <summary>Nothing is known: verify on input; on output the packet is complete.</summary>
    None,

    /// <summary>Output: the transport checksum field holds the pseudo-header sum; the rest is to be added from <see cref="PacketBuffer.ChecksumStart"/>.</summary>
    Partial,

    /// <summary>Input: the link has verified it, or the bytes never left memory.</summary>
    Verified,
}

/// <summary>Per-segment state of the sender's scoreboard (Linux: <c>TCPCB_*</c>).</summary>
[Flags]
internal enum SegmentFlags : ushort
{
    None = 0,
    SackedAcked = 1,
    Lost = 2,
    RetransmittedOnce = 4,

    /// <summary>Retransmitted and that copy is still counted as in flight.</summary>
    SackedRetransmitted = 8,

    /// <summary>Nothing may be appended or merged behind this buffer (MSG_EOR).</summary>
    EndOfRecord = 16,

    /// <summary>The payload lives in the application's pages only and is not charged.</summary>
    PureZeroCopy = 32,

    /// <summary>The connection was limited by the application, not the network, when this was sent.</summary>
    ApplicationLimited = 64,

    /// <summary>A segment that was sent once (it has a sent time).</summary>
    EverSent = 128,

    /// <summary>Some of the payload lives in the application's pages, and a token (one for each buffer) says when they are free again.</summary>
    ZeroCopy = 256,

    /// <summary>Lost, and waits in its queue's list to be sent again (RetransmitQueue writes it).</summary>
    WaitsInLost = 512,

    /// <summary>RACK found this transmission lost, and has no second look at it should that be taken back.</summary>
    JudgedByRack = 1024,
}
