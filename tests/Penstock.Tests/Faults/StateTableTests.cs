using System.Net;
using System.Net.Sockets;
using Penstock.Fuzz;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>
/// What each state answers to RST, SYN, FIN, SYN+FIN and no flags, with acceptable and unacceptable numbers (RFC 9293 3.10.7, RFC 5961). Each row has a connection of its own.
/// </summary>
public class StateTableTests
{
    public enum Answer
    {
        Nothing,

        /// <summary>An ACK with the numbers as they stand.</summary>
        Ack,

        /// <summary>A reset whose number is the segment's acknowledgment.</summary>
        ResetAtAck,

        /// <summary>A reset with number 0 that acknowledges the whole segment.</summary>
        ResetWithAck,
        SynAck,
    }

    public enum Where
    {
        /// <summary>At exactly the next number.</summary>
        Exact,

        /// <summary>In the window, not at its beginning.</summary>
        Inside,

        /// <summary>Behind the window.</summary>
        Beyond,

        /// <summary>Before the window.</summary>
        Old,
    }

    public sealed record Row(TcpConnectionState State, string Flags, Where Where, Answer Answer, TcpConnectionState? After, int AckOffset = 0)
    {
        public override string ToString() => $"{State} {Flags} {Where} ack{AckOffset:+0;-0;+0}";
    }

    private static readonly TcpConnectionState[] s_synchronized =
    [
        TcpConnectionState.Established, TcpConnectionState.FinWait1, TcpConnectionState.FinWait2, TcpConnectionState.CloseWait,
        TcpConnectionState.Closing, TcpConnectionState.LastAck,
    ];

    public static IEnumerable<TheoryDataRow<Row>> Rows()
    {
        foreach (Row row in All())
        {
            yield return new TheoryDataRow<Row>(row) { TestDisplayName = row.ToString() };
        }
    }

    private static IEnumerable<Row> All()
    {
        // No connection (RFC 9293 3.10.7.1).
        yield return new(TcpConnectionState.Closed, "R", Where.Exact, Answer.Nothing, null);
        yield return new(TcpConnectionState.Closed, "RA", Where.Exact, Answer.Nothing, null);
        yield return new(TcpConnectionState.Closed, "S", Where.Exact, Answer.ResetWithAck, null);
        yield return new(TcpConnectionState.Closed, "SF", Where.Exact, Answer.ResetWithAck, null);
        yield return new(TcpConnectionState.Closed, "F", Where.Exact, Answer.ResetWithAck, null);
        yield return new(TcpConnectionState.Closed, "", Where.Exact, Answer.ResetWithAck, null);
        yield return new(TcpConnectionState.Closed, "A", Where.Exact, Answer.ResetAtAck, null);
        yield return new(TcpConnectionState.Closed, "FA", Where.Exact, Answer.ResetAtAck, null);

        // LISTEN (3.10.7.2): Linux drops SYN+FIN.
        yield return new(TcpConnectionState.Listen, "R", Where.Exact, Answer.Nothing, null);
        yield return new(TcpConnectionState.Listen, "A", Where.Exact, Answer.ResetAtAck, null);
        yield return new(TcpConnectionState.Listen, "SA", Where.Exact, Answer.ResetAtAck, null);
        yield return new(TcpConnectionState.Listen, "S", Where.Exact, Answer.SynAck, TcpConnectionState.SynReceived);
        yield return new(TcpConnectionState.Listen, "SF", Where.Exact, Answer.Nothing, null);
        yield return new(TcpConnectionState.Listen, "F", Where.Exact, Answer.Nothing, null);
        yield return new(TcpConnectionState.Listen, "", Where.Exact, Answer.Nothing, null);

        // SYN-SENT (3.10.7.3).
        yield return new(TcpConnectionState.SynSent, "R", Where.Exact, Answer.Nothing, TcpConnectionState.SynSent);
        yield return new(TcpConnectionState.SynSent, "RA", Where.Exact, Answer.Nothing, null);
        yield return new(TcpConnectionState.SynSent, "RA", Where.Exact, Answer.Nothing, TcpConnectionState.SynSent, AckOffset: 1);
        yield return new(TcpConnectionState.SynSent, "RA", Where.Exact, Answer.Nothing, TcpConnectionState.SynSent, AckOffset: -1);
        yield return new(TcpConnectionState.SynSent, "A", Where.Exact, Answer.Nothing, TcpConnectionState.SynSent);
        yield return new(TcpConnectionState.SynSent, "A", Where.Exact, Answer.ResetAtAck, TcpConnectionState.SynSent, AckOffset: 1);
        yield return new(TcpConnectionState.SynSent, "SA", Where.Exact, Answer.ResetAtAck, TcpConnectionState.SynSent, AckOffset: -1);
        yield return new(TcpConnectionState.SynSent, "FA", Where.Exact, Answer.Nothing, TcpConnectionState.SynSent);
        yield return new(TcpConnectionState.SynSent, "F", Where.Exact, Answer.Nothing, TcpConnectionState.SynSent);
        yield return new(TcpConnectionState.SynSent, "", Where.Exact, Answer.Nothing, TcpConnectionState.SynSent);
        yield return new(TcpConnectionState.SynSent, "S", Where.Exact, Answer.SynAck, TcpConnectionState.SynReceived);

        // SYN-RECEIVED of a listener (3.10.7.4, RFC 5961).
        yield return new(TcpConnectionState.SynReceived, "R", Where.Exact, Answer.Nothing, null);
        yield return new(TcpConnectionState.SynReceived, "R", Where.Inside, Answer.Ack, TcpConnectionState.SynReceived);
        yield return new(TcpConnectionState.SynReceived, "R", Where.Beyond, Answer.Nothing, TcpConnectionState.SynReceived);
        yield return new(TcpConnectionState.SynReceived, "S", Where.Inside, Answer.ResetWithAck, null);
        yield return new(TcpConnectionState.SynReceived, "SA", Where.Beyond, Answer.Ack, TcpConnectionState.SynReceived);
        yield return new(TcpConnectionState.SynReceived, "", Where.Exact, Answer.Nothing, TcpConnectionState.SynReceived);
        yield return new(TcpConnectionState.SynReceived, "F", Where.Exact, Answer.Nothing, TcpConnectionState.SynReceived);
        yield return new(TcpConnectionState.SynReceived, "A", Where.Beyond, Answer.Ack, TcpConnectionState.SynReceived);
        yield return new(TcpConnectionState.SynReceived, "A", Where.Exact, Answer.ResetAtAck, TcpConnectionState.SynReceived, AckOffset: 1);
        yield return new(TcpConnectionState.SynReceived, "A", Where.Exact, Answer.ResetAtAck, TcpConnectionState.SynReceived, AckOffset: -1);

        foreach (TcpConnectionState state in s_synchronized)
        {
            foreach (string reset in (string[])["R", "RA", "RSF"])
            {
                yield return new(state, reset, Where.Exact, Answer.Nothing, null);
                yield return new(state, reset, Where.Inside, Answer.Ack, state);
                yield return new(state, reset, Where.Beyond, Answer.Nothing, state);
                yield return new(state, reset, Where.Old, Answer.Nothing, state);
            }

            foreach (string syn in (string[])["S", "SA", "SF", "SFA"])
            {
                foreach (Where where in (Where[])[Where.Exact, Where.Inside, Where.Beyond, Where.Old])
                {
                    yield return new(state, syn, where, Answer.Ack, state);
                }
            }

            foreach (string bare in (string[])["", "F", "P"])
            {
                foreach (Where where in (Where[])[Where.Exact, Where.Beyond, Where.Old])
                {
                    // Not even an ACK for what lies outside of the window (Linux).
                    yield return new(state, bare, where, Answer.Nothing, state);
                }
            }

            yield return new(state, "A", Where.Beyond, Answer.Ack, state);
            yield return new(state, "A", Where.Old, Answer.Ack, state);
            yield return new(state, "FA", Where.Beyond, Answer.Ack, state);
            yield return new(state, "A", Where.Exact, Answer.Ack, state, AckOffset: 1000);
            yield return new(state, "A", Where.Exact, Answer.Ack, state, AckOffset: -2_000_000);
        }

        // TIME-WAIT (3.10.7.4; a reset ends it unless tcp_rfc1337 is set).
        yield return new(TcpConnectionState.TimeWait, "R", Where.Exact, Answer.Nothing, null);
        yield return new(TcpConnectionState.TimeWait, "R", Where.Beyond, Answer.Nothing, TcpConnectionState.TimeWait);
        yield return new(TcpConnectionState.TimeWait, "S", Where.Old, Answer.Ack, TcpConnectionState.TimeWait);
        yield return new(TcpConnectionState.TimeWait, "FA", Where.Old, Answer.Ack, TcpConnectionState.TimeWait);
        yield return new(TcpConnectionState.TimeWait, "A", Where.Exact, Answer.Nothing, TcpConnectionState.TimeWait);
        yield return new(TcpConnectionState.TimeWait, "", Where.Exact, Answer.Nothing, TcpConnectionState.TimeWait);
        yield return new(TcpConnectionState.TimeWait, "", Where.Old, Answer.Ack, TcpConnectionState.TimeWait);
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void Each_state_answers_as_the_standard_says(Row row)
    {
        var peer = new RawPeer();
        IDisposable? kept = Enter(peer, row.State);
        peer.Take();
        RawSegment segment = peer.Segment(Parse(row.Flags));
        segment.Sequence += row.Where switch
        {
            Where.Exact => 0,
            Where.Inside => 100,
            Where.Beyond => 10_000_000,
            _ => unchecked((uint)-10_000),
        };
        segment.Acknowledgment = (segment.Flags & TcpFlags.Ack) != 0 ? peer.HostNext + (uint)row.AckOffset : 0;
        if (row.State == TcpConnectionState.Closed || (row.State == TcpConnectionState.Listen && segment.Acknowledgment != 0))
        {
            segment.Acknowledgment = (segment.Flags & TcpFlags.Ack) != 0 ? 4711u : 0;
        }

        uint hostNext = peer.HostNext;
        peer.Inject(segment);
        RawPeer.Seen[] seen = peer.Take();
        switch (row.Answer)
        {
            case Answer.Nothing:
                Assert.Empty(seen);
                break;
            case Answer.Ack:
                RawPeer.Seen ack = Assert.Single(seen);
                Assert.Equal((TcpFlags.Ack, hostNext, peer.Next), (ack.Header.Flags, ack.Header.Sequence.Value, ack.Header.Acknowledgment.Value));
                break;
            case Answer.ResetAtAck:
                RawPeer.Seen reset = Assert.Single(seen);
                Assert.Equal((TcpFlags.Rst, segment.Acknowledgment), (reset.Header.Flags, reset.Header.Sequence.Value));
                break;
            case Answer.ResetWithAck:
                RawPeer.Seen refusal = Assert.Single(seen);
                Assert.Equal(
                    (TcpFlags.RstAck, 0u, segment.Sequence + segment.Span),
                    (refusal.Header.Flags, refusal.Header.Sequence.Value, refusal.Header.Acknowledgment.Value));
                break;
            default:
                Assert.Equal(TcpFlags.SynAck, Assert.Single(seen).Header.Flags);
                break;
        }

        Assert.Equal(row.After, peer.StateOfFlow());
        kept?.Dispose();
        peer.End();
    }

    private static TcpFlags Parse(string flags) => flags.Aggregate(TcpFlags.None, (sum, c) => sum | c switch
    {
        'S' => TcpFlags.Syn,
        'F' => TcpFlags.Fin,
        'R' => TcpFlags.Rst,
        'P' => TcpFlags.Psh,
        _ => TcpFlags.Ack,
    });

    private static IDisposable? Enter(RawPeer peer, TcpConnectionState state)
    {
        switch (state)
        {
            case TcpConnectionState.Closed:
                return null;
            case TcpConnectionState.Listen:
                return peer.Stack.ListenTcp(new IPEndPoint(IPAddress.Any, peer.HostPort));
            case TcpConnectionState.SynReceived:
                TcpSocketListener listener = peer.Stack.ListenTcp(new IPEndPoint(IPAddress.Any, peer.HostPort));
                peer.SendSyn();
                return listener;
            case TcpConnectionState.SynSent:
                return peer.BeginFromHost();
        }

        TcpSocket socket = peer.OpenFromPeer();
        switch (state)
        {
            case TcpConnectionState.FinWait1:
                socket.Shutdown(SocketShutdown.Send);
                break;
            case TcpConnectionState.FinWait2:
                socket.Shutdown(SocketShutdown.Send);
                peer.Settle();
                peer.Send(TcpFlags.Ack);
                break;
            case TcpConnectionState.CloseWait:
                peer.Send(TcpFlags.FinAck);
                break;
            case TcpConnectionState.LastAck:
                peer.Send(TcpFlags.FinAck);
                socket.Shutdown(SocketShutdown.Send);
                break;
            case TcpConnectionState.Closing:
                uint before = peer.HostNext;
                socket.Shutdown(SocketShutdown.Send);
                peer.Settle();
                RawSegment fin = peer.Segment(TcpFlags.FinAck);
                fin.Acknowledgment = before;
                peer.Next++;
                peer.Inject(fin);
                break;
            case TcpConnectionState.TimeWait:
                socket.Shutdown(SocketShutdown.Send);
                peer.Settle();
                peer.Send(TcpFlags.FinAck);
                break;
        }

        peer.Settle();
        Assert.Equal(state, peer.StateOfFlow());
        return socket;
    }
}
