using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Tcp;

namespace Penstock.Bsd;

/// <summary>Linux's struct iovec.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct IoVector(byte* address, nuint length)
{
    public byte* Base = address;
    public nuint Length = length;
}

/// <summary>A caller's list of buffers. The memory is the caller's, and used during the call only.</summary>
internal readonly unsafe struct IoVectors(IoVector* first, int count)
{
    /// <summary>UIO_MAXIOV.</summary>
    public const int Most = 1024;

    public IoVector* First => first;

    public int Count => count;

    /// <summary>Bytes in all, or -1 when that is more than one call can move.</summary>
    public long Length
    {
        get
        {
            ulong sum = 0;
            for (int i = 0; i < count; i++)
            {
                sum += first[i].Length;
                if (sum > int.MaxValue)
                {
                    return -1;
                }
            }

            return (long)sum;
        }
    }

    /// <summary>Bytes in front of the first buffer that should have bytes and is null; all of them when none is.</summary>
    public long LengthBeforeNull
    {
        get
        {
            long sum = 0;
            for (int i = 0; i < count && !(first[i].Base is null && first[i].Length > 0); i++)
            {
                sum += (long)first[i].Length;
            }

            return sum;
        }
    }

    /// <summary>True when a buffer that should have bytes is null.</summary>
    public bool HasNull => LengthBeforeNull < Length;

    /// <summary>True for a buffer of <see cref="At"/> that should have bytes, and is nowhere.</summary>
    public static bool IsNull(ReadOnlySpan<byte> part) => !part.IsEmpty && Unsafe.IsNullRef(ref MemoryMarshal.GetReference(part));

    /// <summary>The rest of the buffer that holds byte <paramref name="offset"/>; empty at the end.</summary>
    public Span<byte> At(long offset)
    {
        for (int i = 0; i < count; i++)
        {
            long length = (long)first[i].Length;
            if (offset < length)
            {
                return new Span<byte>(first[i].Base + offset, (int)(length - offset));
            }

            offset -= length;
        }

        return default;
    }

    public void CopyFrom(ReadOnlySpan<byte> data)
    {
        long offset = 0;
        while (!data.IsEmpty)
        {
            Span<byte> part = At(offset);
            int count = Math.Min(part.Length, data.Length);
            data[..count].CopyTo(part);
            data = data[count..];
            offset += count;
        }
    }
}

/// <summary>A send's bytes from a caller's list of buffers, the first <paramref name="length"/> of them.</summary>
internal struct VectorSource(IoVectors vectors, long length) : ISendSource
{
    private long _offset;

    public long Remaining { get; private set; } = length;

    public void Fill(Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            Span<byte> part = vectors.At(_offset);
            int count = Math.Min(part.Length, destination.Length);
            part[..count].CopyTo(destination);
            destination = destination[count..];
            _offset += count;
            Remaining -= count;
        }
    }
}
