using System.Buffers.Binary;
using Penstock.Wire;

namespace Penstock;

/// <summary>
/// Remembers which queue of a multi-queue device a flow was last read from. The kernel steers a flow to the queue it was last
/// <em>written</em> to, so a write on another queue would move the flow to another thread. A table by hash, not by flow: two flows that
/// share a slot may share a queue, which costs speed and never correctness. Any thread; entries are single bytes.
/// </summary>
internal sealed class FlowQueues(int queues)
{
    private const int Slots = 4096;

    private readonly byte[] _queueOf = MakeTable(queues);

    /// <summary>A packet from the kernel was read from <paramref name="queue"/>.</summary>
    public void OnRead(ReadOnlySpan<byte> packet, int queue)
    {
        ref byte slot = ref _queueOf[SlotOf(packet)];
        if (slot != queue)
        {
            Volatile.Write(ref slot, (byte)queue);
        }
    }

    /// <summary>The queue that a packet to the kernel, of which <paramref name="head"/> is the beginning, shall use.</summary>
    public int QueueOf(ReadOnlySpan<byte> head) => Volatile.Read(ref _queueOf[SlotOf(head)]);

    /// <summary>The same slot for both directions: addresses and ports are added, not ordered.</summary>
    private static int SlotOf(ReadOnlySpan<byte> packet)
    {
        if (packet.Length < IPv4Header.MinLength || packet[0] >> 4 != 4)
        {
            return 0;
        }

        uint sum = BinaryPrimitives.ReadUInt32BigEndian(packet[12..]) + BinaryPrimitives.ReadUInt32BigEndian(packet[16..]);
        int transport = (packet[0] & 0xF) * 4;
        bool hasPorts = packet[9] is IpProtocol.Tcp or IpProtocol.Udp;
        if (hasPorts && packet.Length >= transport + 4)
        {
            int ports = BinaryPrimitives.ReadUInt16BigEndian(packet[transport..])
                + BinaryPrimitives.ReadUInt16BigEndian(packet[(transport + 2)..]);
            sum += (uint)ports << 12;
        }

        return (int)((sum * 0x9E37_79B1u) >> 20);
    }

    private static byte[] MakeTable(int queues)
    {
        // Flows that we begin are spread over the queues before anything was read.
        var table = new byte[Slots];
        for (int i = 0; i < table.Length; i++)
        {
            table[i] = (byte)(i % queues);
        }

        return table;
    }
}
