namespace Penstock;

/// <summary>What a peer sees whose connection request is refused.</summary>
public enum TcpRefusal
{
    /// <summary>A reset, as from a closed port: the peer's connect fails at once with "connection refused".</summary>
    Reset,

    /// <summary>
    /// Nothing, as if the SYN had been lost: the peer sends it again after a second, then after two, four and so on, and each time is a new request. Its connect succeeds when one of them is accepted, and times out otherwise.
    /// </summary>
    Silence,
}
