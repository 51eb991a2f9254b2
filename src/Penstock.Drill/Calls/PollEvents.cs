using Penstock.Ownership;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>What poll(2) reports of a descriptor, as Linux's tcp_poll does.</summary>
internal static class PollEvents
{
    public const long In = 1, Priority = 2, Out = 4, Error = 8, HangUp = 16, Invalid = 32, ReadNormal = 64, WriteNormal = 256, PeerHangUp = 8192;

    private static readonly (long Bit, string Name)[] Names =
    [
        (In, "POLLIN"), (Priority, "POLLPRI"), (Out, "POLLOUT"), (Error, "POLLERR"), (HangUp, "POLLHUP"), (Invalid, "POLLNVAL"),
        (ReadNormal, "POLLRDNORM"), (WriteNormal, "POLLWRNORM"), (PeerHangUp, "POLLRDHUP"),
    ];

    public static long Of(Descriptor descriptor)
    {
        if (descriptor.Listener is { } listener)
        {
            return listener.Pending > 0 ? In | ReadNormal : 0;
        }

        if (descriptor.Connection is not { } connection)
        {
            return Out | WriteNormal | HangUp;
        }

        SocketEvents events = connection.PollEvents;
        long result = 0;
        result |= (events & SocketEvents.Readable) != 0 ? In | ReadNormal : 0;
        result |= (events & SocketEvents.Writable) != 0 ? Out | WriteNormal : 0;
        result |= (events & SocketEvents.Urgent) != 0 ? Priority : 0;
        result |= (events & (SocketEvents.Error | SocketEvents.Released)) != 0 ? Error : 0;
        result |= (events & SocketEvents.HangUp) != 0 ? HangUp : 0;
        return result | (connection.ReceiveEnded ? PeerHangUp : 0);
    }

    /// <summary>The bits by name; epoll's have the same values.</summary>
    public static string Text(long events, string prefix = "POLL")
    {
        var names = new List<string>();
        foreach ((long bit, string name) in Names)
        {
            if ((events & bit) != 0)
            {
                names.Add(prefix + name[4..]);
            }
        }

        return names.Count == 0 ? "0" : string.Join('|', names);
    }
}
