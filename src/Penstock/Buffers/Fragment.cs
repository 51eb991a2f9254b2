namespace Penstock.Buffers;

/// <summary>A run of payload bytes inside memory that somebody owns. The buffer that lists it holds one reference to the owner.</summary>
internal unsafe struct Fragment
{
    public PayloadOwner Owner;
    public byte* Address;
    public int Length;

    public readonly Span<byte> Span => new(Address, Length);
}
