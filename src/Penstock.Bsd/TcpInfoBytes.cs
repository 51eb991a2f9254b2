using System.Buffers.Binary;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Bsd;

/// <summary>Writes Linux's struct tcp_info: the fields that the stack knows, in the kernel's places and units (microseconds; milliseconds for the four "last" times). The others are 0.</summary>
internal static class TcpInfoBytes
{
    /// <summary>sizeof(struct tcp_info) of Linux 6.18.</summary>
    private const int Size = 280;

    /// <summary>Writes as much as fits; the number of bytes.</summary>
    public static int Write(TcpConnection? connection, bool isListening, Span<byte> value)
    {
        Span<byte> to = stackalloc byte[Size];
        to.Clear();
        if (connection is null)
        {
            to[0] = isListening ? (byte)10 : (byte)7;
        }
        else
        {
            Fill(connection, connection.Snapshot(), to);
        }

        int count = Math.Min(Size, value.Length);
        to[..count].CopyTo(value);
        return count;
    }

    private static void Fill(TcpConnection connection, TcpInfo info, Span<byte> to)
    {
        to[0] = StateNumber(info.State);
        to[1] = CongestionNumber(info.CongestionState);
        to[2] = (byte)info.Retransmits;
        to[3] = (byte)info.Probes;
        to[4] = (byte)info.Backoff;
        to[5] = (byte)((info.Timestamps ? 1 : 0) | (info.Sack ? 2 : 0) | (info.WindowScale.Send >= 0 ? 4 : 0));
        to[6] = (byte)(Math.Max(0, info.WindowScale.Send) | (Math.Max(0, info.WindowScale.Receive) << 4));
        ReadOnlySpan<long> numbers =
        [
            Micros(info.RetransmissionTimeout), Micros(info.AckTimeout), info.SendMss, info.ReceiveMss,
            info.Unacknowledged, info.Sacked, info.Lost, info.RetransmitsOut, 0,
            0, 0, 0, 0,
            info.PathMtu, connection.ReceiveThreshold, Micros(info.RoundTripTime), Micros(info.RoundTripVariance),
            info.SlowStartThreshold, info.CongestionWindow, info.AdvertisedMss, info.Reordering,
            Micros(info.ReceiverRoundTripTime), 0, info.TotalRetransmits,
        ];
        for (int i = 0; i < numbers.Length; i++)
        {
            Put32(to, 8 + (4 * i), numbers[i]);
        }

        Put64(to, 112, -1); // tcpi_max_pacing_rate: no limit
        Put64(to, 120, info.BytesAcked);
        Put64(to, 128, info.BytesReceived);
        Put32(to, 136, info.SegmentsOut);
        Put32(to, 140, info.SegmentsIn);
        Put32(to, 144, info.NotSent);
        Put32(to, 148, Micros(info.MinimumRoundTripTime));
        Put64(to, 160, info.DeliveryRate);
        Put32(to, 192, info.Delivered);
        Put64(to, 200, info.BytesSent);
        Put64(to, 208, info.BytesRetransmitted);
        Put32(to, 228, info.SendWindow);
        Put32(to, 232, info.ReceiveWindow);
    }

    private static void Put32(Span<byte> to, int at, long value) => BinaryPrimitives.WriteUInt32LittleEndian(to[at..], (uint)Math.Clamp(value, 0, uint.MaxValue));

    private static void Put64(Span<byte> to, int at, long value) => BinaryPrimitives.WriteInt64LittleEndian(to[at..], value);

    private static long Micros(TimeSpan span) => Nanos.From(span) / Nanos.PerMicrosecond;

    private static byte StateNumber(TcpConnectionState state) => state switch
    {
        TcpConnectionState.Established => 1,
        TcpConnectionState.SynSent => 2,
        TcpConnectionState.SynReceived => 3,
        TcpConnectionState.FinWait1 => 4,
        TcpConnectionState.FinWait2 => 5,
        TcpConnectionState.TimeWait => 6,
        TcpConnectionState.CloseWait => 8,
        TcpConnectionState.LastAck => 9,
        TcpConnectionState.Listen => 10,
        TcpConnectionState.Closing => 11,
        _ => 7,
    };

    private static byte CongestionNumber(string state) => state switch
    {
        "Open" => 0,
        "Disorder" => 1,
        "Reducing" => 2,
        "Recovery" => 3,
        "Loss" => 4,
        _ => 0,
    };
}
