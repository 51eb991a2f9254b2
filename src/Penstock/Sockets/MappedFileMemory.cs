using System.Buffers;
using System.IO.MemoryMappedFiles;

namespace Penstock.Sockets;

/// <summary>A range of a file as memory, for a zero-copy send: its pages are the file's own. Closed when the send has let go of it.</summary>
internal sealed unsafe class MappedFileMemory : MemoryManager<byte>
{
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly int _length;
    private byte* _address;

    /// <exception cref="IOException">The file cannot be opened or mapped.</exception>
    public MappedFileMemory(FileStream stream, long offset, int length)
    {
        _length = length;
        _file = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
        try
        {
            _view = _file.CreateViewAccessor(offset, length, MemoryMappedFileAccess.Read);
        }
        catch
        {
            _file.Dispose();
            throw;
        }

        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _address = start + _view.PointerOffset;
    }

    public override Span<byte> GetSpan() =>
        _address is null ? throw new ObjectDisposedException(nameof(MappedFileMemory)) : new Span<byte>(_address, _length);

    /// <summary>Mapped pages do not move.</summary>
    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)_length, nameof(elementIndex));
        ObjectDisposedException.ThrowIf(_address is null, this);
        return new MemoryHandle(_address + elementIndex);
    }

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
        if (_address is not null)
        {
            _address = null;
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
            _view.Dispose();
            _file.Dispose();
        }
    }
}
