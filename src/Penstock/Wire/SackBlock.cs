using System.Buffers.Binary;

namespace Penstock.Wire;

/// <summary>A run of bytes that the receiver holds: [<see cref="Start"/>, <see cref="End"/>) (RFC 2018 3).</summary>
internal readonly record struct SackBlock(SequenceNumber Start, SequenceNumber End)
{
    public const int WireLength = 8;

    public static SackBlock Read(ReadOnlySpan<byte> bytes) => new(
        new SequenceNumber(BinaryPrimitives.ReadUInt32BigEndian(bytes)),
        new SequenceNumber(BinaryPrimitives.ReadUInt32BigEndian(bytes[4..])));

    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], End.Value);
        BinaryPrimitives.WriteUInt32BigEndian(destination, Start.Value);
    }
}
