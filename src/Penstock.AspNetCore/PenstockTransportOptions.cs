namespace Penstock.AspNetCore;

/// <summary>How Kestrel's connections over a <see cref="NetworkStack"/> behave. Read when an end point is bound; changes made later have no effect on it.</summary>
public sealed class PenstockTransportOptions
{
    /// <summary>Connections that may wait to be accepted, at most <c>net.core.somaxconn</c>. 512 by default.</summary>
    public int Backlog { get; set; } = 512;

    /// <summary>Sends small segments at once (TCP_NODELAY). True by default, as in Kestrel's other transports.</summary>
    public bool NoDelay { get; set; } = true;

    /// <summary>
    /// Bytes that are read ahead of the application; at this many reading pauses, at half of it it goes on. 1 MiB by default; null or 0 for no limit. What
    /// is not read stays in the socket and closes the TCP window.
    /// </summary>
    public long? MaxReadBufferSize { get; set; } = 1024 * 1024;

    /// <summary>
    /// Bytes that the application may write ahead of the socket's send buffer; at this many a flush waits, at half of it it goes on. 64 KiB by default; null or 0 for no limit.
    /// </summary>
    public long? MaxWriteBufferSize { get; set; } = 64 * 1024;

    /// <summary>Waits for data before memory is taken to read into, so that idle connections cost less. True by default.</summary>
    public bool WaitForDataBeforeAllocatingBuffer { get; set; } = true;

    /// <summary>
    /// Runs the application on the stack's worker thread, which saves thread hops. Code that blocks or takes long then holds up every connection of that worker.
    /// False by default.
    /// </summary>
    public bool UnsafePreferInlineScheduling { get; set; }

    /// <summary>
    /// True: only a <see cref="StackEndPoint"/> is bound on a stack; other end points are left to Kestrel's sockets, so that an admin port can stay on the kernel. False, the default: every
    /// IP end point is bound on the stack.
    /// </summary>
    public bool OnlyStackEndPoints { get; set; }

    /// <summary>Changes anything else about a listener before it begins, for example <see cref="TcpListenOptions.AnyDestination"/>. Null by default.</summary>
    public Action<TcpListenOptions>? ConfigureListener { get; set; }
}
