using System.Globalization;

namespace Penstock.Drill;

/// <summary>What a <see cref="SegmentGatherer"/> makes of a segment.</summary>
internal enum GatherState
{
    /// <summary>The expected packet is not complete yet.</summary>
    NeedsMore,

    /// <summary>The expected packet has come.</summary>
    Matched,

    /// <summary>It will not come; see <see cref="SegmentGatherer.Mismatch"/>.</summary>
    Differs,
}

/// <summary>
/// Lets several real segments in a row stand for one expected packet: a script may write a super-segment as the stack builds it,
/// while the link shows what was cut from it. All but the last have the same length and headers; All headers
/// are the last one's but for the sequence number and CWR, which are the first's (RFC 3168 6.1.2). With strict segments one packet must match alone. For one expected packet, then thrown away.
/// </summary>
internal sealed class SegmentGatherer(TcpPattern expected, bool isStrict, TimestampRule timestamps = default)
{
    private const DrillFlags LastOnly = DrillFlags.Fin | DrillFlags.Psh;

    private DrillPacket _whole;
    private DrillPacket _previous;
    private int _count;

    /// <summary>Why the segments do not match, once <see cref="Offer"/> said so.</summary>
    public PacketMismatch? Mismatch { get; private set; }

    /// <summary>Adds the next segment the stack sent on this connection.</summary>
    public GatherState Offer(DrillPacket segment)
    {
        if (_count > 0)
        {
            Mismatch = CompareWithPrevious(segment);
            if (Mismatch is not null)
            {
                return GatherState.Differs;
            }
        }

        _whole = _count == 0
            ? segment
            : segment with
            {
                Sequence = _whole.Sequence,
                Length = _whole.Length + segment.Length,
                Flags = (segment.Flags & ~DrillFlags.Cwr) | (_whole.Flags & DrillFlags.Cwr),
                IsPayloadZero = _whole.IsPayloadZero && segment.IsPayloadZero,
                IsIpHeaderGood = _whole.IsIpHeaderGood && segment.IsIpHeaderGood,
            };
        _previous = segment;
        _count++;

        bool mayGoOn = !isStrict && segment.Protocol == DrillProtocol.Tcp && segment.Length > 0 && _whole.Length < expected.Length
            && _whole.Sequence == expected.Sequence && (segment.Flags & DrillFlags.Fin) == 0;
        if (mayGoOn)
        {
            return GatherState.NeedsMore;
        }

        Mismatch = PacketMatch.Compare(expected, _whole, timestamps);
        return Mismatch is null ? GatherState.Matched : GatherState.Differs;
    }

    private PacketMismatch? CompareWithPrevious(DrillPacket segment)
    {
        DrillFlags steady = ~(LastOnly | DrillFlags.Cwr);
        if (segment.Protocol != _previous.Protocol)
        {
            return Piece("the protocol", "TCP", "another");
        }

        if ((segment.Flags & steady) != (_previous.Flags & steady))
        {
            return Piece("flags", PacketPrinter.Print(_previous.Flags & steady), PacketPrinter.Print(segment.Flags & steady));
        }

        uint follows = _previous.Sequence + (uint)_previous.Length;
        bool isLast = _whole.Length + segment.Length >= expected.Length;
        return segment.Sequence != follows ? Piece("the first sequence number", Text(follows), Text(segment.Sequence))
            : segment.Ack != _previous.Ack ? Piece("ack", Text(_previous.Ack), Text(segment.Ack))
            : expected.Window is not null && segment.Window != _previous.Window
                ? Piece("win", Text(_previous.Window), Text(segment.Window))
            : !isLast && segment.Length != _previous.Length
                ? Piece("the payload's length", Text((uint)_previous.Length), Text((uint)segment.Length))
            : null;

        PacketMismatch Piece(string field, string wanted, string found) => new(
            string.Create(CultureInfo.InvariantCulture, $"{field} of piece {_count + 1}"),
            wanted,
            found,
            PacketPrinter.Print(expected, isInbound: false),
            string.Create(CultureInfo.InvariantCulture, $"{PacketPrinter.Print(segment, isInbound: false)} after {_whole.Length} bytes in {_count} piece(s)"));
    }

    private static string Text(uint value) => value.ToString(CultureInfo.InvariantCulture);
}
