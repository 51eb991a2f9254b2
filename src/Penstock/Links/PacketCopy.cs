using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Links;

/// <summary>
/// Makes the receiver's own buffer of a packet that crosses inside this process, in memory of the receiver's pool: a contiguous copy, or one that refers to what the sending application lent.
/// </summary>
internal static class PacketCopy
{
    /// <summary>In an IPv4 header.</summary>
    private const int ProtocolOffset = 9;

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

    /// <summary>
    /// Copies a packet that came from outside, TCP into slabs of several sizes where one alone would waste more than a page: what a receive queue is charged with is little more than what is in it. Headers are in
    /// the first. Null when the pool is at its limit.
    /// </summary>
    public static unsafe PacketBuffer? TryMake(PacketPool pool, ReadOnlySpan<byte> bytes)
    {
        bool isTcp = bytes.Length > ProtocolOffset && bytes[ProtocolOffset] == IpProtocol.Tcp;
        PacketBuffer? copy = TryRent(pool, isTcp ? Math.Min(bytes.Length, PacketPool.FittingSize(bytes.Length)) : bytes.Length, out _);
        while (copy is not null && bytes.Length > 0)
        {
            Span<byte> into = copy.FragmentAt(copy.FragmentCount - 1).Span;
            bytes[..into.Length].CopyTo(into);
            bytes = bytes[into.Length..];
            if (bytes.Length > 0)
            {
                int piece = Math.Min(bytes.Length, PacketPool.FittingSize(bytes.Length));
                if (pool.RentSlab(piece) is not { } slab)
                {
                    copy.Free();
                    return null;
                }

                copy.Append(slab, slab.Address, piece);
                copy.TrueSize += slab.Size;
            }
        }

        return copy;
    }

    /// <summary>
    /// Makes a buffer that shares the memory which the application lent to a zero-copy send, charged by the page (R2.8): whoever frees the last reference, here or at the sender, gives it
    /// back. Headers, and payload in slabs, which their own stack pays for, are copied. Null when there is nothing to share, when it takes too many fragments, or when the pool is at its limit.
    /// </summary>
    public static unsafe PacketBuffer? TryShare(PacketPool pool, PacketBuffer packet)
    {
        if ((packet.Segment & SegmentFlags.ZeroCopy) == 0 || packet.FragmentCount == PacketBuffer.MaximumFragments)
        {
            return null;
        }

        int own = packet.HeadLength;
        for (int i = 0; i < packet.FragmentCount; i++)
        {
            ref Fragment fragment = ref packet.FragmentAt(i);
            own += fragment.Owner is Slab ? fragment.Length : 0;
        }

        if (own == packet.TotalLength || pool.RentBuffer() is not { } shared)
        {
            return null;
        }

        if (pool.RentSlab(own) is not { } slab)
        {
            shared.Free();
            return null;
        }

        packet.Head.CopyTo(slab.Array);
        shared.Append(slab, slab.Address, packet.HeadLength);
        shared.TrueSize += slab.Size;
        byte* at = slab.Address + packet.HeadLength;
        for (int i = 0; i < packet.FragmentCount; i++)
        {
            ref Fragment fragment = ref packet.FragmentAt(i);
            if (fragment.Owner is not Slab)
            {
                fragment.Owner.AddReference();
                shared.Append(fragment.Owner, fragment.Address, fragment.Length);
                shared.TrueSize += fragment.PageSpan;
                continue;
            }

            fragment.Span.CopyTo(new Span<byte>(at, fragment.Length));
            if (!shared.TryExtend(slab, at, fragment.Length))
            {
                slab.AddReference();
                shared.Append(slab, at, fragment.Length);
            }

            at += fragment.Length;
        }

        shared.Segment |= SegmentFlags.ZeroCopy;
        return shared;
    }

    /// <summary>Rents a buffer whose one fragment is <paramref name="length"/> bytes of a fresh slab, charged with all of it.</summary>
    public static unsafe PacketBuffer? TryRent(PacketPool pool, int length, out Slab? slab)
    {
        // An acknowledgment gives memory back. Were it dropped for lack of memory, all of it could stay pinned by data that has arrived long ago.
        bool small = length <= PacketPool.TinySlab;
        PacketBuffer? copy = pool.RentBufferAndSlab(length, small, out slab);
        if (copy is null)
        {
            return null;
        }

        copy.Append(slab!, slab!.Address, length);
        copy.TrueSize += slab.Size;
        return copy;
    }
}
