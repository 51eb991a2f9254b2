using Penstock.Time;

namespace Penstock.Ownership;

/// <summary>A waiter that can take what was received from the owner's own hands.</summary>
internal interface IDirectReceiver
{
    /// <summary>Takes what is there. Only by the owner, on the socket's own <paramref name="worker"/>. False: nothing was taken, and the event is to be fired.</summary>
    bool TryDeliver(Worker worker);
}
