namespace Penstock.Buffers;

/// <summary>Buffers in the order they were appended: the write queue of what is not yet sent, and the receive queue.</summary>
internal sealed class PacketList
{
    public PacketBuffer? First { get; private set; }

    public PacketBuffer? Last { get; private set; }

    public int Count { get; private set; }

    public void Append(PacketBuffer buffer) => InsertAfter(Last, buffer);

    public void InsertAfter(PacketBuffer? previous, PacketBuffer buffer)
    {
        buffer.Previous = previous;
        buffer.Next = previous is null ? First : previous.Next;
        if (buffer.Next is null)
        {
            Last = buffer;
        }
        else
        {
            buffer.Next.Previous = buffer;
        }

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
        if (buffer.Previous is null)
        {
            First = buffer.Next;
        }
        else
        {
            buffer.Previous.Next = buffer.Next;
        }

        if (buffer.Next is null)
        {
            Last = buffer.Previous;
        }
        else
        {
            buffer.Next.Previous = buffer.Previous;
        }

        buffer.Next = buffer.Previous = null;
        Count--;
    }
}
