using System.Buffers.Binary;
using System.Net;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.Wire;

namespace Penstock.Tests.Links;

/// <summary>Packets as the stack's TCP gives them to a link, made by hand.</summary>
internal static class TestPackets
{
    public const int HeaderLength = IPv4Header.MinLength + TcpHeader.MinLength;

    public static readonly IpAddress Source = IpAddress.From(IPAddress.Parse("10.0.0.1"));
    public static readonly IpAddress Destination = IpAddress.From(IPAddress.Parse("10.0.0.2"));

    /// <summary>
    /// A segment whose payload is the bytes of a known sequence, in fragments of the given size, with a partial checksum. A <paramref name="gsoSize"/>
    /// makes it a super-segment.
    /// </summary>
    public static unsafe PacketBuffer Tcp(
        PacketPool pool,
        int payload,
        int gsoSize = 0,
        uint sequence = 1000,
        TcpFlags flags = TcpFlags.Ack,
        int fragmentSize = 16 * 1024,
        ushort identification = 7,
        int optionBytes = 0,
        byte fill = 0)
    {
        PacketBuffer packet = pool.RentBuffer()!;
        Assert.True(packet.TryRentHead());
        for (int offset = 0; offset < payload; offset += fragmentSize)
        {
            int length = Math.Min(fragmentSize, payload - offset);
            Slab slab = pool.RentSlab(length)!;
            for (int i = 0; i < length; i++)
            {
                slab.Array[i] = PayloadByte((uint)(sequence + offset + i), fill);
            }

            packet.Append(slab, slab.Address, length);
            packet.TrueSize += slab.Size;
        }

        int headerLength = TcpHeader.MinLength + optionBytes;
        Span<byte> tcp = packet.PushHead(headerLength);
        tcp.Fill((byte)TcpOptionKind.NoOperation);
        TcpHeader.Write(tcp, new TcpSegmentHeader
        {
            SourcePort = 5000,
            DestinationPort = 80,
            Sequence = new SequenceNumber(sequence),
            Acknowledgment = new SequenceNumber(77),
            Flags = flags,
            Window = 512,
            HeaderLength = (byte)headerLength,
        });
        uint pseudo = Checksum.PseudoHeader(Source, Destination, IpProtocol.Tcp, (uint)(headerLength + payload));
        TcpHeader.WriteChecksum(tcp, Checksum.ToNetwork(pseudo));
        packet.Checksum = ChecksumState.Partial;
        packet.GsoSize = gsoSize;
        packet.SegmentCount = gsoSize > 0 ? Math.Max(1, (payload + gsoSize - 1) / gsoSize) : 1;
        var ip = new IPv4Header
        {
            Source = Source,
            Destination = Destination,
            Protocol = IpProtocol.Tcp,
            TimeToLive = 64,
            TotalLength = (ushort)(packet.TotalLength + IPv4Header.MinLength),
            FragmentField = IPv4Header.DontFragmentBit,
            Identification = identification,
        };
        ip.Write(packet.PushHead(IPv4Header.MinLength));
        packet.ChecksumStart = IPv4Header.MinLength;
        return packet;
    }

    /// <summary>The byte of the stream at a sequence number.</summary>
    public static byte PayloadByte(uint sequence, byte fill = 0) => (byte)((sequence * 31) + (sequence >> 8) + fill);

    public static uint SequenceOf(byte[] packet) => BinaryPrimitives.ReadUInt32BigEndian(packet.AsSpan(24));

    public static bool ChecksumsHold(byte[] packet) =>
        IPv4Header.TryParse(packet, out IPv4Header ip, out _)
        && TcpHeader.ChecksumHolds(ip.Payload(packet), ip.Source, ip.Destination);

    private enum TcpOptionKind : byte
    {
        NoOperation = 1,
    }
}
