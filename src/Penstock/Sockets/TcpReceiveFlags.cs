namespace Penstock;

/// <summary>How a receive treats what has arrived (Linux: the MSG_ flags of recv(2)).</summary>
[Flags]
public enum TcpReceiveFlags
{
    /// <summary>An ordinary receive.</summary>
    None = 0,

    /// <summary>Leaves the data where it is (MSG_PEEK).</summary>
    Peek = 1,

    /// <summary>Takes the urgent byte (MSG_OOB).</summary>
    OutOfBand = 2,
}
