using System.Buffers;

namespace Penstock.Tcp;

/// <summary>
/// Where a send's bytes come from. The send loop asks for one run at a time, writes it straight into a slab, and may be interrupted between runs; the source
/// remembers where it was.
/// </summary>
internal interface ISendSource
{
    /// <summary>Bytes not yet taken.</summary>
    long Remaining { get; }

    /// <summary>Fills <paramref name="destination"/>, which is never longer than <see cref="Remaining"/>. May throw; nothing of this run counts then.</summary>
    void Fill(Span<byte> destination);
}

/// <summary>Bytes of a span; for calls that do not outlive the caller.</summary>
internal ref struct SpanSource(ReadOnlySpan<byte> data) : ISendSource
{
    private ReadOnlySpan<byte> _left = data;

    public readonly long Remaining => _left.Length;

    public void Fill(Span<byte> destination)
    {
        _left[..destination.Length].CopyTo(destination);
        _left = _left[destination.Length..];
    }
}

/// <summary>Bytes of a memory.</summary>
internal struct MemorySource(ReadOnlyMemory<byte> data) : ISendSource
{
    private ReadOnlyMemory<byte> _left = data;

    public readonly long Remaining => _left.Length;

    public void Fill(Span<byte> destination)
    {
        _left.Span[..destination.Length].CopyTo(destination);
        _left = _left[destination.Length..];
    }
}

/// <summary>Bytes of a sequence of memories.</summary>
internal struct SequenceSource(ReadOnlySequence<byte> data) : ISendSource
{
    private ReadOnlySequence<byte> _left = data;

    public readonly long Remaining => _left.Length;

    public void Fill(Span<byte> destination)
    {
        _left.Slice(0, destination.Length).CopyTo(destination);
        _left = _left.Slice(destination.Length);
    }
}

/// <summary>Bytes of a list of memories (a gather list, as writev).</summary>
internal struct GatherSource : ISendSource
{
    private readonly IReadOnlyList<ReadOnlyMemory<byte>> _parts;
    private int _index;
    private int _offset;

    public GatherSource(IReadOnlyList<ReadOnlyMemory<byte>> parts)
    {
        _parts = parts;
        for (int i = 0; i < parts.Count; i++)
        {
            Remaining += parts[i].Length;
        }
    }

    public long Remaining { get; private set; }

    public void Fill(Span<byte> destination)
    {
        Remaining -= destination.Length;
        while (destination.Length > 0)
        {
            ReadOnlySpan<byte> part = _parts[_index].Span[_offset..];
            int take = Math.Min(part.Length, destination.Length);
            part[..take].CopyTo(destination);
            destination = destination[take..];
            _offset += take;
            if (_offset == _parts[_index].Length)
            {
                _index++;
                _offset = 0;
            }
        }
    }
}

/// <summary>Bytes that the caller produces in place, in the stack's own memory.</summary>
internal struct FillSource<TState>(long length, TState state, SpanAction<byte, TState> fill) : ISendSource
{
    public long Remaining { get; private set; } = length;

    public void Fill(Span<byte> destination)
    {
        fill(destination, state);
        Remaining -= destination.Length;
    }
}
