using System.Buffers.Binary;
using Penstock.Wire;

namespace Penstock.Fuzz;

/// <summary>A TCP packet made by hand, as wrong as its maker wants it: every field is written as given, and the checksums are right unless told otherwise.</summary>
internal sealed class RawSegment
{
    public IpAddress Source;
    public IpAddress Destination;
    public ushort SourcePort;
    public ushort DestinationPort;
    public uint Sequence;
    public uint Acknowledgment;
    public TcpFlags Flags = TcpFlags.Ack;
    public ushort Window = 65535;
    public ushort Urgent;
    public byte[] Options = [];
    public byte[] Payload = [];
    public ushort Fragment = IPv4Header.DontFragmentBit;
    public byte TimeToLive = 64;
    public byte TypeOfService;
    public ushort ChecksumError;

    /// <summary>Bytes of the sequence space: payload, SYN and FIN.</summary>
    public uint Span => (uint)Payload.Length + ((Flags & TcpFlags.Syn) != 0 ? 1u : 0) + ((Flags & TcpFlags.Fin) != 0 ? 1u : 0);

    public byte[] ToPacket()
    {
        int options = Math.Min(40, (Options.Length + 3) & ~3);
        int headers = IPv4Header.MinLength + TcpHeader.MinLength + options;
        byte[] packet = new byte[headers + Payload.Length];
        new IPv4Header
        {
            Source = Source,
            Destination = Destination,
            Protocol = IpProtocol.Tcp,
            TimeToLive = TimeToLive,
            TypeOfService = TypeOfService,
            TotalLength = (ushort)packet.Length,
            FragmentField = Fragment,
            Identification = (ushort)(Sequence >> 4),
        }.Write(packet);
        Span<byte> tcp = packet.AsSpan(IPv4Header.MinLength);
        TcpHeader.Write(tcp, new TcpSegmentHeader
        {
            SourcePort = SourcePort,
            DestinationPort = DestinationPort,
            Sequence = new SequenceNumber(Sequence),
            Acknowledgment = new SequenceNumber(Acknowledgment),
            Flags = Flags,
            Window = Window,
            UrgentPointer = Urgent,
            HeaderLength = (byte)(TcpHeader.MinLength + options),
        });
        Options.AsSpan(0, Math.Min(Options.Length, options)).CopyTo(tcp[TcpHeader.MinLength..]);
        Payload.CopyTo(packet.AsSpan(headers));
        CompleteChecksum(tcp, Source, Destination, ChecksumError);
        return packet;
    }

    /// <summary>Writes options that make sense, as a well-behaved peer does.</summary>
    public void SetOptions(in TcpOptions options)
    {
        Options = new byte[TcpOptionsWriter.LengthOf(options)];
        TcpOptionsWriter.Write(Options, options);
    }

    public static void CompleteChecksum(Span<byte> tcp, IpAddress source, IpAddress destination, ushort error = 0)
    {
        BinaryPrimitives.WriteUInt16BigEndian(tcp[TcpHeader.ChecksumOffset..], 0);
        uint sum = Checksum.Add(tcp, Checksum.PseudoHeader(source, destination, IpProtocol.Tcp, (uint)tcp.Length));
        BinaryPrimitives.WriteUInt16BigEndian(tcp[TcpHeader.ChecksumOffset..], (ushort)(Checksum.Finish(sum) ^ error));
    }

    /// <summary>Puts both checksums of a TCP packet right, after somebody has changed it.</summary>
    public static void Repair(Span<byte> packet)
    {
        if (packet.Length < IPv4Header.MinLength + TcpHeader.MinLength || packet[0] != 0x45)
        {
            return;
        }

        BinaryPrimitives.WriteUInt16BigEndian(packet[IPv4Header.ChecksumOffset..], 0);
        BinaryPrimitives.WriteUInt16BigEndian(packet[IPv4Header.ChecksumOffset..], Checksum.Finish(Checksum.Add(packet[..IPv4Header.MinLength])));
        CompleteChecksum(packet[IPv4Header.MinLength..], IpAddress.ReadIPv4(packet[12..]), IpAddress.ReadIPv4(packet[16..]));
    }

    /// <summary>An ICMP error that quotes the first 28 bytes of a TCP packet that never needs to have existed.</summary>
    public static byte[] IcmpError(IpAddress from, IpAddress to, IcmpType type, byte code, uint rest, ReadOnlySpan<byte> quoted)
    {
        Span<byte> message = stackalloc byte[IcmpHeader.MaxErrorDatagram];
        int length = IcmpHeader.WriteError(message, type, code, rest, quoted);
        byte[] packet = new byte[IPv4Header.MinLength + length];
        new IPv4Header
        {
            Source = from,
            Destination = to,
            Protocol = IpProtocol.Icmp,
            TimeToLive = 64,
            TotalLength = (ushort)packet.Length,
        }.Write(packet);
        message[..length].CopyTo(packet.AsSpan(IPv4Header.MinLength));
        return packet;
    }
}
