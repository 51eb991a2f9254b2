namespace Penstock.Ownership;

/// <summary>What a socket can be waited for. Sync calls, async calls and polls all subscribe to these.</summary>
[Flags]
internal enum SocketEvents
{
    None = 0,
    Readable = 1,
    Writable = 2,
    Error = 4,
    HangUp = 8,
    Urgent = 16,

    /// <summary>The connection finished, or the connect ended otherwise.</summary>
    Connected = 32,

    /// <summary>The write queue is empty and acknowledged, or the connection is gone.</summary>
    Drained = 64,

    /// <summary>Memory of a zero-copy send is the application's again; with notifications on, the error queue has news (Linux: POLLERR).</summary>
    Released = 128,

    Failed = Error | HangUp,
    All = Readable | Writable | Error | HangUp | Urgent | Connected | Drained | Released,
}
