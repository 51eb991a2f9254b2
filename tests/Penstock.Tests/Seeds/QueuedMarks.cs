using System.Reflection;
using System.Runtime.InteropServices;
using Penstock.Accounting;
using Penstock.Buffers;
using Penstock.Tcp;

namespace Penstock.Tests.Seeds;

/// <summary>
/// Turns buffers of a retransmit queue into what a zero-copy send leaves there: payload in memory of its own with a reference to count, marks, page rounding, and the ledger to match. Merging alone is looked at
/// this way, without the path that makes such buffers.
/// </summary>
internal static class QueuedMarks
{
    /// <summary>What page rounding adds to the true size of marked payload.</summary>
    public const int Surplus = 96;

    private static readonly FieldInfo s_queue = typeof(TcpConnection).GetField("_retransmitQueue", BindingFlags.Instance | BindingFlags.NonPublic)!;

    public static List<PacketBuffer> Sent(TcpConnection connection)
    {
        var all = new List<PacketBuffer>();
        for (PacketBuffer? buffer = ((RetransmitQueue)s_queue.GetValue(connection)!).First; buffer is not null; buffer = buffer.Next)
        {
            all.Add(buffer);
        }

        return all;
    }

    /// <summary>'C' copied, 'P' pure zero-copy, 'M' both in one buffer.</summary>
    public static CountedMemory? Mark(TcpConnection connection, PacketBuffer buffer, char kind)
    {
        if (kind == 'C')
        {
            return null;
        }

        SocketMemory memory = connection.Memory;
        CountedMemory owner = MoveToOwn(buffer);
        buffer.Segment |= SegmentFlags.ZeroCopy;
        buffer.TrueSize += Surplus;
        if (kind == 'P')
        {
            int charged = buffer.Length;
            buffer.Segment |= SegmentFlags.PureZeroCopy;
            memory.UnchargeSend(charged, charged);
            memory.QueueUncharged(charged + Surplus);
        }
        else
        {
            memory.ForceSchedule(Surplus);
            memory.ChargeSend(Surplus);
        }

        return owner;
    }

    /// <summary>Gives a buffer of one fragment the same bytes in other memory.</summary>
    public static unsafe CountedMemory MoveToOwn(PacketBuffer buffer)
    {
        Assert.Equal(1, buffer.FragmentCount);
        ref Fragment fragment = ref buffer.FragmentAt(0);
        var owner = new CountedMemory(fragment.Span);
        fragment.Owner.Release();
        fragment.Owner = owner;
        fragment.Address = owner.Address;
        return owner;
    }
}

/// <summary>Pinned memory that counts how often it was let go.</summary>
internal sealed unsafe class CountedMemory : PayloadOwner
{
    private readonly byte[] _bytes;

    public CountedMemory(ReadOnlySpan<byte> content)
    {
        _bytes = GC.AllocateArray<byte>(content.Length, pinned: true);
        content.CopyTo(_bytes);
        StartReferences();
    }

    public byte* Address => (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_bytes, 0);

    public int LetGo { get; private set; }

    protected override void OnUnreferenced() => LetGo++;
}
