using System.Buffers.Binary;

namespace Penstock.Wire;

/// <summary>
/// Writes TCP options in Linux's order, with Linux's padding, so that a trace of ours compares byte by byte with one of Linux's: MSS, then
/// timestamps (SACK-permitted takes the place of the two NOPs before them when both are there), SACK-permitted behind two NOPs when it
/// stands alone, NOP and window scale, two NOPs and the SACK blocks. Every part is a multiple of 4 bytes. RFC 9293 leaves the order free;
/// this one was read off SYNs of Linux 6.18 with timestamps, SACK and window scaling each on and off.
/// </summary>
internal static class TcpOptionsWriter
{
    /// <summary>All that fits behind the fixed header.</summary>
    public const int MaxLength = TcpHeader.MaxLength - TcpHeader.MinLength;

    /// <summary>Bytes of the timestamps with their padding.</summary>
    public const int TimestampsLength = 12;

    private const uint NopNop = 0x0101_0000;

    /// <summary>Bytes of an option with that many SACK blocks, with its padding.</summary>
    public static int SackLength(int blocks) => blocks == 0 ? 0 : 4 + blocks * SackBlock.WireLength;

    /// <summary>
    /// How many SACK blocks fit behind <paramref name="usedLength"/> bytes of other options: 3 behind timestamps, else 4.
    /// </summary>
    public static int SackRoom(int usedLength) =>
        Math.Clamp((MaxLength - usedLength - 4) / SackBlock.WireLength, 0, TcpOptions.MaxSackBlocks);

    /// <summary>How many bytes <see cref="Write"/> takes.</summary>
    public static int LengthOf(in TcpOptions options)
    {
        int length = (options.HasMss ? 4 : 0)
            + (options.HasTimestamps ? TimestampsLength : options.SackPermitted ? 4 : 0)
            + (options.HasWindowScale ? 4 : 0);
        return length + SackLength(Math.Min(options.SackCount, SackRoom(length)));
    }

    /// <summary>
    /// Writes the options and returns their length, a multiple of 4, at most 40. SACK blocks that do not fit are left out, the last ones
    /// first: RFC 2018 4 wants as many as possible, the newest in front.
    /// </summary>
    public static int Write(Span<byte> destination, in TcpOptions options)
    {
        int at = 0;
        if (options.HasMss)
        {
            WriteWord(destination, at, (TcpOptions.KindMss << 24) | (4u << 16) | options.Mss);
            at += 4;
        }

        if (options.HasTimestamps)
        {
            at += WriteTimestamps(destination[at..], options.TsVal, options.TsEcr);
            if (options.SackPermitted)
            {
                destination[at - TimestampsLength] = TcpOptions.KindSackPermitted;
                destination[at - TimestampsLength + 1] = 2;
            }
        }
        else if (options.SackPermitted)
        {
            WriteWord(destination, at, NopNop | (TcpOptions.KindSackPermitted << 8) | 2u);
            at += 4;
        }

        if (options.HasWindowScale)
        {
            WriteWord(destination, at, (TcpOptions.KindNop << 24) | (TcpOptions.KindWindowScale << 16) | (3u << 8) | options.WindowScale);
            at += 4;
        }

        ReadOnlySpan<SackBlock> blocks = options.SackBlocks;
        return at + WriteSack(destination[at..], blocks[..Math.Min(blocks.Length, SackRoom(at))]);
    }

    /// <summary>Writes NOP, NOP, timestamps: the only options of most segments. Returns 12.</summary>
    public static int WriteTimestamps(Span<byte> destination, uint tsVal, uint tsEcr)
    {
        Span<byte> bytes = destination[..TimestampsLength];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, TcpOptions.AlignedTimestamps);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], tsVal);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[8..], tsEcr);
        return TimestampsLength;
    }

    /// <summary>Writes NOP, NOP, SACK with these blocks, at most four, and returns the length: 0 when there is none.</summary>
    public static int WriteSack(Span<byte> destination, ReadOnlySpan<SackBlock> blocks)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(blocks.Length, TcpOptions.MaxSackBlocks);
        if (blocks.IsEmpty)
        {
            return 0;
        }

        WriteWord(destination, 0, NopNop | (TcpOptions.KindSack << 8) | (uint)(2 + blocks.Length * SackBlock.WireLength));
        for (int i = 0; i < blocks.Length; i++)
        {
            blocks[i].Write(destination[(4 + i * SackBlock.WireLength)..]);
        }

        return SackLength(blocks.Length);
    }

    private static void WriteWord(Span<byte> destination, int at, uint word) =>
        BinaryPrimitives.WriteUInt32BigEndian(destination[at..], word);
}
