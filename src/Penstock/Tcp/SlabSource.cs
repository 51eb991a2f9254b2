using Penstock.Buffers;

namespace Penstock.Tcp;

/// <summary>Bytes that are in slabs of the stack already and are attached to the write queue instead of copied. The holder keeps a reference to each slab.</summary>
internal interface ISlabRuns
{
    /// <summary>Bytes not yet attached.</summary>
    long Queued { get; }

    /// <summary>The next run: at least one byte while <see cref="Queued"/> is not 0.</summary>
    unsafe int Peek(out Slab slab, out byte* address);

    /// <summary>The first <paramref name="count"/> bytes of the run were attached, with a reference of the buffer's own.</summary>
    void Take(int count);
}

/// <summary>Slab runs as a source of the send loop, which knows this type and calls <see cref="Runs"/> instead of <see cref="Fill"/>.</summary>
internal readonly struct SlabSource(ISlabRuns runs) : ISendSource
{
    public ISlabRuns Runs => runs;

    public long Remaining => runs.Queued;

    public void Fill(Span<byte> destination) =>
        throw new InvalidOperationException("These bytes are attached, not copied; this is a defect in Penstock.");
}
