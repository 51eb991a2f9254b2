using System.Buffers.Binary;
using Penstock.Buffers;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Ip;

/// <summary>
/// Merges TCP segments that follow each other in one flow and arrive in one batch of a worker, so that TCP takes them in one go (Linux: GRO). Payload is
/// moved by reference, never copied; a few flows are held open, only until the batch ends, so nothing is ever late. One for each worker, which alone uses it.
/// </summary>
/// <remarks>
/// The rules are those of Linux's tcp_gro_receive, as observed in version 6.18: a segment joins if addresses, ports, acknowledgment, window, options, flags (but
/// for FIN and PSH), TTL, type of service and DF are equal, its sequence is next and it is no longer than the first. PSH, FIN or a shorter segment ends a
/// merge. What can not be merged delivers what is held of its flow first, so the order within a flow stays. Identification is not looked at: no one
/// splits the result again.
/// </remarks>
internal sealed class ReceiveMerge(IpLayer ip) : IBatchEnd
{
    private const int MaximumHeld = 8;
    private const int MaximumPacket = 65535;
    private const int TcpStart = IPv4Header.MinLength;
    private const int FlagsAt = TcpStart + 13;
    private const byte Ending = (byte)(TcpFlags.Fin | TcpFlags.Psh);
    private const byte NeverMerged = (byte)(TcpFlags.Syn | TcpFlags.Rst | TcpFlags.Urg);

    // In the order in which the flows' packets came.
    private readonly Held[] _held = new Held[MaximumHeld];
    private int _count;

    /// <summary>Takes over a received packet: hands it on, alone or merged, now or at the end of the batch.</summary>
    public void Add(PacketBuffer packet, StackInterface ingress, Worker worker)
    {
        if ((_count == 0 && !worker.HasMorePackets) || !TryRead(packet, out Segment segment))
        {
            ip.Input(packet, ingress, worker);
            return;
        }

        int index = Find(packet.FirstSpan, ingress);
        if (!segment.MayMerge || !IsSound(packet, segment))
        {
            Deliver(index, worker);
            ip.Input(packet, ingress, worker);
            return;
        }

        if (index >= 0)
        {
            if (TryAppend(ref _held[index], packet, segment))
            {
                if (segment.Ends || segment.Payload < _held[index].GsoSize)
                {
                    Deliver(index, worker);
                }

                return;
            }

            Deliver(index, worker);
        }

        if (segment.Ends || !worker.HasMorePackets)
        {
            ip.Input(packet, ingress, worker);
            return;
        }

        if (_count == MaximumHeld)
        {
            Deliver(0, worker);
        }

        // What a link has padded must not come to stand between two payloads.
        packet.TrimTo(segment.TotalLength);
        packet.SegmentCount = 1;
        _held[_count++] = new Held
        {
            Packet = packet,
            Ingress = ingress,
            HeaderLength = segment.TotalLength - segment.Payload,
            GsoSize = segment.Payload,
            NextSequence = SequenceOf(packet.FirstSpan) + (uint)segment.Payload,
        };
    }

    public void OnBatchEnd(Worker worker)
    {
        while (_count > 0)
        {
            Deliver(0, worker);
        }
    }

    /// <summary>
    /// Reads what decides about merging; false for anything but TCP over IPv4 without IP options. A packet of several fragments, as come over a cable that passes references, has its headers
    /// in the first; it is not merged, but does not overtake either.
    /// </summary>
    private static bool TryRead(PacketBuffer packet, out Segment segment)
    {
        segment = default;
        ReadOnlySpan<byte> bytes = packet.FirstSpan;
        if (bytes.Length < IPv4Header.MinLength + TcpHeader.MinLength
            || bytes[0] != 0x45
            || bytes[9] != IpProtocol.Tcp
            || (BinaryPrimitives.ReadUInt16BigEndian(bytes[6..]) & ~IPv4Header.DontFragmentBit) != 0)
        {
            return false;
        }

        int total = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        int tcpHeader = (bytes[TcpStart + 12] >> 4) * 4;
        if (total > packet.Length || tcpHeader < TcpHeader.MinLength || TcpStart + tcpHeader > Math.Min(total, bytes.Length))
        {
            return false;
        }

        byte flags = bytes[FlagsAt];
        segment = new Segment
        {
            TotalLength = total,
            Payload = total - TcpStart - tcpHeader,
            Ends = (flags & Ending) != 0,
        };
        segment.MayMerge = segment.Payload > 0 && (flags & NeverMerged) == 0 && packet.GsoSize == 0 && packet.FragmentCount == 1;
        return true;
    }

    /// <summary>
    /// Verifies both checksums unless the link has: a merged packet has no checksum of its own any more, so nothing unsound may get into it.
    /// </summary>
    private static bool IsSound(PacketBuffer packet, in Segment segment)
    {
        if (packet.Checksum == ChecksumState.Verified)
        {
            return true;
        }

        ReadOnlySpan<byte> bytes = packet.FirstSpan;
        if (!Checksum.IsValid(Checksum.Add(bytes[..TcpStart]))
            || !TcpHeader.ChecksumHolds(bytes[TcpStart..segment.TotalLength], IpAddress.ReadIPv4(bytes[12..]), IpAddress.ReadIPv4(bytes[16..])))
        {
            return false;
        }

        packet.Checksum = ChecksumState.Verified;
        return true;
    }

    private static uint SequenceOf(ReadOnlySpan<byte> packet) => BinaryPrimitives.ReadUInt32BigEndian(packet[(TcpStart + 4)..]);

    private int Find(ReadOnlySpan<byte> packet, StackInterface ingress)
    {
        // Addresses and ports stand next to each other: there are no IP options.
        ReadOnlySpan<byte> flow = packet[12..(TcpStart + 4)];
        for (int i = 0; i < _count; i++)
        {
            ref Held held = ref _held[i];
            if (held.Ingress == ingress && held.Packet.FirstSpan[12..(TcpStart + 4)].SequenceEqual(flow))
            {
                return i;
            }
        }

        return -1;
    }

    private static bool TryAppend(ref Held held, PacketBuffer packet, in Segment segment)
    {
        Span<byte> first = held.Packet.FirstSpan;
        ReadOnlySpan<byte> next = packet.FirstSpan;
        const byte cwr = (byte)TcpFlags.Cwr;
        int headerLength = segment.TotalLength - segment.Payload;
        if (SequenceOf(next) != held.NextSequence
            || segment.Payload > held.GsoSize
            || headerLength != held.HeaderLength
            || held.Packet.Length + segment.Payload > MaximumPacket
            || held.Packet.FragmentCount == PacketBuffer.MaximumFragments
            || (next[FlagsAt] & cwr) != 0
            || ((next[FlagsAt] ^ first[FlagsAt]) & ~Ending) != 0
            || next[FlagsAt - 1] != first[FlagsAt - 1]
            || next[1] != first[1]
            || next[6] != first[6]
            || next[8] != first[8]
            || !next[(TcpStart + 8)..(TcpStart + 12)].SequenceEqual(first[(TcpStart + 8)..(TcpStart + 12)])
            || !next[(TcpStart + 14)..(TcpStart + 16)].SequenceEqual(first[(TcpStart + 14)..(TcpStart + 16)])
            || !next[(TcpStart + TcpHeader.MinLength)..headerLength].SequenceEqual(first[(TcpStart + TcpHeader.MinLength)..headerLength]))
        {
            return false;
        }

        first[FlagsAt] |= (byte)(next[FlagsAt] & Ending);
        packet.TrimTo(segment.TotalLength);
        packet.TrimFront(headerLength);

        // The payload's memory is charged to who holds it now; the buffer that brought it goes back.
        held.Packet.TrueSize += packet.TrueSize - packet.HeadTrueSize;
        held.Packet.TakePayload(packet);
        packet.Free();
        held.Packet.SegmentCount++;
        held.NextSequence += (uint)segment.Payload;
        return true;
    }

    /// <summary>Hands on what is held at <paramref name="index"/>; nothing for -1.</summary>
    private void Deliver(int index, Worker worker)
    {
        if (index < 0)
        {
            return;
        }

        Held held = _held[index];
        _count--;
        for (int i = index; i < _count; i++)
        {
            _held[i] = _held[i + 1];
        }

        _held[_count] = default;
        PacketBuffer packet = held.Packet;
        if (packet.SegmentCount > 1)
        {
            held.Ingress.OnMerged(packet.SegmentCount - 1);
            packet.GsoSize = held.GsoSize;
            Span<byte> header = packet.FirstSpan[..TcpStart];
            BinaryPrimitives.WriteUInt16BigEndian(header[2..], (ushort)packet.Length);
            BinaryPrimitives.WriteUInt16BigEndian(header[IPv4Header.ChecksumOffset..], 0);
            BinaryPrimitives.WriteUInt16BigEndian(header[IPv4Header.ChecksumOffset..], Checksum.Finish(Checksum.Add(header)));
        }

        ip.Input(packet, held.Ingress, worker);
    }

    /// <summary>What was read of a packet.</summary>
    private struct Segment
    {
        /// <summary>Bytes of the IP packet, without a link's padding.</summary>
        public int TotalLength;
        public int Payload;

        /// <summary>FIN or PSH: nothing is merged behind it.</summary>
        public bool Ends;
        public bool MayMerge;
    }

    /// <summary>A packet that waits for more of its flow.</summary>
    private struct Held
    {
        public PacketBuffer Packet;
        public StackInterface Ingress;

        /// <summary>IP and TCP header with options.</summary>
        public int HeaderLength;
        public int GsoSize;
        public uint NextSequence;
    }
}
