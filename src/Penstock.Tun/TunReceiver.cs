using System.Runtime.InteropServices;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.SystemCalls;
using Penstock.Time;

namespace Penstock;

/// <summary>Why a burst of reads ended.</summary>
internal enum BurstEnd
{
    /// <summary>Nothing more is there.</summary>
    Empty,

    /// <summary>Enough for one go; there may be more.</summary>
    Limit,

    /// <summary>The device is gone, and the link knows.</summary>
    Failed,
}

/// <summary>
/// Reads packets from one queue into memory of the stack's pool. Reads go into one large slab, which leaves with a packet only if the
/// packet fills a good part of it; it is replaced before it leaves, so there is always memory to read, and if need be lose, a packet
/// with.
/// </summary>
internal sealed unsafe class TunReceiver(TunLink link, int queue) : IDisposable
{
    private const int BurstPackets = 64;

    /// <summary>Super-segments of 64 KiB fill a burst sooner: acknowledgments must not wait for half a millisecond of copying.</summary>
    private const int BurstBytes = 256 * 1024;

    /// <summary>Packets that share a look at the clock, 30 ns each, which is a few percent of a read.</summary>
    private const int PacketsPerStamp = 8;

    /// <summary>Where the packet begins in the slab: aligned, with room for the virtio header in front.</summary>
    private const int PacketOffset = 16;

    private Slab? _slab;

    /// <summary>
    /// Reads until nothing more is there or the burst is full, and delivers to <paramref name="client"/>. Only the queue's driver calls
    /// it.
    /// </summary>
    public BurstEnd ReadBurst(int descriptor, ILinkClient client, Driver clock)
    {
        if (_slab is null && (_slab = client.Pool.RentSlab(PacketPool.LargeSlab, forced: true)) is null)
        {
            link.Fail(new InsufficientMemoryException(
                $"The stack's memory limit leaves no room for the receive buffer of '{link.Name}'. "
                + "Raise NetworkStackOptions.MemoryLimit."));
            return BurstEnd.Failed;
        }

        int header = link.HasOffloads ? VirtioHeader.Size : 0;
        long now = 0;
        int bytes = 0;
        for (int i = 0; i < BurstPackets && bytes < BurstBytes; i++)
        {
            byte* start = _slab.Address + PacketOffset - header;
            nint read = LibC.Read(descriptor, start, (nuint)(PacketPool.LargeSlab - PacketOffset + header));
            if (read <= 0)
            {
                int error = read == 0 ? 0 : Marshal.GetLastSystemError();
                if (error == ErrorNumber.Interrupted)
                {
                    continue;
                }

                if (error == ErrorNumber.TryAgain)
                {
                    return BurstEnd.Empty;
                }

                link.Fail(TunErrors.DeviceGone(link.Name, error));
                return BurstEnd.Failed;
            }

            int length = (int)read - header;
            bytes += (int)read;
            if (i % PacketsPerStamp == 0)
            {
                now = clock.NowNanos;
            }

            if (length <= 0)
            {
                client.OnReceiveDropped();
            }
            else
            {
                Deliver(client, length, now);
            }
        }

        return BurstEnd.Limit;
    }

    public void Dispose()
    {
        _slab?.Release();
        _slab = null;
    }

    private void Deliver(ILinkClient client, int length, long now)
    {
        byte* address = _slab!.Address + PacketOffset;
        var bytes = new ReadOnlySpan<byte>(address, length);
        PacketBuffer? packet = length <= PacketPool.SendSlab ? CopyOut(client.Pool, bytes) : TakeSlab(client.Pool, address, length);
        if (packet is null)
        {
            client.OnReceiveDropped();
            return;
        }

        if (link.HasOffloads && !(*(VirtioHeader*)(address - VirtioHeader.Size)).TryApply(bytes, packet))
        {
            client.OnReceiveDropped();
            packet.Free();
            return;
        }

        packet.ArrivalNanos = now;
        link.NoteRead(bytes, queue);
        client.Deliver(packet, queue);
    }

    /// <summary>A small packet moves to a slab of its size, so that it does not pin, and its socket does not pay for, 66 KiB.</summary>
    private static PacketBuffer? CopyOut(PacketPool pool, ReadOnlySpan<byte> bytes)
    {
        PacketBuffer? packet = PacketCopy.TryRent(pool, bytes.Length, out Slab? slab);
        if (packet is not null)
        {
            bytes.CopyTo(slab!.Array);
        }

        return packet;
    }

    private PacketBuffer? TakeSlab(PacketPool pool, byte* address, int length)
    {
        PacketBuffer? packet = pool.RentBuffer();
        Slab? next = packet is null ? null : pool.RentSlab(PacketPool.LargeSlab);
        if (next is null)
        {
            packet?.Free();
            return null;
        }

        Slab filled = _slab!;
        packet!.Append(filled, address, length);
        packet.TrueSize += filled.Size;
        _slab = next;
        return packet;
    }
}
