using Penstock.Bsd;

namespace Penstock.Drill;

/// <summary>The events of poll(2) and epoll(7) by name.</summary>
internal static class PollNames
{
    private static readonly (PollMask Bit, string Name)[] Names =
    [
        (PollMask.In, "IN"), (PollMask.Priority, "PRI"), (PollMask.Out, "OUT"), (PollMask.Error, "ERR"), (PollMask.HangUp, "HUP"), (PollMask.Invalid, "NVAL"),
        (PollMask.ReadNormal, "RDNORM"), (PollMask.WriteNormal, "WRNORM"), (PollMask.PeerHangUp, "RDHUP"),
    ];

    public static string Text(PollMask events, string prefix = "POLL")
    {
        var names = new List<string>();
        foreach ((PollMask bit, string name) in Names)
        {
            if ((events & bit) != 0)
            {
                names.Add(prefix + name);
            }
        }

        return names.Count == 0 ? "0" : string.Join('|', names);
    }
}
