using System.Globalization;
using Penstock.Sockets;
using Penstock.Time;

namespace Penstock.Drill;

/// <summary>poll and epoll.</summary>
internal sealed partial class SystemCalls
{
    private SystemCallAttempt Poll(Arguments arguments)
    {
        if (arguments[0] is not ArrayExpression array)
        {
            throw new DrillStop(DrillOutcome.Failed, arguments[0].At, "an array of pollfd is expected here, as in [{fd=4, events=POLLIN, revents=POLLIN}]");
        }

        long timeout = arguments.Long(2);
        CallOutcome? Look(bool force)
        {
            int ready = 0;
            string? mismatch = null;
            foreach (Expression item in array.Items)
            {
                var entry = (StructExpression)item;
                long events = Arguments.Long(entry.Get("events")!);
                long number = Arguments.Long(entry.Get("fd")!);
                long found = number < 0 ? 0
                    : _open.TryGetValue(number, out OpenFile? file) ? file.Poll() & (events | PollEvents.Error | PollEvents.HangUp)
                    : PollEvents.Invalid;
                ready += found != 0 ? 1 : 0;
                if (mismatch is null && entry.Get("revents") is { } wanted and not EllipsisExpression && Arguments.Long(wanted) != found)
                {
                    mismatch = $"revents of descriptor {number} should be {ScriptPrinter.Print(wanted)} but is {PollEvents.Text(found)}";
                }
            }

            return ready > 0 || force || timeout == 0 ? new CallOutcome(ready) { OutputMismatch = mismatch } : null;
        }

        return Waiting(Look, timeout);
    }

    private CallOutcome EpollControl(OpenFile file, Arguments arguments)
    {
        long number = arguments.Long(2);
        if (!_open.TryGetValue(number, out OpenFile? target))
        {
            return CallOutcome.Fail(Errno.EBADF);
        }

        if (file is not EpollInstance epoll || file == target)
        {
            return CallOutcome.Fail(Errno.EINVAL);
        }

        if (target is ZeroFile)
        {
            return CallOutcome.Fail(Errno.EPERM); // as regular files, which are always ready
        }

        (long events, long data) = arguments.IsEllipsis(3) || arguments.IsNull(3) ? (0, 0) : EpollEvent(arguments[3]);
        Errno error = epoll.Control(arguments.Long(1), number, target, events, data);
        return error == Errno.None ? new CallOutcome(0) : CallOutcome.Fail(error);
    }

    private static SystemCallAttempt EpollWait(OpenFile file, Arguments arguments)
    {
        if (file is not EpollInstance epoll)
        {
            return Done(CallOutcome.Fail(Errno.EINVAL));
        }

        int most = (int)arguments.Long(2);
        if (most <= 0)
        {
            return Done(CallOutcome.Fail(Errno.EINVAL));
        }

        long timeout = arguments.Long(3);
        return Waiting(
            force =>
            {
                List<(long Events, long Data)> found = epoll.Take(most);
                return found.Count > 0 || force || timeout == 0 ? new CallOutcome(found.Count) { OutputMismatch = EpollMismatch(arguments, found) } : null;
            },
            timeout);
    }

    private static string? EpollMismatch(Arguments arguments, List<(long Events, long Data)> found)
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

            (long events, long data) = EpollEvent(wanted[i]);
            if (events != found[i].Events)
            {
                return $"events should be {PollEvents.Text(events, "EPOLL")} but are {PollEvents.Text(found[i].Events, "EPOLL")}";
            }

            if (data != found[i].Data)
            {
                return string.Create(CultureInfo.InvariantCulture, $"the data of the event should be {data} but is {found[i].Data}");
            }
        }

        return null;
    }

    private static (long Events, long Data) EpollEvent(Expression expression)
    {
        if (expression is not StructExpression { Kind: StructKind.EpollEvent } given)
        {
            throw new DrillStop(DrillOutcome.Failed, expression.At, "an epoll_event is expected here, as in {events=EPOLLIN, fd=4}");
        }

        Expression? data = given.Get("fd") ?? given.Get("ptr") ?? given.Get("u32") ?? given.Get("u64");
        return (Arguments.Long(given.Get("events")!), data is null ? 0 : Arguments.Long(data));
    }

    /// <summary>A call with a timeout in milliseconds: 0 looks once, below 0 waits for ever.</summary>
    private static SystemCallAttempt Waiting(Func<bool, CallOutcome?> look, long milliseconds) => new(() => look(false))
    {
        TimeoutNanos = milliseconds < 0 ? null : milliseconds * Nanos.PerMillisecond,
        OnTimeout = () => look(true),
    };
}
