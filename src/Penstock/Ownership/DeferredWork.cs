namespace Penstock.Ownership;

/// <summary>What found the socket owned and left a note; done at each flush and at release (Linux: the release callback).</summary>
[Flags]
internal enum DeferredWork
{
    None = 0,
    Timer = 1,
    DeviceSpace = 2,
    PathMtu = 4,
    AckNeeded = 8,
    Close = 16,

    /// <summary>A pipe reader gave received buffers back.</summary>
    Returned = 32,
}
