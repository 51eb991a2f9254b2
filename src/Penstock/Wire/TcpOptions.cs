using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Penstock.Wire;

/// <summary>
/// The options of a TCP segment that the stack knows, read from the wire or to be written by <see cref="TcpOptionsWriter"/>. It says what
/// a segment carries, not whether the connection has agreed to it. SACK blocks lie inside: nothing is allocated.
/// </summary>
internal struct TcpOptions
{
    /// <summary>Option kinds (IANA "TCP Option Kind Numbers").</summary>
    internal const byte KindEnd = 0, KindNop = 1, KindMss = 2, KindWindowScale = 3;
    internal const byte KindSackPermitted = 4, KindSack = 5, KindTimestamps = 8;

    /// <summary>RFC 7323 2.3: a greater shift is used as 14.</summary>
    public const byte MaxWindowScale = 14;

    /// <summary>As many as 40 bytes of options can hold (RFC 2018 3).</summary>
    public const int MaxSackBlocks = 4;

    /// <summary>
    /// NOP, NOP, timestamps of 10 bytes (RFC 7323 appendix A): all the options that an established connection mostly has.
    /// </summary>
    internal const uint AlignedTimestamps = 0x0101_080A;

    private SackBlockList _sackBlocks;

    public uint TsVal;
    public uint TsEcr;

    /// <summary>The maximum segment size in bytes; never zero when <see cref="HasMss"/>.</summary>
    public ushort Mss;

    /// <summary>The shift count, 0..14.</summary>
    public byte WindowScale;

    /// <summary>How many SACK blocks there are, 0..4.</summary>
    public byte SackCount;

    public bool HasMss;
    public bool HasWindowScale;
    public bool SackPermitted;
    public bool HasTimestamps;

    /// <summary>The SACK blocks in the order of the wire. Their numbers are the peer's claim, not checked against anything.</summary>
    [UnscopedRef]
    public readonly ReadOnlySpan<SackBlock> SackBlocks => ((ReadOnlySpan<SackBlock>)_sackBlocks)[..SackCount];

    /// <summary>Adds a SACK block behind the others; false, and nothing added, when there are four already.</summary>
    public bool AddSackBlock(SackBlock block)
    {
        if (SackCount >= MaxSackBlocks)
        {
            return false;
        }

        _sackBlocks[SackCount++] = block;
        return true;
    }

    /// <summary>
    /// Parses the bytes between the fixed header and the payload. What a SYN negotiates counts only when <paramref name="isSyn"/>.
    /// Returns <see cref="MalformedReason.TcpBadOptions"/> when an option has an impossible length; what stands before it is kept and the
    /// segment is to be accepted, as Linux does: a length that leads nowhere ends the walk, a known option of the wrong size is skipped.
    /// </summary>
    public static MalformedReason Parse(ReadOnlySpan<byte> bytes, bool isSyn, out TcpOptions options)
    {
        options = default;
        if (bytes.IsEmpty)
        {
            return MalformedReason.None;
        }

        if (bytes.Length == TcpOptionsWriter.TimestampsLength && BinaryPrimitives.ReadUInt32BigEndian(bytes) == AlignedTimestamps)
        {
            options.ReadTimestamps(bytes[4..]);
            return MalformedReason.None;
        }

        return options.Walk(bytes, isSyn);
    }

    private MalformedReason Walk(ReadOnlySpan<byte> bytes, bool isSyn)
    {
        var reason = MalformedReason.None;
        while (!bytes.IsEmpty && bytes[0] != KindEnd)
        {
            if (bytes[0] == KindNop)
            {
                bytes = bytes[1..];
                continue;
            }

            if (bytes.Length < 2 || bytes[1] < 2 || bytes[1] > bytes.Length)
            {
                return MalformedReason.TcpBadOptions;
            }

            int length = bytes[1];
            if (!TryRead(bytes[0], bytes[2..length], isSyn))
            {
                reason = MalformedReason.TcpBadOptions;
            }

            bytes = bytes[length..];
        }

        return reason;
    }

    /// <summary>Takes one option in; false when its size is not the one that its kind has.</summary>
    private bool TryRead(byte kind, ReadOnlySpan<byte> value, bool isSyn)
    {
        switch (kind)
        {
            case KindMss:
                if (value.Length != 2)
                {
                    return false;
                }

                // A size of zero would stop the connection; Linux reads it as no option at all.
                ushort mss = BinaryPrimitives.ReadUInt16BigEndian(value);
                if (isSyn && mss != 0)
                {
                    HasMss = true;
                    Mss = mss;
                }

                return true;

            case KindWindowScale:
                if (value.Length != 1)
                {
                    return false;
                }

                if (isSyn)
                {
                    HasWindowScale = true;
                    WindowScale = Math.Min(value[0], MaxWindowScale);
                }

                return true;

            case KindSackPermitted:
                SackPermitted |= isSyn && value.IsEmpty;
                return value.IsEmpty;

            case KindSack:
                if (value.IsEmpty || value.Length % SackBlock.WireLength != 0)
                {
                    return false;
                }

                // Should there be two of them, the last one counts.
                for (SackCount = 0; value.Length >= SackBlock.WireLength; value = value[SackBlock.WireLength..])
                {
                    AddSackBlock(SackBlock.Read(value));
                }

                return true;

            case KindTimestamps:
                if (value.Length != 8)
                {
                    return false;
                }

                ReadTimestamps(value);
                return true;

            default:
                return true; // RFC 9293 3.1 MUST-6: an unknown option is ignored.
        }
    }

    private void ReadTimestamps(ReadOnlySpan<byte> value)
    {
        HasTimestamps = true;
        TsVal = BinaryPrimitives.ReadUInt32BigEndian(value);
        TsEcr = BinaryPrimitives.ReadUInt32BigEndian(value[4..]);
    }

    [InlineArray(MaxSackBlocks)]
    private struct SackBlockList
    {
        private SackBlock _first;
    }
}
