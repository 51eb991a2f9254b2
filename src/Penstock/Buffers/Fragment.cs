namespace Penstock.Buffers;

/// <summary>A run of payload bytes inside memory that somebody owns. The buffer that lists it holds one reference to the owner.</summary>
internal unsafe struct Fragment
{
    public PayloadOwner Owner;
    public byte* Address;
    public int Length;

    public const int PageSize = 4096;

    public readonly Span<byte> Span => new(Address, Length);

    /// <summary>Bytes of the pages that the run touches: what memory of the application's own costs (R2.8).</summary>
    public readonly int PageSpan => PageSpanOf(Address, Length);

    /// <inheritdoc cref="PageSpan"/>
    public static int PageSpanOf(byte* address, int count)
    {
        int offset = (int)((nint)address & (PageSize - 1));
        return (offset + count + PageSize - 1) & ~(PageSize - 1);
    }
}
