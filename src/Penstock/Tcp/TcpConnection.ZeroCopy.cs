using Penstock.Buffers;
using Penstock.Links;
using Penstock.Ownership;
using Penstock.Tcp.ZeroCopy;

namespace Penstock.Tcp;

/// <summary>
/// Sending from the application's own memory: its pages are attached to the write queue. A buffer that holds nothing else is <i>pure</i>: its payload counts against the send buffer but is not
/// charged, because it lies in memory that is not the stack's (R2.16, R2.17). Before copied data joins it, it is charged after all (R2.18).
/// </summary>
internal sealed partial class TcpConnection
{
    private const int PageSize = Fragment.PageSize;

    private ZeroCopySends? _zeroCopy;

    /// <summary>Made on first use, by any thread.</summary>
    internal ZeroCopySends ZeroCopy =>
        Volatile.Read(ref _zeroCopy) ?? Interlocked.CompareExchange(ref _zeroCopy, new ZeroCopySends(this), null) ?? _zeroCopy!;

    /// <summary>Null before the first zero-copy send.</summary>
    internal ZeroCopySends? ZeroCopyOrNull => Volatile.Read(ref _zeroCopy);

    /// <summary>Memory was given back. At top level, owning nothing.</summary>
    internal void OnReleased() => FireAtTopLevel(SocketEvents.Released);

    /// <summary>Gives a call its id when it first runs; false when its limits are reached.</summary>
    private bool TryOpen(ZeroCopyCall call)
    {
        if (call.IsOpen || call.Length == 0)
        {
            // R2.9: nothing to send has no effect, and needs no id.
            return true;
        }

        RefreshRoute();
        ZeroCopyToken? tail = _writeQueue.Last is { } last ? TokenOf(last) : null;
        if (!ZeroCopy.TryOpen(call, tail))
        {
            _stack.Counters.Add(StackCounter.TcpZeroCopyRefused);
            return false;
        }

        _stack.Counters.Add(StackCounter.TcpZeroCopySends);
        if (_egress is null || (_egress.Link.Offloads & LinkOffloads.ScatterGather) == 0)
        {
            call.Copies = true;
            call.Token!.NoteCopied();
        }

        return true;
    }

    /// <summary>R2.14: a buffer carries one token.</summary>
    private bool MayCarry(PacketBuffer tail, ZeroCopyCall call) =>
        call.Copies || TokenOf(tail) is not { } token || token == call.Token || (Omitted & Omission.OneTokenPerBuffer) != Omission.None;

    private static ZeroCopyToken? TokenOf(PacketBuffer buffer)
    {
        if ((buffer.Segment & SegmentFlags.ZeroCopy) != 0)
        {
            for (int i = buffer.FragmentCount - 1; i >= 0; i--)
            {
                if (buffer.FragmentAt(i).Owner is ZeroCopyToken token)
                {
                    return token;
                }
            }
        }

        return null;
    }

    /// <summary>Attaches a run of the application's memory. It costs the pages that it touches (R2.8), charged or, in a pure buffer, only queued. Returns 0 when there is no memory.</summary>
    private unsafe int ReferChunk(ZeroCopyCall call, PacketBuffer tail, int goal)
    {
        int count = Math.Min(call.Peek(out byte* address), goal - tail.Length);
        bool pure = ((tail.Length == 0 || (Omitted & Omission.PureOnlyWhenEmpty) != Omission.None) && _tcp.Settings.PureZeroCopy) || (tail.Segment & SegmentFlags.PureZeroCopy) != 0;
        if (!pure)
        {
            count = GrantPages(tail, address, count);
            if (count == 0)
            {
                return 0;
            }
        }

        int headBefore = tail.HeadTrueSize;
        ZeroCopyToken token = call.Token!;
        if (!tail.TryExtend(token, address, count))
        {
            token.AddReference();
            tail.Append(token, address, count);
        }

        int span = Fragment.PageSpanOf(address, count);
        int head = tail.HeadTrueSize - headBefore;
        tail.TrueSize += span;
        if (_tcp.Settings.ScheduleSpans)
        {
            Memory.ForceSchedule(pure ? head : head + span);
        }

        Memory.ChargeSend(pure ? head : head + span);
        if (pure)
        {
            Memory.QueueUncharged(span);
        }

        tail.Segment |= pure ? SegmentFlags.ZeroCopy | SegmentFlags.PureZeroCopy : SegmentFlags.ZeroCopy;
        tail.EndSequence += count;
        _writeSeq += count;
        call.Take(count);
        return count;
    }

    /// <summary>How many of the bytes may be charged now. What is asked for is the span of their pages, as that is what is charged: Linux asks for the bytes, and its balance dips below zero (R2.26). The only
    /// buffer gets a page by force: the minimum that is guaranteed (R2.6) is no whole page, and would be none for ever.</summary>
    private unsafe int GrantPages(PacketBuffer tail, byte* address, int count)
    {
        int span = _tcp.Settings.ScheduleSpans ? Fragment.PageSpanOf(address, count) : count;
        int granted = GrantCopy(span);
        if (granted == span)
        {
            return count;
        }

        bool only = tail.Length == 0 && tail == _writeQueue.First && _retransmitQueue.First is null;
        int offset = (int)((nint)address & (PageSize - 1));
        return Math.Clamp((Math.Max(granted, only ? PageSize : 0) & ~(PageSize - 1)) - offset, 0, count);
    }

    /// <summary>
    /// R2.18: a pure buffer is about to get data of the stack's own, so all of its payload is charged first, by true size. False when there is no memory for that; the buffer stays pure.
    /// </summary>
    private bool TryDowngrade(PacketBuffer tail)
    {
        if ((tail.Segment & SegmentFlags.PureZeroCopy) == 0)
        {
            return true;
        }

        int extra = (Omitted & Omission.DowngradeByTrueSize) != Omission.None ? tail.Length : tail.TrueSize - tail.HeadTrueSize;
        if (!Memory.ScheduleSend(extra))
        {
            return false;
        }

        Memory.ChargeQueued(extra);
        tail.Segment &= ~SegmentFlags.PureZeroCopy;
        _stack.Counters.Add(StackCounter.TcpZeroCopyDowngrades);
        return true;
    }

    /// <summary>What a queued buffer says of its payload is true: whose memory it is, of one token at most unless it was merged when it was sent again (R2.14), and no cheaper than its bytes. Null when all is well.</summary>
    private static string? VerifyPayload(PacketBuffer buffer, bool mayBeMerged)
    {
        ZeroCopyToken? token = null;
        bool ours = false;
        for (int i = 0; i < buffer.FragmentCount; i++)
        {
            PayloadOwner owner = buffer.FragmentAt(i).Owner;
            ours |= owner is Slab;
            if (owner is not ZeroCopyToken other)
            {
                continue;
            }

            if (token is not null && token != other && !mayBeMerged)
            {
                return $"the buffer at {buffer.Sequence} carries two tokens";
            }

            token = other;
        }

        SegmentFlags said = buffer.Segment & (SegmentFlags.ZeroCopy | SegmentFlags.PureZeroCopy);
        bool right = said switch
        {
            SegmentFlags.None => token is null,
            SegmentFlags.ZeroCopy => true,
            _ => said == (SegmentFlags.ZeroCopy | SegmentFlags.PureZeroCopy) && !ours,
        };
        return right && buffer.TrueSize >= buffer.HeadTrueSize + buffer.Length
            ? null
            : $"the buffer at {buffer.Sequence} is {buffer.Segment} with{(token is null ? "out" : "")} a token, {(ours ? "" : "no ")}payload of the stack's own, "
                + $"{buffer.Length} bytes, head {buffer.HeadTrueSize}, true size {buffer.TrueSize}";
    }
}
