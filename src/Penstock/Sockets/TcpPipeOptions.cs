using System.Buffers;

namespace Penstock;

/// <summary>How <see cref="TcpSocket.AsPipe(TcpPipeOptions?)"/> reads. Used when the pipe is made; changes made later have no effect.</summary>
public sealed class TcpPipeOptions
{
    /// <summary>Bytes that one read takes out of the socket at most. 16 KiB by default.</summary>
    public int ReadBufferSize { get; set; } = 16 * 1024;

    /// <summary>Where read buffers come from; null for <see cref="MemoryPool{T}.Shared"/>.</summary>
    public MemoryPool<byte>? ReadPool { get; set; }

    internal void Validate() => ArgumentOutOfRangeException.ThrowIfNegativeOrZero(ReadBufferSize);
}
