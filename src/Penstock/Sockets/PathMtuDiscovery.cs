namespace Penstock;

/// <summary>What a socket does about packets that are too big for the path (Linux: IP_MTU_DISCOVER, the same numbers).</summary>
public enum PathMtuDiscovery
{
    /// <summary>Routers may cut packets in pieces: the don't-fragment bit is not set.</summary>
    Dont = 0,

    /// <summary>Finds the path's MTU (RFC 1191): the bit is set and routers' reports are believed. The default.</summary>
    Want = 1,

    /// <summary>As <see cref="Want"/>; for TCP there is no difference.</summary>
    Do = 2,

    /// <summary>The bit is not set; reports are believed.</summary>
    Probe = 3,

    /// <summary>The bit is not set and reports are not believed: packets are as large as the interface takes.</summary>
    Interface = 4,

    /// <summary>As <see cref="Interface"/>.</summary>
    Omit = 5,
}
