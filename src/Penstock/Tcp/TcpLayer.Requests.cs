using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Tcp.Congestion;
using Penstock.Telemetry;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>Connection requests: SYNs to listeners, the small entries between SYN and ACK, cookies when there are too many (RFC 9293 3.10.7.2, RFC 4987).</summary>
internal sealed partial class TcpLayer
{
    private void OnListenSegment(ListenSocket listener, in FlowKey key, PacketBuffer packet, Worker worker)
    {
        TcpFlags flags = packet.TcpFlags;
        if ((flags & TcpFlags.Rst) != 0)
        {
            packet.Free();
            return;
        }

        if ((flags & (TcpFlags.Syn | TcpFlags.Ack)) == TcpFlags.Syn && (flags & TcpFlags.Fin) == 0)
        {
            OnSyn(listener, key, packet, worker, recycledIss: null);
            packet.Free();
            return;
        }

        if ((flags & (TcpFlags.Syn | TcpFlags.Ack)) == TcpFlags.Ack && TryAcceptCookie(listener, key, packet, worker))
        {
            return;
        }

        if ((flags & TcpFlags.Ack) != 0)
        {
            ReplyToUnknown(packet, worker);
        }

        packet.Free();
    }

    private void OnSyn(ListenSocket listener, in FlowKey key, PacketBuffer packet, Worker worker, SequenceNumber? recycledIss)
    {
        Counters counters = _stack.Counters;
        if (packet.Ingress is StackInterface from && !_stack.Ip.MayBePeer(packet.Source, from.Link))
        {
            counters.Add(StackCounter.IpInAddressErrors);
            return;
        }

        if (listener.Held is { } held)
        {
            HoldSyn(listener, held, key, packet, worker, recycledIss);
            return;
        }

        if (listener.IsAcceptQueueFull)
        {
            counters.Add(StackCounter.ListenOverflows);
            counters.Add(StackCounter.ListenDrops);
            return;
        }

        long now = worker.NowNanos;
        bool full = listener.Requests > listener.Backlog;

        // A peer that comes back from TIME-WAIT is known to be there. Without cookies a quarter of the requests that there may be is kept free (Linux keeps it for peers it knows).
        bool cookie = recycledIss is null && (Settings.SynCookies == 2 || (full && Settings.SynCookies == 1));
        bool tight = Settings.SynCookies == 0 && recycledIss is null && Settings.MaxSynBacklog - listener.Requests < Settings.MaxSynBacklog >> 2;
        if ((full && !cookie && recycledIss is null) || tight)
        {
            counters.Add(StackCounter.TcpReqQFullDrop);
            counters.Add(StackCounter.ListenDrops);
            return;
        }

        if (_stack.Ip.Routes.Find(key.Remote) is not { } route)
        {
            counters.Add(StackCounter.ListenDrops);
            return;
        }

        SynReceivedEntry request = NewRequest(listener, key, packet, route, now);
        if (cookie)
        {
            counters.Add(StackCounter.TcpReqQFullDoCookies, full ? 1 : 0);
            counters.Add(StackCounter.SyncookiesSent);
            if (!listener.SentCookiesRecently(now))
            {
                // Once for a flood, not for each of its SYNs.
                PenstockEventSource.Log.OnSynCookies(listener);
            }

            listener.NoteCookies(now);
            request.Iss = Cookies.Make(key, packet.Sequence, request.PeerMss, now);
            request.IsCookie = true;
            SendSynAck(request, now);
            return;
        }

        request.Iss = recycledIss ?? InitialSequence(key, now);
        request.Worker = worker;
        if (!Flows.TryAdd(request, out _))
        {
            counters.Add(StackCounter.ListenDrops);
            return;
        }

        listener.AddRequest();
        SendFirstSynAck(request, worker, now);
    }

    private void SendFirstSynAck(SynReceivedEntry request, Worker worker, long now)
    {
        request.FirstSentNanos = now;
        SendSynAck(request, now);
        worker.Arm(request.Timer(this), now + SynAckTimeoutNanos(0));
    }

    private SynReceivedEntry NewRequest(ListenSocket listener, in FlowKey key, PacketBuffer packet, RouteEntry route, long now)
    {
        ref TcpOptions options = ref packet.Options;

        // RFC 9293 MUST-67: what can be received here, whatever the path towards the peer lets through (RFC 2923 2.3).
        int ownMss = route.Interface.Mtu - IPv4Header.MinLength - TcpHeader.MinLength;
        if (listener.MaximumSegment > 0)
        {
            ownMss = Math.Min(ownMss, listener.MaximumSegment);
        }

        bool scaling = options.HasWindowScale && Settings.WindowScaling;
        var request = new SynReceivedEntry
        {
            Key = key,
            Listener = listener,
            Irs = packet.Sequence,
            RcvNxt = packet.Sequence + 1,
            PeerMss = options.HasMss ? Math.Max(options.Mss, (ushort)Settings.MinSendMss) : 536,
            OwnMss = Math.Min(ownMss, ushort.MaxValue),
            WindowScalingOk = scaling,
            PeerWindowScale = scaling ? options.WindowScale : (byte)0,
            TimestampsOk = options.HasTimestamps && Settings.Timestamps,
            TsRecent = options.TsVal,
            SackOk = options.SackPermitted && Settings.Sack,
            Tos = Settings.ReflectTos ? (byte)(packet.Tos & ~ExplicitCongestion.Mask) : listener.TypeOfService,
            EcnOk = Settings.Ecn != 0 && ExplicitCongestion.IsAskedFor(packet.TcpFlags, packet.Tos),
            TimestampOffset = TimestampOffset(key),
        };
        request.ChooseWindow(Settings, listener.ReceiveBuffer);
        return request;
    }

    private void SendSynAck(SynReceivedEntry request, long now)
    {
        var options = default(TcpOptions);
        options.HasMss = true;
        options.Mss = (ushort)request.OwnMss;
        options.SackPermitted = request.SackOk;
        if (request.TimestampsOk)
        {
            options.HasTimestamps = true;
            options.TsVal = (uint)(now / Nanos.PerMillisecond) + request.TimestampOffset;
            options.TsEcr = request.TsRecent;
            if (request.IsCookie)
            {
                options.TsVal = SynCookies.EncodeOptions((uint)(now / Nanos.PerMillisecond), request) + request.TimestampOffset;
            }

            request.LastTsVal = options.TsVal;
            if (request.Retransmits == 0)
            {
                request.FirstTsVal = options.TsVal;
            }
        }

        // A cookie remembers nothing by itself: scale and SACK survive only in the timestamp (Linux does the same).
        bool remembered = !request.IsCookie || request.TimestampsOk;
        options.SackPermitted &= remembered;
        if (request.WindowScalingOk && remembered)
        {
            options.HasWindowScale = true;
            options.WindowScale = request.OwnWindowScale;
        }

        SendBare(new BareSegment
        {
            Key = request.Key,
            Flags = request.EcnOk && remembered ? TcpFlags.SynAck | TcpFlags.Ece : TcpFlags.SynAck,
            Sequence = request.Iss,
            Acknowledgment = request.RcvNxt,
            Window = (ushort)Math.Min(request.Window, 65535u),
            Options = options,
            TimeToLive = request.Listener.TimeToLive,
            Tos = request.Tos,
        });
    }

    private void SendSynAckAgain(SynReceivedEntry request, long now)
    {
        request.Retransmits++;
        _stack.Counters.Add(StackCounter.TcpSynRetrans);
        _stack.Counters.Add(StackCounter.TcpRetransSegs);
        SendSynAck(request, now);
    }

    /// <summary>A segment for a request that was answered: its ACK makes a connection (RFC 9293 3.10.7.4 in SYN-RECEIVED).</summary>
    private void OnRequestSegment(SynReceivedEntry request, PacketBuffer packet, Worker worker)
    {
        if (request.Held is { IsAnswered: false })
        {
            OnHeldSegment(request, packet, worker);
            return;
        }

        long now = worker.NowNanos;
        TcpFlags flags = packet.TcpFlags;
        bool timed = packet.Options.HasTimestamps && request.TimestampsOk;
        bool old = timed && (flags & TcpFlags.Rst) == 0 && request.TsRecent != 0 && (int)(request.TsRecent - packet.Options.TsVal) > 0;
        if ((flags & (TcpFlags.Syn | TcpFlags.Rst | TcpFlags.Ack)) == TcpFlags.Syn && packet.Sequence == request.Irs && !old)
        {
            // The SYN again: so goes the answer, and the next one waits its time from here (Linux).
            if (MayAnswer(request, now))
            {
                SendSynAckAgain(request, now);
                request.Worker!.Timers.Cancel(request.Timer(this));
                request.Worker.Arm(request.Timer(this), now + SynAckTimeoutNanos(request.Timeouts));
            }

            packet.Free();
            return;
        }

        if ((flags & (TcpFlags.Ack | TcpFlags.Rst)) == TcpFlags.Ack && packet.Acknowledgment != request.Iss + 1)
        {
            // Whatever else it is, it is none of this request's (Linux looks at this first). The request lives on.
            ReplyToUnknown(packet, worker);
            packet.Free();
            return;
        }

        bool echoesOther = timed && packet.Options.TsEcr != 0 && packet.Options.TsEcr - request.FirstTsVal > request.LastTsVal - request.FirstTsVal;
        if (old || echoesOther || !IsInWindow(packet, request.RcvNxt, request.RcvNxt + (int)request.Window))
        {
            _stack.Counters.Add(StackCounter.PawsEstab, old ? 1 : 0);
            if ((flags & TcpFlags.Rst) == 0)
            {
                ReplyWithRequestAck(request, packet, now);
            }

            packet.Free();
            return;
        }

        if ((flags & TcpFlags.Rst) != 0)
        {
            // RFC 5961 3.2 holds here too: only the exact number ends it.
            if (packet.Sequence == request.RcvNxt)
            {
                _stack.Counters.Add(StackCounter.TcpAttemptFails);
                DropRequest(request, SocketError.ConnectionReset);
            }
            else
            {
                ReplyWithRequestAck(request, packet, now);
            }

            packet.Free();
            return;
        }

        if ((flags & TcpFlags.Syn) != 0)
        {
            // RFC 9293 3.10.7.4, fourth: a passive open returns to LISTEN. Linux resets the peer too.
            _stack.Counters.Add(StackCounter.TcpAttemptFails);
            DropRequest(request, SocketError.ConnectionReset);
            ReplyToUnknown(packet, worker);
            packet.Free();
            return;
        }

        if ((flags & TcpFlags.Ack) == 0)
        {
            packet.Free();
            return;
        }

        if (packet.Options.HasTimestamps && packet.Sequence.AtOrBefore(request.RcvNxt))
        {
            request.TsRecent = packet.Options.TsVal;
        }

        if (DeferAccept.Ignores(request, packet.EndSequence != packet.Sequence))
        {
            request.IsAcknowledged = true;
            _stack.Counters.Add(StackCounter.TcpDeferAcceptDrop);
            packet.Free();
            return;
        }

        Promote(request, packet, worker);
    }

    /// <summary>RFC 9293 3.4, table 6. At least as strict as the connection's own test: what makes a connection must also establish it.</summary>
    private static bool IsInWindow(PacketBuffer packet, SequenceNumber start, SequenceNumber end) =>
        packet.Sequence == start
        || (packet.EndSequence.After(start) && packet.Sequence.Before(end))
        || (packet.Sequence == end && packet.EndSequence == end);

    /// <summary>Makes the connection in the request's place: owned from birth, then published, then fed the segment that made it. Takes the packet over.</summary>
    private void Promote(SynReceivedEntry request, PacketBuffer packet, Worker worker)
    {
        ListenSocket listener = request.Listener;
        if (listener.IsAcceptQueueFull)
        {
            _stack.Counters.Add(StackCounter.ListenOverflows);
            if (Settings.AbortOnOverflow)
            {
                DropRequest(request, SocketError.ConnectionAborted);
                ReplyToUnknown(packet, worker);
            }

            // Else the peer's retransmission, or our SYN-ACK's, comes when there may be room.
            packet.Free();
            return;
        }

        IAcceptor acceptor = request.Held is { } held ? held : listener;
        var child = new TcpConnection(_stack, worker, request.Key, listener.Group) { Listener = acceptor };
        bool owned = child.TryOwn();
        System.Diagnostics.Debug.Assert(owned);
        listener.Prepare(child);
        child.AcceptRequest(request, packet);
        bool published = request.IsCookie ? Flows.TryAdd(child, out _) : Flows.TryReplace(request, child);
        if (!published)
        {
            child.Drop();
            child.Release(worker);
            packet.Free();
            return;
        }

        request.CancelTimer();
        if (!request.IsCookie)
        {
            listener.RemoveRequest();
        }

        child.ReceiveOwned(packet);
        if (child.State == TcpConnectionState.SynReceived)
        {
            // The connection did not believe the segment that the request believed. Without a SYN-ACK to send again it would wait for ever.
            child.Drop();
        }

        child.Release(worker);
    }

    private bool TryAcceptCookie(ListenSocket listener, in FlowKey key, PacketBuffer packet, Worker worker)
    {
        long now = worker.NowNanos;
        if (Settings.SynCookies == 0 || (Settings.SynCookies == 1 && !listener.SentCookiesRecently(now)))
        {
            return false;
        }

        SequenceNumber irs = packet.Sequence - 1;
        SequenceNumber iss = packet.Acknowledgment - 1;
        int mss = Cookies.Check(key, irs, iss, now);
        if (mss == 0 || _stack.Ip.Routes.Find(key.Remote) is not { } route)
        {
            _stack.Counters.Add(StackCounter.SyncookiesFailed);
            return false;
        }

        _stack.Counters.Add(StackCounter.SyncookiesRecv);
        SynReceivedEntry request = NewRequest(listener, key, packet, route, now);
        request.IsCookie = true;
        request.Irs = irs;
        request.RcvNxt = irs + 1;
        request.Iss = iss;
        request.PeerMss = mss;
        request.WindowScalingOk = request.SackOk = request.EcnOk = false;
        request.PeerWindowScale = 0;
        if (request.TimestampsOk && packet.Options.TsEcr != 0)
        {
            SynCookies.DecodeOptions(packet.Options.TsEcr - request.TimestampOffset, request, Settings);
        }

        request.ChooseWindow(Settings, listener.ReceiveBuffer);
        Promote(request, packet, worker);
        return true;
    }

    private void ReplyWithRequestAck(SynReceivedEntry request, PacketBuffer packet, long now)
    {
        // Only what carries neither data nor FIN can be part of a loop of ACKs, and a SYN asks for more than that.
        bool isLimited = packet.EndSequence == packet.Sequence || (packet.TcpFlags & TcpFlags.Syn) != 0;
        if (isLimited && !MayAnswer(request, now))
        {
            return;
        }

        var options = default(TcpOptions);
        if (request.TimestampsOk)
        {
            options.HasTimestamps = true;
            options.TsVal = (uint)(now / Nanos.PerMillisecond) + request.TimestampOffset;
            options.TsEcr = request.TsRecent;
        }

        SendBare(new BareSegment
        {
            Key = request.Key,
            Flags = TcpFlags.Ack,
            Sequence = request.Iss + 1,
            Acknowledgment = request.RcvNxt,
            Window = (ushort)Math.Min(request.Window >> request.OwnWindowScale, 65535u),
            Options = options,
            TimeToLive = request.Listener.TimeToLive,
            Tos = request.Tos,
        });
    }

    private bool MayAnswer(SynReceivedEntry request, long now)
    {
        if (now - request.LastAnswerNanos < Settings.InvalidRateLimitMilliseconds * Nanos.PerMillisecond && request.LastAnswerNanos != 0)
        {
            _stack.Counters.Add(StackCounter.TcpAckSkipped);
            return false;
        }

        request.LastAnswerNanos = now;
        return true;
    }

    internal void OnRequestTimer(SynReceivedEntry request, long now)
    {
        if (!request.IsFiled)
        {
            return;
        }

        if (request.Held is { IsAnswered: false })
        {
            _stack.Counters.Add(StackCounter.ListenDrops);
            DropRequest(request, SocketError.TimedOut);
            return;
        }

        ListenSocket listener = request.Listener;
        int retries = listener.SynAckRetries > 0 ? listener.SynAckRetries : Settings.SynAckRetries;
        if ((request.Timeouts >= retries && !DeferAccept.KeepsWaiting(request)) || listener.IsClosed)
        {
            DropRequest(request, SocketError.TimedOut);
            return;
        }

        if (DeferAccept.Resends(request))
        {
            SendSynAckAgain(request, now);
        }

        request.Timeouts++;
        request.Worker!.Arm(request.Timer(this), now + SynAckTimeoutNanos(request.Timeouts));
    }

    /// <summary>How long a SYN-ACK that was repeated so many times may stay unanswered (RFC 6298 5.5).</summary>
    private long SynAckTimeoutNanos(int repeated) =>
        Math.Min(Nanos.PerSecond << Math.Min(repeated, 16), Settings.RtoMaxMilliseconds * Nanos.PerMillisecond);

    /// <summary>Forgets a request; false when it was gone already. An application that has decided on it, or still may, learns <paramref name="error"/>.</summary>
    private bool DropRequest(SynReceivedEntry request, SocketError error)
    {
        if (!Flows.Remove(request))
        {
            return false;
        }

        request.Listener.RemoveRequest();
        request.CancelTimer();
        request.Held?.Fail(error);
        return true;
    }
}
