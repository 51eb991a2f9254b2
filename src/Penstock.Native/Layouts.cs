using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;
using Penstock.Bsd;
using Penstock.Sockets;

namespace Penstock.Native;

/// <summary>Linux's struct msghdr on 64 bits.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MessageHeader
{
    public byte* Name;
    public uint NameLength;
    public IoVector* Vectors;
    public nuint VectorCount;
    public byte* Control;
    public nuint ControlLength;
    public int Flags;
}

/// <summary>Linux's struct pollfd.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PollDescriptor
{
    public int Descriptor;
    public short Events;
    public short Found;
}

/// <summary>Linux's struct epoll_event, which is packed on x86-64 only.</summary>
internal static unsafe class EpollEvent
{
    private static readonly bool Packed = RuntimeInformation.ProcessArchitecture == Architecture.X64;

    private static int DataAt => Packed ? 4 : 8;

    private static int Size => Packed ? 12 : 16;

    public static (uint Events, ulong Data) Read(byte* at) => (*(uint*)at, Unsafe(at + DataAt));

    public static void Write(byte* first, int index, uint events, ulong data)
    {
        byte* at = first + (index * Size);
        *(uint*)at = events;
        BinaryPrimitives.WriteUInt64LittleEndian(new Span<byte>(at + DataAt, 8), data);
    }

    private static ulong Unsafe(byte* at) => BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(at, 8));
}

/// <summary>Linux's struct sockaddr_in.</summary>
internal static unsafe class SocketAddressIn
{
    public const int Unspecified = 0, Inet = 2;
    private const int Size = 16;

    /// <summary>Reads an address; 0, or a negative error number. A family of AF_UNSPEC gives null.</summary>
    public static int Read(byte* at, uint length, out IPEndPoint? address)
    {
        address = null;
        if (at is null)
        {
            return Result.Fail(Errno.EFAULT);
        }

        if (length < 2)
        {
            return Result.Fail(Errno.EINVAL);
        }

        ushort family = *(ushort*)at;
        if (family == Unspecified)
        {
            return 0;
        }

        if (family != Inet)
        {
            return Result.Fail(Errno.EAFNOSUPPORT);
        }

        if (length < Size)
        {
            return Result.Fail(Errno.EINVAL);
        }

        address = new IPEndPoint(new IPAddress(new ReadOnlySpan<byte>(at + 4, 4)), BinaryPrimitives.ReadUInt16BigEndian(new ReadOnlySpan<byte>(at + 2, 2)));
        return 0;
    }

    /// <summary>Writes as much of an address as fits, and its whole length.</summary>
    public static void Write(IPEndPoint address, byte* at, uint* length)
    {
        if (at is null || length is null)
        {
            return;
        }

        Span<byte> bytes = stackalloc byte[Size];
        bytes.Clear();
        bytes[0] = Inet;
        BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], (ushort)address.Port);
        address.Address.TryWriteBytes(bytes[4..], out _);
        bytes[..(int)Math.Min(*length, Size)].CopyTo(new Span<byte>(at, Size));
        *length = Size;
    }
}
