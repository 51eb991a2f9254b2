namespace Penstock.Buffers;

/// <summary>
/// One block of pinned memory of a fixed size class, rented from a <see cref="PacketPool"/>. It never moves, so
/// fragments hold plain addresses into it; the array keeps it alive.
/// </summary>
internal sealed unsafe class Slab : PayloadOwner
{
    private readonly PacketPool _pool;

    internal Slab(PacketPool pool, int sizeClass, int size)
    {
        _pool = pool;
        SizeClass = sizeClass;
        Array = GC.AllocateUninitializedArray<byte>(size, pinned: true);
        Address = (byte*)System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(Array, 0);
    }

    public readonly byte[] Array;
    public readonly byte* Address;
    public readonly int SizeClass;

    /// <summary>Bytes handed out from the front, while sends fill this slab one after the other.</summary>
    internal int Used;

    /// <summary>Next slab in the pool's free list; meaningless while rented.</summary>
    internal Slab? NextFree;

    /// <summary>Next chain there, of the first slab of a chain.</summary>
    internal Slab? NextChain;

    public int Size => Array.Length;

    /// <summary>It is one of the smallest of <paramref name="pool"/>, and the caller's reference is the only one.</summary>
    internal bool IsTinyOf(PacketPool pool) => SizeClass == 0 && pool == _pool && IsOnlyReference;

    /// <summary>As <see cref="PayloadOwner.Release"/>, by a caller on whose thread <paramref name="magazine"/> is what is at hand of <paramref name="pool"/>.</summary>
    internal void Release(PacketPool pool, PacketPool.Magazine? magazine)
    {
        if (pool == _pool && IsOnlyReference)
        {
            EndReferences();
            pool.Return(this, magazine);
            return;
        }

        Release();
    }

    protected override void OnUnreferenced() => _pool.Return(this);
}
