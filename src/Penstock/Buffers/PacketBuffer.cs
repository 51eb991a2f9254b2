using System.Diagnostics;
using System.Runtime.CompilerServices;
using Penstock.Wire;

namespace Penstock.Buffers;

/// <summary>
/// The unit of data everywhere in the stack (Linux: <c>sk_buff</c>): a small linear head for headers and up to
/// <see cref="MaximumFragments"/> fragments that point into slabs or application memory. A queued buffer carries
/// payload only; each transmission is a clone (<see cref="CloneFrom"/>) that shares the fragments and has headers of its own, so
/// nothing below TCP ever writes to a queued buffer. Owned by one party at a time; not thread-safe.
/// </summary>
internal sealed unsafe partial class PacketBuffer
{
    public const int MaximumFragments = 17;
    public const int InlineFragments = 4;

    /// <summary>Bytes kept in front for IP and TCP headers with all options (60 + 60) and a link's header.</summary>
    public const int HeadRoom = 160;

    /// <summary>The object itself, as charged in <see cref="HeadTrueSize"/>: measured on a 64-bit runtime and rounded up.</summary>
    public const int ObjectSize = 448;

    /// <summary>The overflow table of fragments, charged to the head when it is attached.</summary>
    public const int OverflowSize = 24 + ((MaximumFragments - InlineFragments) * 24);

    private readonly PacketPool _pool;
    private Slab? _head;
    private int _headStart;
    private int _headEnd;
    private InlineFragmentTable _inline;
    private Fragment[]? _overflow;
    private bool _hasOverflow;
    private bool _rented;

    /// <summary>The payload belongs to another buffer's references: this one only looks.</summary>
    private bool _borrows;

    internal PacketBuffer(PacketPool pool) => _pool = pool;

    public PacketPool Pool => _pool;

    /// <summary>Bytes of payload in the fragments.</summary>
    public int Length { get; private set; }

    public int FragmentCount { get; private set; }

    /// <summary>What this buffer costs its socket: head plus payload memory (Linux: <c>truesize</c>).</summary>
    public int TrueSize;

    /// <summary>The part of <see cref="TrueSize"/> that is not payload; it differs between buffers and is never a constant.</summary>
    public int HeadTrueSize { get; private set; }

    /// <summary>Bytes of headers in front of the payload (a clone on its way out).</summary>
    public int HeadLength => _headEnd - _headStart;

    public Span<byte> Head => _head is null ? default : new Span<byte>(_head.Address + _headStart, _headEnd - _headStart);

    public byte* HeadAddress => _head is null ? null : _head.Address + _headStart;

    /// <summary>Headers and payload.</summary>
    public int TotalLength => HeadLength + Length;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref Fragment FragmentAt(int index)
    {
        Debug.Assert((uint)index < (uint)FragmentCount);
        return ref SlotAt(index);
    }

    /// <summary>The first fragment: where a received packet's headers are, contiguous.</summary>
    public Span<byte> FirstSpan => FragmentCount == 0 ? default : SlotAt(0).Span;

    /// <summary>Adds a fragment and takes over one reference to its owner. Does not touch <see cref="TrueSize"/>.</summary>
    public void Append(PayloadOwner owner, byte* address, int length)
    {
        Debug.Assert(FragmentCount < MaximumFragments && length > 0);
        if (FragmentCount == InlineFragments && !_hasOverflow)
        {
            AttachOverflow();
        }

        FragmentCount++;
        SlotAt(FragmentCount - 1) = new Fragment { Owner = owner, Address = address, Length = length };
        Length += length;
    }

    /// <summary>Lengthens the last fragment when <paramref name="address"/> continues it in the same memory.</summary>
    public bool TryExtend(PayloadOwner owner, byte* address, int length)
    {
        if (FragmentCount == 0)
        {
            return false;
        }

        ref Fragment last = ref SlotAt(FragmentCount - 1);
        if (last.Owner != owner || last.Address + last.Length != address)
        {
            return false;
        }

        last.Length += length;
        Length += length;
        return true;
    }

    /// <summary>Drops <paramref name="count"/> payload bytes from the front. <see cref="TrueSize"/> is the caller's to correct.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void TrimFront(int count)
    {
        Debug.Assert(count <= Length && !_borrows);
        ref Fragment first = ref _inline[0];
        if (FragmentCount > 0 && count < first.Length)
        {
            Length -= count;
            first.Address += count;
            first.Length -= count;
        }
        else
        {
            TrimFragments(count);
        }
    }

    private void TrimFragments(int count)
    {
        Length -= count;
        int gone = 0;
        while (count > 0)
        {
            ref Fragment fragment = ref SlotAt(gone);
            if (fragment.Length > count)
            {
                fragment.Address += count;
                fragment.Length -= count;
                break;
            }

            count -= fragment.Length;
            fragment.Owner.Release();
            gone++;
        }

        if (gone > 0)
        {
            for (int i = gone; i < FragmentCount; i++)
            {
                SlotAt(i - gone) = SlotAt(i);
            }

            ClearSlots(FragmentCount - gone);
        }
    }

    /// <summary>Drops payload bytes from the end until <paramref name="length"/> are left.</summary>
    public void TrimTo(int length)
    {
        Debug.Assert(length <= Length && !_borrows);
        int excess = Length - length;
        Length = length;
        int keep = FragmentCount;
        while (excess > 0)
        {
            ref Fragment last = ref SlotAt(keep - 1);
            if (last.Length > excess)
            {
                last.Length -= excess;
                break;
            }

            excess -= last.Length;
            last.Owner.Release();
            keep--;
        }

        ClearSlots(keep);
    }

    /// <summary>Moves the payload from <paramref name="offset"/> on into the empty buffer <paramref name="rest"/>; a fragment that is cut is shared.</summary>
    public void SplitPayload(int offset, PacketBuffer rest)
    {
        Debug.Assert(offset <= Length && rest.Length == 0 && !_borrows);
        int position = 0;
        int keep = 0;
        int count = FragmentCount;
        for (int i = 0; i < count; i++)
        {
            ref Fragment fragment = ref SlotAt(i);
            int end = position + fragment.Length;
            if (end <= offset)
            {
                keep = i + 1;
            }
            else if (position >= offset)
            {
                rest.Append(fragment.Owner, fragment.Address, fragment.Length);
            }
            else
            {
                int stay = offset - position;
                fragment.Owner.AddReference();
                rest.Append(fragment.Owner, fragment.Address + stay, fragment.Length - stay);
                fragment.Length = stay;
                keep = i + 1;
            }

            position = end;
        }

        Length = offset;
        ClearSlots(keep);
    }

    /// <summary>Whether <see cref="TakePayload"/> has the slots for <paramref name="other"/>; a first fragment that continues the last one needs none.</summary>
    public bool CanTakePayload(PacketBuffer other)
    {
        int slots = FragmentCount + other.FragmentCount;
        if (slots == MaximumFragments + 1 && FragmentCount > 0 && other.FragmentCount > 0)
        {
            ref Fragment last = ref SlotAt(FragmentCount - 1);
            ref Fragment first = ref other.SlotAt(0);
            return last.Owner == first.Owner && last.Address + last.Length == first.Address;
        }

        return slots <= MaximumFragments;
    }

    /// <summary>Appends the fragments of <paramref name="other"/>, which is left empty. The caller has checked that the slots suffice.</summary>
    public void TakePayload(PacketBuffer other)
    {
        for (int i = 0; i < other.FragmentCount; i++)
        {
            ref Fragment fragment = ref other.SlotAt(i);
            if (TryExtend(fragment.Owner, fragment.Address, fragment.Length))
            {
                fragment.Owner.Release();
            }
            else
            {
                Append(fragment.Owner, fragment.Address, fragment.Length);
            }
        }

        other.Length = 0;
        other.ClearSlots(0);
    }

    /// <summary>Lets this empty buffer refer to <paramref name="count"/> payload bytes of <paramref name="source"/> from <paramref name="offset"/>.</summary>
    public void ShareFrom(PacketBuffer source, int offset, int count)
    {
        Debug.Assert(offset + count <= source.Length);
        for (int i = 0; count > 0; i++)
        {
            ref Fragment fragment = ref source.SlotAt(i);
            if (offset >= fragment.Length)
            {
                offset -= fragment.Length;
                continue;
            }

            int take = Math.Min(count, fragment.Length - offset);
            fragment.Owner.AddReference();
            Append(fragment.Owner, fragment.Address + offset, take);
            offset = 0;
            count -= take;
        }

        // Only that: what else the flags say is the queued buffer's affair (R2.23).
        Segment |= source.Segment & SegmentFlags.ZeroCopy;
    }

    /// <summary>
    /// Lets this empty buffer refer to all of the payload of <paramref name="source"/> without references of its own: for a link that lets go of it before <paramref name="source"/> can be freed.
    /// </summary>
    public void BorrowFrom(PacketBuffer source)
    {
        for (int i = 0; i < source.FragmentCount; i++)
        {
            ref Fragment fragment = ref source.SlotAt(i);
            Append(fragment.Owner, fragment.Address, fragment.Length);
        }

        _borrows = true;
        Segment |= source.Segment & SegmentFlags.ZeroCopy;
    }

    /// <summary>Takes references for payload that was borrowed.</summary>
    public void KeepBorrowed()
    {
        for (int i = 0; i < FragmentCount && _borrows; i++)
        {
            SlotAt(i).Owner.AddReference();
        }

        _borrows = false;
    }

    /// <summary>A link copies this payload to somebody inside this process, who may keep it for ever: whoever lent the memory is told (R2.13).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void NoteCopied()
    {
        if ((Segment & SegmentFlags.ZeroCopy) != 0)
        {
            NoteFragmentsCopied();
        }
    }

    /// <summary>Copies payload bytes from <paramref name="offset"/> on; returns how many were there.</summary>
    public int CopyPayloadTo(int offset, Span<byte> destination)
    {
        int done = 0;
        for (int i = 0; i < FragmentCount && done < destination.Length; i++)
        {
            ref Fragment fragment = ref SlotAt(i);
            if (offset >= fragment.Length)
            {
                offset -= fragment.Length;
                continue;
            }

            int take = Math.Min(destination.Length - done, fragment.Length - offset);
            new ReadOnlySpan<byte>(fragment.Address + offset, take).CopyTo(destination[done..]);
            done += take;
            offset = 0;
        }

        return done;
    }

    /// <summary>Opens <paramref name="count"/> bytes in front of the head for a header and returns them, uncleared. Room must have been rented with <see cref="TryRentHead"/>.</summary>
    public Span<byte> PushHead(int count)
    {
        _headStart -= count;
        Debug.Assert(_headStart >= 0);
        return new Span<byte>(_head!.Address + _headStart, count);
    }

    /// <summary>Takes <paramref name="count"/> bytes off the front of the head again.</summary>
    public void PopHead(int count)
    {
        _headStart += count;
        Debug.Assert(_headStart <= _headEnd);
    }

    public bool TryRentHead(bool forced = false)
    {
        Debug.Assert(_head is null);
        if (_pool.RentSlab(PacketPool.TinySlab, forced) is not { } head)
        {
            return false;
        }

        AttachHead(head);
        return true;
    }

    internal void AttachHead(Slab head)
    {
        _head = head;
        _headStart = _headEnd = HeadRoom;
        HeadTrueSize += PacketPool.TinySlab;
        TrueSize += PacketPool.TinySlab;
    }

    /// <summary>Gives the buffer back. Every fragment's reference is dropped.</summary>
    public void Free()
    {
        if (!_rented)
        {
            throw new InvalidOperationException("A packet buffer was freed twice; this is a defect in Penstock.");
        }

        _rented = false;
        PacketPool.Magazine? magazine = _pool.MagazineOfThread();
        bool keeps = magazine is { HasRoomForAssembled: true };
        if (keeps && FragmentCount == 1 && !_borrows && _head is null && SlotAt(0).Owner is Slab tiny && tiny.IsTinyOf(_pool))
        {
            // The slab of its payload will do for the next one, or for headers.
            PacketPool.DebugPoison(tiny);
            _head = tiny;
        }
        else
        {
            for (int i = 0; i < FragmentCount && !_borrows; i++)
            {
                PayloadOwner owner = SlotAt(i).Owner;
                if (owner is Slab slab)
                {
                    slab.Release(_pool, magazine);
                }
                else
                {
                    owner.Release();
                }
            }
        }

        _borrows = false;
        ClearSlots(0);
        Length = 0;
        keeps &= _head is not null;
        if (_head is not null && !keeps)
        {
            _head.Release(_pool, magazine);
            _head = null;
        }

        DeviceAccount? account = Device;
        int charged = DeviceCharge;
        ResetState();
        if (keeps)
        {
            magazine!.KeepAssembled(this);
        }
        else
        {
            _pool.Return(this, magazine);
        }

        account?.OnDeviceDone(charged);
    }

    internal void OnRented()
    {
        _rented = true;
        _hasOverflow = false;
        HeadTrueSize = ObjectSize;
        TrueSize = ObjectSize;
        _headStart = _headEnd = 0;
    }

    /// <summary>As <see cref="OnRented"/>, of one that has kept its head.</summary>
    internal void OnRentedWithHead()
    {
        OnRented();
        AttachHead(_head!);
    }

    /// <summary>Takes the tiny slab that it has kept and not used; null when it has none.</summary>
    internal Slab? DetachSlab()
    {
        Slab? kept = _head;
        _head = null;
        return kept;
    }

    private void NoteFragmentsCopied()
    {
        for (int i = 0; i < FragmentCount; i++)
        {
            SlotAt(i).Owner.NoteCopied();
        }
    }

    private void AttachOverflow()
    {
        // The table stays with the object once made; it is charged only while in use.
        _overflow ??= new Fragment[MaximumFragments - InlineFragments];
        _hasOverflow = true;
        HeadTrueSize += OverflowSize;
        TrueSize += OverflowSize;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref Fragment SlotAt(int index)
    {
        if (index < InlineFragments)
        {
            return ref _inline[index];
        }

        return ref _overflow![index - InlineFragments];
    }

    /// <summary>Forgets slots from <paramref name="count"/> on (their references are gone) so that no owner object is kept alive.</summary>
    private void ClearSlots(int count)
    {
        for (int i = count; i < FragmentCount; i++)
        {
            SlotAt(i) = default;
        }

        FragmentCount = count;
    }

    [InlineArray(InlineFragments)]
    private struct InlineFragmentTable
    {
        private Fragment _first;
    }
}
