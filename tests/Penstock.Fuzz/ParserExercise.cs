using Penstock.Wire;

namespace Penstock.Fuzz;

/// <summary>
/// Sends bytes through every parser, as a packet from the outside in and each parser on its own, and checks that whatever was accepted
/// makes sense. Throws when it does not; a fuzzer can call it as it is.
/// </summary>
internal static class ParserExercise
{
    /// <summary>Returns how far the bytes got as a packet: 0 refused, 1 an IPv4 header, 2 a transport header in it.</summary>
    public static int Everything(ReadOnlySpan<byte> bytes)
    {
        Tcp(bytes);
        Udp(bytes);
        Icmp(bytes);
        Options(bytes[..Math.Min(bytes.Length, 40)], isSyn: true);
        return Packet(bytes);
    }

    public static int Packet(ReadOnlySpan<byte> bytes)
    {
        bool verified = IPv4Header.TryParse(bytes, out _, out _);
        bool accepted = IPv4Header.TryParse(bytes, out IPv4Header header, out MalformedReason reason, verifyChecksum: false);
        Ensure(accepted == (reason == MalformedReason.None), "a reason goes with a refusal");
        Ensure(accepted || !verified, "the checksum is one check more");
        if (!accepted)
        {
            return 0;
        }

        Ensure(header.HeaderLength is >= 20 and <= 60 && header.HeaderLength % 4 == 0, "header length");
        Ensure(header.HeaderLength + header.PayloadLength == header.TotalLength && header.TotalLength <= bytes.Length, "total length");
        Ensure(header.Options(bytes).Length == header.HeaderLength - 20, "options");
        Ensure(header.Source.IsIPv4 && header.Destination.IsIPv4, "addresses");
        ReadOnlySpan<byte> payload = header.Payload(bytes);
        return header.Protocol switch
        {
            IpProtocol.Tcp when Tcp(payload) => 2,
            IpProtocol.Udp when Udp(payload) => 2,
            IpProtocol.Icmp when Icmp(payload) => 2,
            _ => 1,
        };
    }

    public static bool Tcp(ReadOnlySpan<byte> bytes)
    {
        bool accepted = TcpHeader.TryParse(bytes, out TcpSegmentHeader header, out MalformedReason reason);
        Ensure(accepted == (reason == MalformedReason.None), "a reason goes with a refusal");
        if (!accepted)
        {
            return false;
        }

        Ensure(header.HeaderLength is >= 20 and <= 60 && header.HeaderLength <= bytes.Length, "data offset");
        TcpHeader.ChecksumHolds(bytes, IpAddress.LoopbackIPv4, IpAddress.Broadcast);
        Options(header.Options(bytes), header.Has(TcpFlags.Syn));
        return true;
    }

    public static void Options(ReadOnlySpan<byte> bytes, bool isSyn)
    {
        MalformedReason reason = TcpOptions.Parse(bytes, isSyn, out TcpOptions options);
        Ensure(reason is MalformedReason.None or MalformedReason.TcpBadOptions, "reason");
        Ensure(options.WindowScale <= TcpOptions.MaxWindowScale, "window scale");
        Ensure(options.HasMss == (options.Mss != 0), "segment size");
        Ensure(isSyn || !(options.HasMss || options.HasWindowScale || options.SackPermitted), "a SYN's options elsewhere");
        Ensure(options.SackBlocks.Length is >= 0 and <= TcpOptions.MaxSackBlocks, "SACK blocks");

        // Whatever was understood can be written, and reads back as the same but for SACK blocks that had no room.
        Span<byte> written = stackalloc byte[TcpOptionsWriter.MaxLength];
        int length = TcpOptionsWriter.Write(written, options);
        Ensure(length == TcpOptionsWriter.LengthOf(options) && length % 4 == 0, "length");
        Ensure(TcpOptions.Parse(written[..length], isSyn, out TcpOptions again) == MalformedReason.None, "our own options");
        Ensure(
            again.Mss == options.Mss && again.TsVal == options.TsVal && again.TsEcr == options.TsEcr
            && again.HasTimestamps == options.HasTimestamps && again.SackPermitted == options.SackPermitted
            && again.HasWindowScale == options.HasWindowScale && again.WindowScale == options.WindowScale
            && options.SackBlocks.StartsWith(again.SackBlocks),
            "options read back");
    }

    public static bool Udp(ReadOnlySpan<byte> bytes)
    {
        bool accepted = UdpHeader.TryParse(bytes, out UdpHeader header, out MalformedReason reason);
        Ensure(accepted == (reason == MalformedReason.None), "a reason goes with a refusal");
        if (accepted)
        {
            Ensure(header.Payload(bytes).Length == header.PayloadLength && header.Length <= bytes.Length, "length");
            header.ChecksumHolds(bytes, IpAddress.LoopbackIPv4, IpAddress.Broadcast);
        }

        return accepted;
    }

    public static bool Icmp(ReadOnlySpan<byte> bytes)
    {
        bool verified = IcmpHeader.TryParse(bytes, out _, out _);
        bool accepted = IcmpHeader.TryParse(bytes, out _, out MalformedReason reason, verifyChecksum: false);
        Ensure(accepted == (reason == MalformedReason.None) && (accepted || !verified), "a reason goes with a refusal");
        if (IcmpHeader.TryParseOriginal(bytes, out IPv4Header original, out ReadOnlySpan<byte> payload, out reason))
        {
            Ensure(accepted, "a quote without a header");
            Ensure(payload.Length >= 8 && 8 + original.HeaderLength + payload.Length == bytes.Length, "quoted payload");
        }
        else
        {
            Ensure(reason == MalformedReason.IcmpBadOriginal && payload.IsEmpty, "a reason goes with a refusal");
        }

        return accepted;
    }

    private static void Ensure(bool condition, string what)
    {
        if (!condition)
        {
            throw new InvalidOperationException($"A parser broke its word: {what}.");
        }
    }
}
