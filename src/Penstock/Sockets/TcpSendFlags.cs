namespace Penstock;

/// <summary>How a send treats what it queues (Linux: the MSG_ flags of send(2)).</summary>
[Flags]
public enum TcpSendFlags
{
    /// <summary>An ordinary send.</summary>
    None = 0,

    /// <summary>More will follow soon: a partial segment waits for it (MSG_MORE).</summary>
    More = 1,

    /// <summary>The record ends here: nothing sent later shares a segment with it (MSG_EOR).</summary>
    EndOfRecord = 2,

    /// <summary>The last byte is urgent (MSG_OOB, RFC 9293 3.8.5). Discouraged by RFC 6093.</summary>
    OutOfBand = 4,
}
