using Penstock.Sockets;

namespace Penstock.Bsd;

/// <summary>One entry of a poll(2).</summary>
internal struct PollEntry(OpenFile? file, PollMask events)
{
    /// <summary>Null for a descriptor that is not open.</summary>
    public readonly OpenFile? File = file;

    public readonly PollMask Events = events;

    public PollMask Found;

    /// <summary>A negative descriptor: never ready.</summary>
    public bool IsIgnored;
}

/// <summary>poll(2).</summary>
internal static class Polling
{
    /// <summary>Waits until an entry is ready or the time is over; the number of ready entries. All files must have the same clock.</summary>
    public static int Poll(Pace pace, Span<PollEntry> entries, long milliseconds)
    {
        foreach (PollEntry entry in entries)
        {
            if (entry.File is { } file && !ReferenceEquals(file.Pace, pace))
            {
                return Result.Fail(Errno.EINVAL);
            }
        }

        int ready = Look(entries);
        if (ready > 0 || milliseconds == 0)
        {
            return ready;
        }

        long deadline = pace.After(milliseconds);
        var waiter = new CallWaiter();
        foreach (PollEntry entry in entries)
        {
            entry.File?.Watch(waiter);
        }

        try
        {
            while (true)
            {
                ready = Look(entries);
                if (ready > 0 || !pace.Wait(waiter, deadline))
                {
                    return ready > 0 ? ready : Look(entries);
                }

                waiter.Reset();
            }
        }
        finally
        {
            foreach (PollEntry entry in entries)
            {
                entry.File?.Unwatch(waiter);
            }
        }
    }

    private static int Look(Span<PollEntry> entries)
    {
        int ready = 0;
        foreach (ref PollEntry entry in entries)
        {
            entry.Found = entry.IsIgnored ? PollMask.None : entry.File is null ? PollMask.Invalid : entry.File.Poll() & (entry.Events | PollMask.Always);
            ready += entry.Found != PollMask.None ? 1 : 0;
        }

        return ready;
    }
}
