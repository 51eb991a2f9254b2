using Penstock.Fuzz;
using Penstock.Wire;

namespace Penstock.Tests.Wire;

/// <summary>Hostile bytes, placed so that a read beside them faults where the system lets us: 10^5 packets with fixed seeds.</summary>
public class HostileBytesTests
{
    private const int Rounds = 50_000;

    [Fact]
    public void Random_bytes_never_upset_a_parser()
    {
        using var ground = new Ground();
        var random = new Random(20_240_101);
        for (int i = 0; i < Rounds; i++)
        {
            Span<byte> bytes = ground.Last(random.Next(130));
            random.NextBytes(bytes);
            if (bytes.Length > 0 && (i & 1) == 0)
            {
                bytes[0] = (byte)(0x40 | (bytes[0] & 0xF)); // half of them get beyond the version
            }

            ParserExercise.Everything(bytes);
        }
    }

    [Fact]
    public void Mutated_packets_never_upset_a_parser()
    {
        using var ground = new Ground();
        var random = new Random(20_240_102);
        byte[][] packets = ValidPackets();
        Span<int> reached = stackalloc int[3];
        for (int i = 0; i < Rounds; i++)
        {
            byte[] packet = packets[random.Next(packets.Length)];
            int length = random.Next(4) == 0 ? random.Next(packet.Length + 1) : packet.Length;
            Span<byte> bytes = ground.Last(length);
            packet.AsSpan(0, length).CopyTo(bytes);
            for (int changes = random.Next(6); changes > 0 && length > 0; changes--)
            {
                int at = random.Next(length);
                bytes[at] = random.Next(3) switch
                {
                    0 => (byte)random.Next(256),
                    1 => (byte)(bytes[at] ^ (1 << random.Next(8))),
                    _ => (byte)(random.Next(2) * 255),
                };
            }

            reached[ParserExercise.Everything(bytes)]++;
        }

        // The mutations are worth something only if they are refused and accepted at every depth.
        Assert.True(reached[0] > Rounds / 20 && reached[1] > Rounds / 100 && reached[2] > Rounds / 20);
    }

    [Fact]
    public void The_unmutated_packets_are_accepted()
    {
        foreach (byte[] packet in ValidPackets())
        {
            Assert.Equal(2, ParserExercise.Everything(packet));
            Assert.True(IPv4Header.TryParse(packet, out _, out _));
        }
    }

    private static byte[][] ValidPackets()
    {
        var syn = new TcpOptions
        {
            HasMss = true, Mss = 1460, SackPermitted = true, HasTimestamps = true, TsVal = 1, HasWindowScale = true, WindowScale = 7,
        };
        var sack = new TcpOptions { HasTimestamps = true, TsVal = 5, TsEcr = 6 };
        sack.AddSackBlock(new SackBlock(new SequenceNumber(100), new SequenceNumber(200)));
        sack.AddSackBlock(new SackBlock(new SequenceNumber(300), new SequenceNumber(400)));
        var echo = new byte[40];
        IcmpHeader.Write(echo, IcmpType.EchoRequest, 0, IcmpHeader.EchoRest(1, 2));
        byte[] data = Tcp(new TcpOptions { HasTimestamps = true, TsVal = 7, TsEcr = 8 }, TcpFlags.Ack | TcpFlags.Psh, 40);
        var error = new byte[8 + data.Length];
        IcmpHeader.WriteError(error, IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 1400, data);
        var datagram = new byte[8 + 20];
        UdpHeader.Write(datagram, 53, 53, (ushort)datagram.Length);
        return
        [
            Tcp(syn, TcpFlags.Syn, 0), Tcp(sack, TcpFlags.Ack, 0), data,
            Ip(IpProtocol.Icmp, echo), Ip(IpProtocol.Icmp, error), Ip(IpProtocol.Udp, datagram),
        ];
    }

    private static byte[] Tcp(in TcpOptions options, TcpFlags flags, int payload)
    {
        int header = 20 + TcpOptionsWriter.LengthOf(options);
        var segment = new byte[header + payload];
        TcpHeader.Write(segment, new TcpSegmentHeader { HeaderLength = (byte)header, Flags = flags, Window = 1000 });
        TcpOptionsWriter.Write(segment.AsSpan(20), options);
        return Ip(IpProtocol.Tcp, segment);
    }

    private static byte[] Ip(byte protocol, byte[] payload)
    {
        byte[] packet = [.. new byte[20], .. payload];
        new IPv4Header
        {
            Source = IpAddress.FromIPv4(0x0A000001),
            Destination = IpAddress.FromIPv4(0x0A000002),
            TotalLength = (ushort)packet.Length,
            TimeToLive = 64,
            Protocol = protocol,
        }.Write(packet);
        return packet;
    }

    /// <summary>Memory whose end is a guard page on Linux, an array's end elsewhere.</summary>
    private sealed class Ground : IDisposable
    {
        private readonly GuardedPage? _page = OperatingSystem.IsLinux() ? new GuardedPage() : null;
        private readonly byte[] _array = new byte[4096];

        public Span<byte> Last(int length)
        {
            Span<byte> all = _page is null ? _array : _page.Bytes;
            return all[^length..];
        }

        public void Dispose() => _page?.Dispose();
    }
}
