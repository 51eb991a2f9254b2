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
}

/// <summary>A connection in TIME-WAIT: just enough to answer old segments, and to recognize a new connection (RFC 9293 3.6.1, RFC 6191).</summary>
internal sealed class TimeWaitEntry(TimeWaitSeed seed, Worker worker) : FlowEntry
{
    private TimeWaitTimer? _timer;

    public readonly SequenceNumber SndNxt = seed.SndNxt;
    public readonly SequenceNumber RcvNxt = seed.RcvNxt;
    public readonly uint ReceiveWindow = seed.ReceiveWindow;
    public readonly byte ReceiveScale = seed.ReceiveScale;
    public readonly bool TimestampsOk = seed.TimestampsOk;
    public readonly uint TsOffset = seed.TsOffset;
    public readonly byte TimeToLive = seed.TimeToLive;
    public readonly byte Tos = seed.Tos;
    public readonly Worker Worker = worker;
    public uint TsRecent = seed.TsRecent;
    public long TsRecentNanos = worker.NowNanos;
    public long LastAnswerNanos;

    public TimerEntry Timer(TcpLayer tcp) => _timer ??= new TimeWaitTimer(this, tcp);

    private sealed class TimeWaitTimer(TimeWaitEntry entry, TcpLayer tcp) : TimerEntry
    {
        public override void OnTimer(long nowNanos) => tcp.EndTimeWait(entry);
    }
}

internal sealed partial class TcpLayer
{
    /// <summary>Linux: TCP_TIMEWAIT_LEN. RFC 9293 says two maximum segment lifetimes; everyone has agreed on a minute.</summary>
    private const long TimeWaitNanos = 60 * Nanos.PerSecond;

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
            worker.Arm(entry.Timer(this), worker.NowNanos + TimeWaitNanos);
            CheckDrained();
        }
    }

    internal void EndTimeWait(TimeWaitEntry entry)
    {
        if (Flows.Remove(entry))
        {
            Interlocked.Decrement(ref _timeWaits);
            entry.Worker.Timers.Cancel(entry.Timer(this));
        }
    }

    private void OnTimeWaitSegment(TimeWaitEntry entry, PacketBuffer packet, Worker worker)
    {
        long now = worker.NowNanos;
        TcpFlags flags = packet.TcpFlags;
        bool old = entry.TimestampsOk && packet.Options.HasTimestamps && (int)(entry.TsRecent - packet.Options.TsVal) > 0;

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
            worker.Timers.Cancel(entry.Timer(this));
            worker.Arm(entry.Timer(this), now + TimeWaitNanos);
        }

        if (!isReset && !isInWindow)
        {
            // Only what carries neither data nor FIN can be part of a loop of ACKs, and a SYN asks for more than that.
            bool isLimited = packet.EndSequence == packet.Sequence || (flags & TcpFlags.Syn) != 0;
            if (!isLimited || entry.LastAnswerNanos == 0 || now - entry.LastAnswerNanos >= Settings.InvalidRateLimitMilliseconds * Nanos.PerMillisecond)
            {
                entry.LastAnswerNanos = isLimited ? now : entry.LastAnswerNanos;
                SendTimeWaitAck(entry, now);
            }
        }

        packet.Free();
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
