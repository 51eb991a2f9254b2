using System.Buffers.Binary;

namespace Penstock.Bsd;

/// <summary>Writes control messages (cmsg(3)) for recvmsg, as a 64-bit Linux lays them out: length, level, type, data, padded to 8 bytes.</summary>
internal ref struct ControlMessages(Span<byte> space)
{
    private const int Header = 16;
    private readonly Span<byte> _space = space;

    /// <summary>Bytes written.</summary>
    public int Length { get; private set; }

    /// <summary>Something did not fit (MSG_CTRUNC).</summary>
    public bool IsTruncated { get; private set; }

    public void Add(int level, int type, scoped ReadOnlySpan<byte> data)
    {
        Span<byte> left = _space[Length..];
        if (left.Length < Header)
        {
            IsTruncated = true;
            return;
        }

        int count = Math.Min(data.Length, left.Length - Header);
        IsTruncated |= count < data.Length;
        BinaryPrimitives.WriteInt64LittleEndian(left, Header + count);
        BinaryPrimitives.WriteInt32LittleEndian(left[8..], level);
        BinaryPrimitives.WriteInt32LittleEndian(left[12..], type);
        data[..count].CopyTo(left[Header..]);
        Length = Math.Min(_space.Length, Length + ((Header + count + 7) & ~7));
    }
}
