namespace Penstock.Links;

/// <summary>What a link takes off the stack's hands.</summary>
[Flags]
internal enum LinkOffloads
{
    None = 0,

    /// <summary>Takes packets whose transport checksum is partial (only the pseudo-header is summed).</summary>
    Checksum = 1,

    /// <summary>Takes TCP super-segments over IPv4 and splits them itself, or passes them on whole.</summary>
    TcpSegmentation = 2,

    /// <summary>Takes payload in several fragments. Without it the data of a zero-copy send is copied.</summary>
    ScatterGather = 4,
}
