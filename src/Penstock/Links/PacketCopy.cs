using Penstock.Buffers;

namespace Penstock.Links;

/// <summary>Makes the receiver's own copy of a packet that crosses inside this process: contiguous, in memory of the receiver's pool.</summary>
internal static class PacketCopy
{
    /// <summary>Copies head and payload into one slab; null when the pool is at its limit.</summary>
    public static unsafe PacketBuffer? TryMake(PacketPool pool, PacketBuffer packet)
    {
        PacketBuffer? copy = TryRent(pool, packet.TotalLength, out Slab? slab);
        if (copy is null)
        {
            return null;
        }

        Span<byte> bytes = slab!.Array.AsSpan(0, packet.TotalLength);
        packet.Head.CopyTo(bytes);
        packet.CopyPayloadTo(0, bytes[packet.HeadLength..]);
        packet.NoteCopied();
        return copy;
    }

    /// <summary>Rents a buffer whose one fragment is <paramref name="length"/> bytes of a fresh slab, charged with all of it.</summary>
    public static unsafe PacketBuffer? TryRent(PacketPool pool, int length, out Slab? slab)
    {
        slab = null;

        // An acknowledgment gives memory back. Were it dropped for lack of memory, all of it could stay pinned by data that has arrived long ago.
        bool small = length <= PacketPool.TinySlab;
        PacketBuffer? copy = pool.RentBuffer(forced: small);
        if (copy is null)
        {
            return null;
        }

        slab = pool.RentSlab(length, forced: small);
        if (slab is null)
        {
            copy.Free();
            return null;
        }

        copy.Append(slab, slab.Address, length);
        copy.TrueSize += slab.Size;
        return copy;
    }
}
