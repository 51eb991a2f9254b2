using System.Diagnostics;
using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Buffers in the order of their sequence numbers: a linked list to walk and a treap over the same buffers to find in O(log n). The
/// retransmit queue and the out-of-order queue are both one. Ranges in it never overlap. Everything is intrusive; nothing is allocated.
/// </summary>
internal sealed class SequenceQueue
{
    private readonly PacketList _inOrder = new();
    private PacketBuffer? _root;
    private uint _seed = 0x9E3779B9;

    public PacketBuffer? First => _inOrder.First;

    public PacketBuffer? Last => _inOrder.Last;

    public int Count => _inOrder.Count;

    /// <summary>Adds behind everything else.</summary>
    public void Append(PacketBuffer buffer) => InsertAfter(Last, buffer);

    /// <summary>Adds where its sequence number belongs.</summary>
    public void Insert(PacketBuffer buffer) => InsertAfter(FindAtOrBefore(buffer.Sequence), buffer);

    /// <summary>Adds behind <paramref name="previous"/>; in front of everything when that is null.</summary>
    public void InsertAfter(PacketBuffer? previous, PacketBuffer buffer)
    {
        _inOrder.InsertAfter(previous, buffer);
        Debug.Assert(buffer.TreeLeft is null && buffer.TreeRight is null);
        buffer.TreePriority = NextPriority();
        if (_root is null)
        {
            _root = buffer;
        }
        else
        {
            TreeInsert(buffer);
        }
    }

    public void Remove(PacketBuffer buffer)
    {
        if (_inOrder.Count == 1)
        {
            Debug.Assert(_root == buffer);
            _root = null;
        }
        else
        {
            TreeRemove(buffer);
            buffer.TreeLeft = buffer.TreeRight = null;
        }

        _inOrder.Remove(buffer);
    }

    /// <summary>The last buffer that begins at or before <paramref name="sequence"/>, or null.</summary>
    public PacketBuffer? FindAtOrBefore(SequenceNumber sequence)
    {
        PacketBuffer? found = null;
        PacketBuffer? node = _root;
        while (node is not null)
        {
            if (node.Sequence.AtOrBefore(sequence))
            {
                found = node;
                node = node.TreeRight;
            }
            else
            {
                node = node.TreeLeft;
            }
        }

        return found;
    }

    /// <summary>The first buffer whose end lies behind <paramref name="sequence"/>: where a range that begins there has its first bytes.</summary>
    public PacketBuffer? FindEndingAfter(SequenceNumber sequence)
    {
        PacketBuffer? at = FindAtOrBefore(sequence);
        if (at is null)
        {
            return First;
        }

        return at.EndSequence.After(sequence) ? at : at.Next;
    }

    /// <summary>Checks order, links and tree; null when all is well. For tests' teardown.</summary>
    public string? Verify()
    {
        int seen = 0;
        PacketBuffer? previous = null;
        for (PacketBuffer? buffer = First; buffer is not null; buffer = buffer.Next)
        {
            seen++;
            if (buffer.Previous != previous)
            {
                return "a back link is wrong";
            }

            if (previous is not null && buffer.Sequence.Before(previous.EndSequence))
            {
                return $"ranges overlap at {buffer.Sequence}";
            }

            if (FindAtOrBefore(buffer.Sequence) != buffer)
            {
                return $"the tree does not find {buffer.Sequence}";
            }

            previous = buffer;
        }

        return seen == Count && previous == Last ? null : $"counted {seen}, expected {Count}";
    }

    private uint NextPriority()
    {
        // xorshift32: cheap, and the same in every run. A peer chooses sequence numbers, never priorities.
        _seed ^= _seed << 13;
        _seed ^= _seed >> 17;
        _seed ^= _seed << 5;
        return _seed;
    }

    private void TreeInsert(PacketBuffer buffer)
    {
        // Descend to the first node of lower priority, then split that subtree around the newcomer.
        ref PacketBuffer? link = ref _root;
        while (link is not null && link.TreePriority >= buffer.TreePriority)
        {
            if (buffer.Sequence.Before(link.Sequence))
            {
                link = ref link.TreeLeft;
            }
            else
            {
                link = ref link.TreeRight;
            }
        }

        PacketBuffer? rest = link;
        link = buffer;
        ref PacketBuffer? left = ref buffer.TreeLeft;
        ref PacketBuffer? right = ref buffer.TreeRight;
        while (rest is not null)
        {
            if (buffer.Sequence.Before(rest.Sequence))
            {
                right = rest;
                right = ref rest.TreeLeft;
                rest = rest.TreeLeft;
            }
            else
            {
                left = rest;
                left = ref rest.TreeRight;
                rest = rest.TreeRight;
            }
        }

        left = null;
        right = null;
    }

    private void TreeRemove(PacketBuffer buffer)
    {
        ref PacketBuffer? link = ref _root;
        while (link != buffer)
        {
            Debug.Assert(link is not null, "a buffer is removed from a queue it is not in");
            if (buffer.Sequence.Before(link.Sequence))
            {
                link = ref link.TreeLeft;
            }
            else
            {
                link = ref link.TreeRight;
            }
        }

        PacketBuffer? left = buffer.TreeLeft;
        PacketBuffer? right = buffer.TreeRight;
        while (left is not null && right is not null)
        {
            if (left.TreePriority >= right.TreePriority)
            {
                link = left;
                link = ref left.TreeRight;
                left = left.TreeRight;
            }
            else
            {
                link = right;
                link = ref right.TreeLeft;
                right = right.TreeLeft;
            }
        }

        link = left ?? right;
    }
}
