using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Penstock.Buffers;
using Penstock.Tcp;

namespace Penstock.Sockets;

/// <summary>Where <see cref="TcpSocket.SendFileAsync(SafeFileHandle, long, long?, CancellationToken)"/> reads from.</summary>
internal interface IFileBytes
{
    /// <summary>Reads into <paramref name="destination"/>; returns the count, 0 at the end of the file.</summary>
    ValueTask<int> ReadAsync(Memory<byte> destination, long offset, CancellationToken cancellationToken);
}

/// <summary>The bytes of an open file.</summary>
internal readonly struct HandleBytes(SafeFileHandle file) : IFileBytes
{
    public ValueTask<int> ReadAsync(Memory<byte> destination, long offset, CancellationToken cancellationToken) =>
        RandomAccess.ReadAsync(file, destination, offset, cancellationToken);
}

/// <summary>One slab of a file on its way: read into, then attached to the write queue.</summary>
internal sealed class FileChunk : ISlabRuns
{
    private Slab? _slab;
    private int _start;
    private int _length;

    public long Queued => _length;

    /// <summary>Takes over a slab and gives the memory to read into.</summary>
    public Memory<byte> Begin(Slab slab, int size)
    {
        _slab = slab;
        _start = _length = 0;
        return MemoryMarshal.CreateFromPinnedArray(slab.Array, 0, size);
    }

    public void Filled(int count)
    {
        _length = count;
        if (count == 0)
        {
            Drop();
        }
    }

    public unsafe int Peek(out Slab slab, out byte* address)
    {
        slab = _slab!;
        address = slab.Address + _start;
        return _length;
    }

    public void Take(int count)
    {
        _start += count;
        _length -= count;
        if (_length == 0)
        {
            Drop();
        }
    }

    /// <summary>Lets go of the slab; what was attached has references of its own.</summary>
    public void Drop()
    {
        _slab?.Release();
        _slab = null;
        _length = 0;
    }
}
