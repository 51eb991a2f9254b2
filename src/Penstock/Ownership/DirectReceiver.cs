using Penstock.Time;

namespace Penstock.Ownership;

/// <summary>
/// Who waits to receive from a socket, one at a time: unlike other waiters it can take what has come from the owner's own hands. The socket's owner puts it in its place and takes it out, so that no gate is
/// needed; who has taken it out wakes it, after the release.
/// </summary>
internal abstract class DirectReceiver : IWakeTarget
{
    internal SocketEvents Interest;

    IWakeTarget? IWakeTarget.NextWake { get; set; }

    bool IWakeTarget.WakeCollected { get; set; }

    /// <summary>Becomes a wait for data into <paramref name="buffer"/>. Under the inner word or by the owner; not in its place yet.</summary>
    public abstract void Begin(Memory<byte> buffer, TcpReceiveFlags flags, CancellationToken cancellation);

    /// <summary>Takes what is there. Only by the owner, on the socket's own <paramref name="worker"/>. False: nothing was taken, and the event is to be fired.</summary>
    public abstract bool TryDeliver(Worker worker);

    /// <summary>Goes on, unless it was canceled. Outside of every lock, after the socket was released.</summary>
    public abstract void FireWake();
}
