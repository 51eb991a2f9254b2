using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Telemetry;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Connection requests that the application decides on before anything is answered. Until then the peer is as one whose SYN is still on its way: nothing has been promised to it (RFC 9293 3.10.7.2 leaves
/// the moment of the answer open). Linux has no such state.
/// </summary>
internal sealed partial class TcpLayer
{
    /// <summary>A SYN to a listener whose application decides. Beyond the limit nothing is made or kept.</summary>
    private void HoldSyn(ListenSocket listener, RequestQueue queue, in FlowKey key, PacketBuffer packet, Worker worker, SequenceNumber? recycledIss)
    {
        Counters counters = _stack.Counters;

        // Counted first: two workers that look at once would both find room for one.
        if (listener.AddRequest() > queue.Limit && (_stack.Omitted & Omission.HeldRequestLimit) == Omission.None)
        {
            listener.RemoveRequest();
            counters.Add(StackCounter.TcpReqQFullDrop);
            counters.Add(StackCounter.ListenDrops);
            if (queue.Overflow == TcpRefusal.Reset)
            {
                ReplyToUnknown(packet, worker);
            }

            return;
        }

        if (_stack.Ip.Routes.Find(key.Remote) is not { } route)
        {
            listener.RemoveRequest();
            counters.Add(StackCounter.ListenDrops);
            return;
        }

        long now = worker.NowNanos;
        SynReceivedEntry request = NewRequest(listener, key, packet, route, now);
        request.Worker = worker;
        request.Held = new HeldRequest(request, queue, this) { RecycledIss = recycledIss };
        if (!Flows.TryAdd(request, out _))
        {
            listener.RemoveRequest();
            counters.Add(StackCounter.ListenDrops);
            return;
        }

        worker.Arm(request.Timer(this), now + LongestHoldNanos);
        if (!queue.TryOffer(request.Held))
        {
            DropRequest(request, SocketError.ConnectionAborted);
        }
    }

    /// <summary>As long as a SYN-ACK that nobody acknowledges would be repeated (net.ipv4.tcp_synack_retries), 63 s: so a request that the application forgets makes room again.</summary>
    private long LongestHoldNanos
    {
        get
        {
            long total = 0;
            for (int i = 0; i <= Settings.SynAckRetries; i++)
            {
                total += SynAckTimeoutNanos(i);
            }

            return total;
        }
    }

    /// <summary>A segment of a flow whose SYN has not been answered. Takes the packet over.</summary>
    private void OnHeldSegment(SynReceivedEntry request, PacketBuffer packet, Worker worker)
    {
        TcpFlags flags = packet.TcpFlags;
        if ((flags & TcpFlags.Rst) != 0)
        {
            // The peer gives up. RFC 5961 3.2: only the exact number ends it.
            if (packet.Sequence == request.RcvNxt)
            {
                _stack.Counters.Add(StackCounter.TcpAttemptFails);
                DropRequest(request, SocketError.ConnectionReset);
            }

            packet.Free();
        }
        else if ((flags & TcpFlags.Ack) != 0)
        {
            // It acknowledges what was never sent: as in LISTEN.
            ReplyToUnknown(packet, worker);
            packet.Free();
        }
        else if ((flags & TcpFlags.Syn) == 0)
        {
            packet.Free();
        }
        else if (packet.Sequence == request.Irs)
        {
            // The SYN again, as it must while we wait. Its timestamp is the one to echo, or the peer would take our waiting for a long path (RFC 7323 4.3).
            if (packet.Options.HasTimestamps && request.TimestampsOk)
            {
                request.TsRecent = packet.Options.TsVal;
            }

            packet.Free();
        }
        else
        {
            // Nothing was promised to the old SYN, and the peer does not mean it any more.
            DropRequest(request, SocketError.ConnectionReset);
            OnUnknown(request.Key, packet, worker);
        }
    }

    /// <summary>The application wants the connection: from here on the request is as any other. Any thread.</summary>
    internal void AnswerHeld(HeldRequest held)
    {
        SynReceivedEntry request = held.Entry;
        Worker worker = request.Worker!;
        long now = worker.NowNanos;
        request.Iss = held.RecycledIss ?? InitialSequence(request.Key, now);
        held.IsAnswered = true;
        SendFirstSynAck(request, worker, now);
    }

    /// <summary>The application does not want it, or nobody does any more. Any thread.</summary>
    internal void DropHeld(HeldRequest held, bool refused, bool reset)
    {
        SynReceivedEntry request = held.Entry;
        if (!DropRequest(request, SocketError.OperationAborted))
        {
            return;
        }

        if (refused)
        {
            _stack.Counters.Add(StackCounter.TcpRequestsRefused);
        }

        if (reset)
        {
            // As a closed port would (RFC 9293 3.10.7.1), and behind the SYN-ACK if there was one. Not limited in rate: the application asked for each of them.
            _stack.Counters.Add(StackCounter.TcpOutRsts);
            SendBare(new BareSegment
            {
                Key = request.Key,
                Flags = TcpFlags.RstAck,
                Sequence = held.IsAnswered ? request.Iss + 1 : default,
                Acknowledgment = request.RcvNxt,
            });
        }
    }
}
