using System.Buffers.Binary;
using System.Text;

namespace Penstock.Links;

/// <summary>
/// Writes packets as a pcapng file (draft-ietf-opsawg-pcapng) with one interface of raw IP packets and nanosecond stamps. What it writes
/// depends on nothing but the packets: no machine, no clock, so equal runs give equal files. It allocates nothing for a packet.
/// </summary>
/// <remarks>
/// Any thread may call any member; a lock keeps blocks whole. A stream that fails ends the capture, never the traffic: the failure is kept
/// in <see cref="Failure"/>, later packets are passed over and the file ends at some point within its last block. The stream is written to
/// under the lock, when the buffer is full, so it should be one that does not block for long.
/// </remarks>
internal sealed class PcapNgWriter : IDisposable
{
    /// <summary>Packets begin with an IP header of either version.</summary>
    private const ushort LinkTypeRaw = 101;

    private const uint SectionHeaderBlock = 0x0A0D0D0A;
    private const uint InterfaceDescriptionBlock = 1;
    private const uint EnhancedPacketBlock = 6;
    private const uint ByteOrderMagic = 0x1A2B3C4D;
    private const ushort OptionEnd = 0;
    private const ushort OptionUserApplication = 4; // of a section
    private const ushort OptionInterfaceName = 2, OptionTimeResolution = 9; // of an interface
    private const ushort OptionPacketFlags = 2; // of a packet

    /// <summary>
    /// An enhanced packet block without the packet: 28 bytes before it; flags, end of options and the length again behind it.
    /// </summary>
    private const int PacketBlockHead = 28, PacketBlockTail = 16;

    private const int DefaultBufferSize = 64 * 1024;

    private readonly Lock _lock = new();
    private readonly Stream _stream;
    private readonly bool _leaveOpen;
    private readonly byte[] _buffer;
    private int _used;
    private long _packets;
    private Exception? _failure;
    private bool _disposed;

    /// <summary>
    /// Starts a capture; the file's header goes out with the first packets. Unless <paramref name="leaveOpen"/>, disposing the capture
    /// disposes the stream too.
    /// </summary>
    public PcapNgWriter(Stream stream, string interfaceName, bool leaveOpen = false, int bufferSize = DefaultBufferSize)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(interfaceName);
        ArgumentOutOfRangeException.ThrowIfLessThan(bufferSize, 256);
        _stream = stream;
        _leaveOpen = leaveOpen;
        _buffer = new byte[bufferSize];
        WriteSectionHeader();
        WriteInterfaceDescription(interfaceName);
    }

    /// <summary>Bytes that are collected before the stream gets them.</summary>
    public int BufferSize => _buffer.Length;

    /// <summary>What the stream threw, when it has failed and the capture has ended for it; else null.</summary>
    public Exception? Failure => Volatile.Read(ref _failure);

    /// <summary>Packets taken into the capture; not those passed over after a failure.</summary>
    public long Packets
    {
        get
        {
            lock (_lock)
            {
                return _packets;
            }
        }
    }

    /// <summary>
    /// Adds a packet whose bytes are <paramref name="head"/> followed by <paramref name="payload"/>.
    /// <paramref name="timestampNanos"/> is the stack's time; the file's reader takes it for nanoseconds since 1970.
    /// </summary>
    public void Write(ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload, long timestampNanos, PacketDirection direction)
    {
        int length = checked(head.Length + payload.Length);
        int padding = -length & 3;
        uint blockLength = (uint)checked(PacketBlockHead + length + padding + PacketBlockTail);
        lock (_lock)
        {
            if (_failure is not null || _disposed)
            {
                return;
            }

            Span<byte> frame = stackalloc byte[PacketBlockHead];
            BinaryPrimitives.WriteUInt32LittleEndian(frame, EnhancedPacketBlock);
            BinaryPrimitives.WriteUInt32LittleEndian(frame[4..], blockLength);
            BinaryPrimitives.WriteUInt32LittleEndian(frame[8..], 0); // the interface
            BinaryPrimitives.WriteUInt32LittleEndian(frame[12..], (uint)(timestampNanos >> 32));
            BinaryPrimitives.WriteUInt32LittleEndian(frame[16..], (uint)timestampNanos);
            BinaryPrimitives.WriteUInt32LittleEndian(frame[20..], (uint)length);
            BinaryPrimitives.WriteUInt32LittleEndian(frame[24..], (uint)length);
            Append(frame);
            Append(head);
            Append(payload);

            Span<byte> tail = stackalloc byte[3 + PacketBlockTail];
            tail[..3].Clear();
            BinaryPrimitives.WriteUInt16LittleEndian(tail[3..], OptionPacketFlags);
            BinaryPrimitives.WriteUInt16LittleEndian(tail[5..], sizeof(uint));
            BinaryPrimitives.WriteUInt32LittleEndian(tail[7..], (uint)direction);
            BinaryPrimitives.WriteUInt32LittleEndian(tail[11..], OptionEnd);
            BinaryPrimitives.WriteUInt32LittleEndian(tail[15..], blockLength);
            Append(tail[(3 - padding)..]);
            if (_failure is null)
            {
                _packets++;
            }
        }
    }

    /// <summary>Hands everything so far to the stream and flushes that.</summary>
    public void Flush()
    {
        lock (_lock)
        {
            FlushLocked();
        }
    }

    /// <summary>Flushes and ends the capture; later packets are passed over.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            FlushLocked();
            _disposed = true;
            if (_leaveOpen)
            {
                return;
            }

            try
            {
                _stream.Dispose();
            }
            catch (Exception failure)
            {
                Fail(failure);
            }
        }
    }

    private void FlushLocked()
    {
        if (_disposed)
        {
            return;
        }

        Drain();
        if (_failure is not null)
        {
            return;
        }

        try
        {
            _stream.Flush();
        }
        catch (Exception failure)
        {
            Fail(failure);
        }
    }

    /// <summary>Copies bytes into the buffer, emptying it as often as it fills.</summary>
    private void Append(scoped ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > _buffer.Length - _used)
        {
            int part = _buffer.Length - _used;
            bytes[..part].CopyTo(_buffer.AsSpan(_used));
            _used += part;
            bytes = bytes[part..];
            Drain();
        }

        bytes.CopyTo(_buffer.AsSpan(_used));
        _used += bytes.Length;
    }

    private void Drain()
    {
        int used = _used;
        _used = 0;
        if (used == 0 || _failure is not null)
        {
            return;
        }

        try
        {
            _stream.Write(_buffer, 0, used);
        }
        catch (Exception failure)
        {
            Fail(failure);
        }
    }

    // The first failure is the cause of those that follow.
    private void Fail(Exception failure) => Volatile.Write(ref _failure, _failure ?? failure);

    private void WriteSectionHeader()
    {
        Span<byte> block = stackalloc byte[44];
        block.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(block, SectionHeaderBlock);
        BinaryPrimitives.WriteInt32LittleEndian(block[4..], block.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(block[8..], ByteOrderMagic);
        BinaryPrimitives.WriteUInt16LittleEndian(block[12..], 1); // version 1.0
        BinaryPrimitives.WriteInt64LittleEndian(block[16..], -1); // the section's length is not known
        BinaryPrimitives.WriteUInt16LittleEndian(block[24..], OptionUserApplication);
        BinaryPrimitives.WriteUInt16LittleEndian(block[26..], 8);
        "Penstock"u8.CopyTo(block[28..]);
        BinaryPrimitives.WriteInt32LittleEndian(block[40..], block.Length);
        Append(block);
    }

    private void WriteInterfaceDescription(string interfaceName)
    {
        byte[] name = Encoding.UTF8.GetBytes(interfaceName);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length, ushort.MaxValue, nameof(interfaceName));
        int paddedName = (name.Length + 3) & ~3;
        byte[] block = new byte[16 + 4 + paddedName + 8 + 4 + 4];
        BinaryPrimitives.WriteUInt32LittleEndian(block, InterfaceDescriptionBlock);
        BinaryPrimitives.WriteInt32LittleEndian(block.AsSpan(4), block.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(block.AsSpan(8), LinkTypeRaw); // then 2 bytes reserved and a snapshot length of 0: all
        BinaryPrimitives.WriteUInt16LittleEndian(block.AsSpan(16), OptionInterfaceName);
        BinaryPrimitives.WriteUInt16LittleEndian(block.AsSpan(18), (ushort)name.Length);
        name.CopyTo(block, 20);
        Span<byte> rest = block.AsSpan(20 + paddedName);
        BinaryPrimitives.WriteUInt16LittleEndian(rest, OptionTimeResolution);
        BinaryPrimitives.WriteUInt16LittleEndian(rest[2..], 1);
        rest[4] = 9; // 10^-9 seconds
        BinaryPrimitives.WriteInt32LittleEndian(rest[12..], block.Length);
        Append(block);
    }
}
