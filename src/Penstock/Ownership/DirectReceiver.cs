using Penstock.Time;

namespace Penstock.Ownership;

/// <summary>
/// Who waits to receive from a socket, one at a time: unlike other waiters it can take what has come from the owner's own hands. It is put in its place and taken out by the socket's owner, or under the
/// inner word while there is none, so that no gate is needed; who has taken it out wakes it, after the release.
/// </summary>
internal abstract class DirectReceiver : IWakeTarget
{
    internal SocketEvents Interest;

    IWakeTarget? IWakeTarget.NextWake { get; set; }

    bool IWakeTarget.WakeCollected { get; set; }

    /// <summary>Becomes a wait for data into <paramref name="buffer"/>, and keeps <paramref name="caller"/> alive until its result is taken. Under the inner word or by the owner; not in its place yet.</summary>
    public abstract void Begin(object caller, Memory<byte> buffer, TcpReceiveFlags flags, CancellationToken cancellation);

    /// <summary>Takes what is there. Only by the owner, on the socket's own <paramref name="worker"/>. False: nothing was taken, and the event is to be fired.</summary>
    public abstract bool TryDeliver(Worker worker);

    /// <summary>Goes on, unless it was canceled. Outside of every lock, after the socket was released.</summary>
    public abstract void FireWake();
}
