using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Fewer ACKs while data waits beyond a gap, as Linux has it. Three that say nothing new about the gap go at once, for they are what a sender counts (RFC 5681 3.2); those that follow wait for a
/// twentieth of a round trip and go as one, with the SACK blocks of all of them (RFC 2018 4). A path that reorders is not answered with an ACK for each segment, and the sender learns of a burst when it is over.
/// </summary>
internal struct SackCompression
{
    private const int AtOnce = 3;
    private const int PartOfRoundTrip = 20;

    private SequenceNumber _gap;
    private long _dueNanos;
    private byte _sent;

    /// <summary>ACKs that wait to go as one.</summary>
    public int Held { get; private set; }

    /// <summary>When they go at the latest.</summary>
    public readonly long DueNanos => Held > 0 ? _dueNanos : long.MaxValue;

    /// <summary>A segment came beyond the gap at <paramref name="gap"/>. True: its ACK waits with the others until <see cref="DueNanos"/>; false: it goes now, and they with it.</summary>
    public bool TryHold(SequenceNumber gap, long roundTripNanos, long now, TcpSettings settings)
    {
        if (Held >= settings.CompressedSackMax)
        {
            return false;
        }

        if (_gap != gap)
        {
            _gap = gap;
            _sent = 0;
        }

        if (_sent < AtOnce)
        {
            _sent++;
            return false;
        }

        if (Held++ == 0)
        {
            // Linux's timer may be early by the slack, and on a quiet machine is not (measured on 6.18).
            _dueNanos = now + Math.Min(settings.CompressedSackDelayNanos, roundTripNanos / PartOfRoundTrip) + settings.CompressedSackSlackNanos;
        }

        return true;
    }

    /// <summary>An ACK goes out and stands for those that waited: how many.</summary>
    public int Take()
    {
        int held = Held;
        Held = 0;
        return held;
    }
}
