namespace Penstock.Tcp;

/// <summary>When a partial segment may go out (Linux: <c>TCP_NAGLE_*</c>).</summary>
[Flags]
internal enum NagleMode
{
    /// <summary>Nagle's rule: not while something small is unacknowledged (RFC 9293 3.7.4).</summary>
    Default = 0,

    /// <summary>TCP_NODELAY.</summary>
    Off = 1,

    /// <summary>TCP_CORK: partial segments wait for the cork to be pulled, or a timeout.</summary>
    Cork = 2,

    /// <summary>This once, send what is there; in a connection's own mode: until a new buffer is begun.</summary>
    Push = 4,
}
