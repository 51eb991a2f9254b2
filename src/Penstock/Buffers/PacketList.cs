using System.Diagnostics;

namespace Penstock.Buffers;

/// <summary>Buffers in the order they were appended: the write queue of what is not yet sent, and the receive queue.</summary>
internal sealed class PacketList
{
    public PacketBuffer? First { get; private set; }

    public PacketBuffer? Last { get; private set; }

    public int Count { get; private set; }

    public void Append(PacketBuffer buffer)
    {
        Debug.Assert(buffer.Next is null && buffer.Previous is null, "a buffer is appended that another queue has");
        if (Last is { } last)
        {
            buffer.Previous = last;
            last.Next = buffer;
        }
        else
        {
            First = buffer;
        }

        Last = buffer;
        Count++;
    }

    public void InsertAfter(PacketBuffer? previous, PacketBuffer buffer)
    {
        if (previous == Last)
        {
            Append(buffer);
            return;
        }

        PacketBuffer next = previous is null ? First! : previous.Next!;
        buffer.Previous = previous;
        buffer.Next = next;
        next.Previous = buffer;
        if (previous is null)
        {
            First = buffer;
        }
        else
        {
            previous.Next = buffer;
        }

        Count++;
    }

    public void Remove(PacketBuffer buffer)
    {
        // Each link is written only if there is something to write: a reference that is stored costs as much as several numbers.
        Count--;
        if (Count == 0)
        {
            First = Last = null;
            return;
        }

        PacketBuffer? previous = buffer.Previous;
        PacketBuffer? next = buffer.Next;
        if (previous is null)
        {
            First = next;
        }
        else
        {
            previous.Next = next;
            buffer.Previous = null;
        }

        if (next is null)
        {
            Last = previous;
        }
        else
        {
            next.Previous = previous;
            buffer.Next = null;
        }
    }
}
