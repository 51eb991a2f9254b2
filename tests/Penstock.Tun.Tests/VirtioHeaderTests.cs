using System.Runtime.InteropServices;
using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Tun.Tests;

/// <summary>Reading a virtio header that nobody vouches for.</summary>
public sealed class VirtioHeaderTests
{
    [Fact]
    public void The_header_has_the_size_and_layout_of_the_kernels()
    {
        Assert.Equal(VirtioHeader.Size, Marshal.SizeOf<VirtioHeader>());
        Assert.Equal(6, (int)Marshal.OffsetOf<VirtioHeader>(nameof(VirtioHeader.ChecksumStart)));
    }

    [Fact]
    public void No_header_and_no_packet_lead_out_of_bounds_or_to_a_wrong_count()
    {
        var random = new Random(3);
        var pool = new PacketPool(1 << 20);
        byte[] bytes = new byte[300];
        int accepted = 0;
        for (int i = 0; i < 200_000; i++)
        {
            random.NextBytes(bytes);

            // Half of them come near to what is accepted.
            if (random.Next(2) == 0)
            {
                bytes[0] = (byte)(0x40 | random.Next(4, 8));
                bytes[9] = IpProtocol.Tcp;
            }

            ReadOnlySpan<byte> packet = bytes.AsSpan(0, random.Next(1, bytes.Length));
            var header = new VirtioHeader
            {
                Flags = (byte)random.Next(8),
                SegmentationType = (byte)(random.Next(2) == 0 ? VirtioHeader.Tcp4 : random.Next(256)),
                HeaderLength = (ushort)random.Next(400),
                SegmentSize = (ushort)random.Next(100),
                ChecksumStart = (ushort)random.Next(400),
                ChecksumOffset = (ushort)random.Next(30),
            };
            PacketBuffer buffer = pool.RentBuffer()!;
            if (header.TryApply(packet, buffer))
            {
                accepted++;
                Assert.True(buffer.SegmentCount >= 1);
                Assert.Equal(buffer.SegmentCount > 1, buffer.GsoSize > 0);
                Assert.True((buffer.SegmentCount - 1) * buffer.GsoSize < packet.Length);
                Assert.True(buffer.GsoSize == 0 || buffer.GsoSize == header.SegmentSize);
            }

            buffer.Free();
        }

        Assert.InRange(accepted, 1000, 199_000);
    }
}
