using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>What a connection leaves behind for TIME-WAIT.</summary>
internal readonly struct TimeWaitSeed
{
    public required FlowKey Key { get; init; }

    public required SequenceNumber SndNxt { get; init; }

    public required SequenceNumber RcvNxt { get; init; }

    public required uint ReceiveWindow { get; init; }

    public required byte ReceiveScale { get; init; }

    public required bool TimestampsOk { get; init; }

    public required uint TsRecent { get; init; }

    public required uint TsOffset { get; init; }

    public required byte TimeToLive { get; init; }

    public required byte Tos { get; init; }

    /// <summary>How long to wait in FIN-WAIT-2 for the peer's FIN; 0 when it has come.</summary>
    public long FinWait2Nanos { get; init; }
}

/// <summary>
/// A connection in TIME-WAIT: just enough to answer old segments, and to recognize a new connection (RFC 9293 3.6.1, RFC 6191). An orphan in FIN-WAIT-2 is one too, as in Linux: it waits for the peer's FIN and for nothing else.
/// </summary>
internal sealed class TimeWaitEntry(TimeWaitSeed seed, Worker worker) : FlowEntry
{
    private TimeWaitTimer? _timer;

    public readonly SequenceNumber SndNxt = seed.SndNxt;
    public SequenceNumber RcvNxt = seed.RcvNxt;
    public readonly uint ReceiveWindow = seed.ReceiveWindow;
    public readonly byte ReceiveScale = seed.ReceiveScale;
    public readonly bool TimestampsOk = seed.TimestampsOk;
    public readonly uint TsOffset = seed.TsOffset;
    public readonly byte TimeToLive = seed.TimeToLive;
    public readonly byte Tos = seed.Tos;
    public readonly Worker Worker = worker;
    public bool IsFinWait2 = seed.FinWait2Nanos > 0;
    public uint TsRecent = seed.TsRecent;
    public long TsRecentNanos = worker.NowNanos;
    public long LastAnswerNanos;

    public TcpConnectionState State => IsFinWait2 ? TcpConnectionState.FinWait2 : TcpConnectionState.TimeWait;

    public TimerEntry Timer(TcpLayer tcp) => _timer ??= new TimeWaitTimer(this, tcp);

    private sealed class TimeWaitTimer(TimeWaitEntry entry, TcpLayer tcp) : TimerEntry
    {
        public override void OnTimer(long nowNanos) => tcp.EndTimeWait(entry);
    }
}

internal sealed partial class TcpLayer
{
    /// <summary>Linux: TCP_TIMEWAIT_LEN. RFC 9293 says two maximum segment lifetimes; everyone has agreed on a minute.</summary>
    internal const long TimeWaitNanos = 60 * Nanos.PerSecond;

    /// <summary>Puts an entry in the connection's place, unless there are too many already: the connection is then forgotten at once.</summary>
    public void StartTimeWait(in TimeWaitSeed seed, TcpConnection connection, Worker worker)
    {
        _stack.Counters.Add(StackCounter.TimeWaited);
        if (TimeWaits >= Settings.MaxTimeWaitBuckets)
        {
            _stack.Counters.Add(StackCounter.TcpTimeWaitOverflow);
            Forget(connection);
            return;
        }

        var entry = new TimeWaitEntry(seed, worker) { Key = seed.Key };
        if (Flows.TryReplace(connection, entry))
        {
            Interlocked.Increment(ref _timeWaits);
            worker.Arm(entry.Timer(this), worker.NowNanos + (entry.IsFinWait2 ? seed.FinWait2Nanos : TimeWaitNanos));
            CheckDrained();
        }
    }

    internal void EndTimeWait(TimeWaitEntry entry)
    {
        if (Flows.Remove(entry))
        {
            Interlocked.Decrement(ref _timeWaits);
            entry.Worker.Timers.Cancel(entry.Timer(this));
            CheckDrained();
        }
    }

    /// <summary>TIME-WAIT begins anew. The timer is the entry's own worker's, whichever the segment came in by.</summary>
    private void Renew(TimeWaitEntry entry)
    {
        entry.Worker.Timers.Cancel(entry.Timer(this));
        entry.Worker.Arm(entry.Timer(this), entry.Worker.NowNanos + TimeWaitNanos);
    }

    /// <summary>A segment for a connection that has ended meanwhile: of the entry that it may have left, or of nobody. Takes the packet over.</summary>
    internal void OnSegmentBehind(in FlowKey key, PacketBuffer packet, Worker worker)
    {
        if (Flows.Find(key) is TimeWaitEntry entry)
        {
            OnTimeWaitSegment(entry, packet, worker);
            return;
        }

        ReplyToUnknown(packet, worker);
        packet.Free();
    }

    private void OnTimeWaitSegment(TimeWaitEntry entry, PacketBuffer packet, Worker worker)
    {
        long now = worker.NowNanos;
        TcpFlags flags = packet.TcpFlags;
        bool old = entry.TimestampsOk && packet.Options.HasTimestamps && entry.TsRecent != 0 && (int)(entry.TsRecent - packet.Options.TsVal) > 0;
        if (entry.IsFinWait2)
        {
            OnFinWait2Segment(entry, packet, old, worker);
            packet.Free();
            return;
        }

        // RFC 9293 3.6.1 (MAY-2) and RFC 6191: a SYN that is surely newer opens a new connection over the old one.
        if ((flags & (TcpFlags.Syn | TcpFlags.Rst | TcpFlags.Ack)) == TcpFlags.Syn && !old
            && (packet.Sequence.After(entry.RcvNxt)
                || (entry.TimestampsOk && packet.Options.HasTimestamps && (int)(entry.TsRecent - packet.Options.TsVal) < 0)))
        {
            if (Listeners.Find(entry.Key.Local, entry.Key.LocalPort, _stack.Ip.IsLocal(entry.Key.Local)) is { } listener)
            {
                _stack.Counters.Add(StackCounter.TimeWaitRecycled);
                EndTimeWait(entry);
                OnSyn(listener, entry.Key, packet, worker, recycledIss: entry.SndNxt + 65537);
                packet.Free();
                return;
            }
        }

        if (old)
        {
            _stack.Counters.Add(StackCounter.PawsEstab);
        }

        bool isReset = (flags & TcpFlags.Rst) != 0;
        bool isInWindow = !old && packet.Sequence == entry.RcvNxt && (isReset || packet.EndSequence == packet.Sequence);
        if (isInWindow && isReset && !Settings.Rfc1337)
        {
            // RFC 1337: a reset may be an old one; Linux lets it end the wait unless told otherwise.
            EndTimeWait(entry);
            packet.Free();
            return;
        }

        if (isInWindow && packet.Options.HasTimestamps)
        {
            entry.TsRecent = packet.Options.TsVal;
            entry.TsRecentNanos = now;
        }

        if (!isReset && (isInWindow || old || (flags & TcpFlags.Ack) != 0))
        {
            // The peer is still there, and may not have heard our last ACK: the wait begins anew (RFC 9293 3.10.7.4, eighth, for its FIN; Linux for any segment but a SYN, which may be of a new connection).
            Renew(entry);
        }

        if (!isReset && !isInWindow)
        {
            AnswerInTimeWait(entry, packet, now);
        }

        packet.Free();
    }

    /// <summary>The checks of FIN-WAIT-2 with nobody there (Linux: tcp_timewait_state_process): only the FIN that is next goes on to TIME-WAIT, all else that is new ends it.</summary>
    private void OnFinWait2Segment(TimeWaitEntry entry, PacketBuffer packet, bool old, Worker worker)
    {
        SequenceNumber next = entry.RcvNxt;
        TcpFlags flags = packet.TcpFlags;
        if (old || !IsInWindow(packet, next, next + (int)entry.ReceiveWindow))
        {
            AnswerInTimeWait(entry, packet, worker.NowNanos);
        }
        else if ((flags & TcpFlags.Rst) != 0)
        {
            EndTimeWait(entry);
        }
        else if ((flags & TcpFlags.Syn) != 0 && packet.Sequence.AtOrAfter(next))
        {
            ReplyToUnknown(packet, worker);
            EndTimeWait(entry);
        }
        else if ((flags & TcpFlags.Ack) == 0 || packet.EndSequence == packet.Sequence || packet.EndSequence.AtOrBefore(next))
        {
            // Nothing new.
        }
        else if ((flags & TcpFlags.Fin) == 0 || packet.EndSequence != next + 1)
        {
            ReplyToUnknown(packet, worker);
            EndTimeWait(entry);
        }
        else
        {
            entry.IsFinWait2 = false;
            entry.RcvNxt = packet.EndSequence;
            if (packet.Options.HasTimestamps)
            {
                entry.TsRecent = packet.Options.TsVal;
                entry.TsRecentNanos = worker.NowNanos;
            }

            Renew(entry);
            SendTimeWaitAck(entry, worker.NowNanos);
            CheckDrained();
        }
    }

    /// <summary>Only what carries neither data nor FIN can be part of a loop of ACKs, and a SYN asks for more than that: those are answered within a limit.</summary>
    private void AnswerInTimeWait(TimeWaitEntry entry, PacketBuffer packet, long now)
    {
        bool isLimited = packet.EndSequence == packet.Sequence || (packet.TcpFlags & TcpFlags.Syn) != 0;
        if (!isLimited || entry.LastAnswerNanos == 0 || now - entry.LastAnswerNanos >= Settings.InvalidRateLimitMilliseconds * Nanos.PerMillisecond)
        {
            entry.LastAnswerNanos = isLimited ? now : entry.LastAnswerNanos;
            SendTimeWaitAck(entry, now);
        }
    }

    private void SendTimeWaitAck(TimeWaitEntry entry, long now)
    {
        var options = default(TcpOptions);
        if (entry.TimestampsOk)
        {
            options.HasTimestamps = true;
            options.TsVal = (uint)(now / Nanos.PerMillisecond) + entry.TsOffset;
            options.TsEcr = entry.TsRecent;
        }

        SendBare(new BareSegment
        {
            Key = entry.Key,
            Flags = TcpFlags.Ack,
            Sequence = entry.SndNxt,
            Acknowledgment = entry.RcvNxt,
            Window = (ushort)(entry.ReceiveWindow >> entry.ReceiveScale),
            Options = options,
            TimeToLive = entry.TimeToLive,
            Tos = entry.Tos,
        });
    }
}
