using System.Net;
using Penstock.Sockets;

namespace Penstock.Tests;

public class TcpInfoLayoutTests
{
    private static readonly TcpInfo Info = new()
    {
        State = TcpConnectionState.CloseWait,
        Local = new IPEndPoint(IPAddress.Loopback, 1),
        Remote = new IPEndPoint(IPAddress.Loopback, 2),
        CongestionState = "Recovery",
        CongestionWindow = 0x01020304,
        WindowScale = (7, 9),
        Timestamps = true,
        Sack = true,
        Ecn = true,
        DeliveryRateIsApplicationLimited = true,
        PacingRate = long.MaxValue,
        BytesAcked = 0x1122334455667788,
        RoundTripTime = TimeSpan.FromMicroseconds(1234),
        SinceDataSent = TimeSpan.FromMilliseconds(77),
        TotalTimeouts = 70_000,
        ReceiveMemory = 11,
        Drops = 99,
    };

    [Fact]
    public void Every_byte_of_the_structure_belongs_to_one_field()
    {
        int at = 0, bits = 0;
        foreach ((string name, int offset, int bytes, int width) in TcpInfoLayout.Places)
        {
            if (bits > 0 && offset == at)
            {
                // Another bit field of the same byte.
                bits += width;
                Assert.True(bits <= 8, name);
                continue;
            }

            at += bits > 0 ? 1 : 0;
            bits = 0;
            Assert.True(offset == at, $"{name} is at {offset}, {at} is next");
            Assert.True(offset % bytes == 0, $"{name} is not aligned");
            if (width < 8)
            {
                bits = width;
            }
            else
            {
                at += bytes;
            }
        }

        Assert.Equal(TcpInfoLayout.Size, at);
    }

    // Places as the C compiler has them (offsetof, Linux 6.18).
    [Fact]
    public void Values_stand_where_C_code_looks_for_them()
    {
        byte[] bytes = new byte[TcpInfoLayout.Size];
        Assert.Equal(280, TcpInfoLayout.Write(Info, bytes));
        Assert.Equal(8, bytes[0]);
        Assert.Equal(3, bytes[1]);
        Assert.Equal(1 | 2 | 4 | 8, bytes[5]);
        Assert.Equal(0x97, bytes[6]);
        Assert.Equal(1, bytes[7]);
        Assert.Equal(77u, BitConverter.ToUInt32(bytes, 44));
        Assert.Equal(1234u, BitConverter.ToUInt32(bytes, 68));
        Assert.Equal(0x01020304u, BitConverter.ToUInt32(bytes, 80));
        Assert.Equal(ulong.MaxValue, BitConverter.ToUInt64(bytes, 104));
        Assert.Equal(0x1122334455667788u, BitConverter.ToUInt64(bytes, 120));
        Assert.Equal(70_000 - 65536, BitConverter.ToUInt16(bytes, 240));
    }

    [Fact]
    public void Who_has_room_for_less_gets_the_beginning()
    {
        byte[] bytes = new byte[8];
        Assert.Equal(8, TcpInfoLayout.Write(Info, bytes));
        Assert.Equal(0x97, bytes[6]);
        Assert.Equal(0, TcpInfoLayout.Write(Info, []));
    }

    [Fact]
    public void The_nine_words_of_socket_memory_begin_with_what_is_received_and_end_with_what_was_dropped()
    {
        byte[] bytes = new byte[64];
        Assert.Equal(36, TcpInfoLayout.WriteMemory(Info, bytes));
        Assert.Equal(11u, BitConverter.ToUInt32(bytes, 0));
        Assert.Equal(99u, BitConverter.ToUInt32(bytes, 32));
    }

    [Fact]
    public void A_field_is_read_by_its_name_and_an_unknown_name_is_none()
    {
        Assert.Equal(1234, TcpInfoLayout.Read("tcpi_rtt", Info));
        Assert.Equal(7, TcpInfoLayout.Read("tcpi_snd_wscale", Info));
        Assert.Null(TcpInfoLayout.Read("tcpi_rttt", Info));
    }
}
