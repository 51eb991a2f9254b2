using System.Globalization;
using Penstock.Bsd;
using Penstock.Sockets;

namespace Penstock.Drill;

/// <summary>poll and epoll.</summary>
internal sealed partial class SystemCalls
{
    private CallOutcome Poll(Arguments arguments)
    {
        if (arguments[0] is not ArrayExpression array)
        {
            throw new DrillStop(DrillOutcome.Failed, arguments[0].At, "an array of pollfd is expected here, as in [{fd=4, events=POLLIN, revents=POLLIN}]");
        }

        var entries = new PollEntry[array.Items.Count];
        for (int i = 0; i < entries.Length; i++)
        {
            long number = Number(i, "fd");
            entries[i] = new PollEntry(number is >= 0 and <= int.MaxValue ? _files[(int)number] : null, (PollMask)Number(i, "events")) { IsIgnored = number < 0 };
        }

        int result = Polling.Poll(_pace, entries, arguments.Int(2));
        string? mismatch = null;
        for (int i = 0; i < entries.Length; i++)
        {
            if (mismatch is null && Entry(i).Get("revents") is { } wanted and not EllipsisExpression && Arguments.Long(wanted) != (long)entries[i].Found)
            {
                mismatch = $"revents of descriptor {Number(i, "fd")} should be {ScriptPrinter.Print(wanted)} but is {PollNames.Text(entries[i].Found)}";
            }
        }

        return new CallOutcome(result) { OutputMismatch = mismatch };

        StructExpression Entry(int i) => (StructExpression)array.Items[i];

        long Number(int i, string field) => Arguments.Long(Entry(i).Get(field)!);
    }

    private CallOutcome EpollControl(OpenFile file, Arguments arguments)
    {
        if (File(arguments, 2) is not { } target)
        {
            return Fail(Errno.EBADF);
        }

        if (file is not EpollFile epoll)
        {
            return Fail(Errno.EINVAL);
        }

        (uint events, ulong data) = arguments.IsEllipsis(3) || arguments.IsNull(3) ? default : EpollEvent(arguments[3]);
        return new CallOutcome(epoll.Control(arguments.Int(1), arguments.Int(2), target, events, data));
    }

    private static CallOutcome EpollWait(OpenFile file, Arguments arguments)
    {
        if (file is not EpollFile epoll)
        {
            return Fail(Errno.EINVAL);
        }

        var found = new List<(uint Events, ulong Data)>();
        int result = epoll.Wait(arguments.Int(2), arguments.Int(3), (_, events, data) => found.Add((events, data)));
        return new CallOutcome(result) { OutputMismatch = EpollMismatch(arguments, found) };
    }

    private static string? EpollMismatch(Arguments arguments, List<(uint Events, ulong Data)> found)
    {
        if (arguments.IsEllipsis(1))
        {
            return null;
        }

        NodeList<Expression> wanted = arguments[1] is ArrayExpression array ? array.Items : [arguments[1]];
        for (int i = 0; i < Math.Min(wanted.Count, found.Count); i++)
        {
            if (wanted[i] is EllipsisExpression)
            {
                continue;
            }

            (uint events, ulong data) = EpollEvent(wanted[i]);
            if (events != found[i].Events)
            {
                return $"events should be {PollNames.Text((PollMask)events, "EPOLL")} but are {PollNames.Text((PollMask)found[i].Events, "EPOLL")}";
            }

            if (data != found[i].Data)
            {
                return string.Create(CultureInfo.InvariantCulture, $"the data of the event should be {data} but is {found[i].Data}");
            }
        }

        return null;
    }

    private static (uint Events, ulong Data) EpollEvent(Expression expression)
    {
        if (expression is not StructExpression { Kind: StructKind.EpollEvent } given)
        {
            throw new DrillStop(DrillOutcome.Failed, expression.At, "an epoll_event is expected here, as in {events=EPOLLIN, fd=4}");
        }

        Expression? data = given.Get("fd") ?? given.Get("ptr") ?? given.Get("u32") ?? given.Get("u64");
        return ((uint)Arguments.Long(given.Get("events")!), data is null ? 0 : (ulong)Arguments.Long(data));
    }
}
