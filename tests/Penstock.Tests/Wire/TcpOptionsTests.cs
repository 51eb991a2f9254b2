using CsCheck;
using Penstock.Wire;

namespace Penstock.Tests.Wire;

public class TcpOptionsTests
{
    private static byte[] Hex(string text) => Convert.FromHexString(text.Replace(" ", "", StringComparison.Ordinal));

    private static TcpOptions Good(string hex, bool isSyn = false)
    {
        Assert.Equal(MalformedReason.None, TcpOptions.Parse(Hex(hex), isSyn, out TcpOptions options));
        return options;
    }

    private static TcpOptions Bad(string hex, bool isSyn = false)
    {
        Assert.Equal(MalformedReason.TcpBadOptions, TcpOptions.Parse(Hex(hex), isSyn, out TcpOptions options));
        return options;
    }

    private static string Written(TcpOptions options)
    {
        var bytes = new byte[40];
        int length = TcpOptionsWriter.Write(bytes, options);
        Assert.Equal(TcpOptionsWriter.LengthOf(options), length);
        Assert.True(bytes.AsSpan(length).IndexOfAnyExcept((byte)0) < 0);
        return Convert.ToHexStringLower(bytes.AsSpan(0, length));
    }

    [Fact]
    public void The_options_of_Linuxs_SYN_are_read_and_written_to_the_byte()
    {
        const string hex = "020405b4" + "0402080a1122334400000000" + "01030307"; // mss 1460, sackOK, TS, nop, wscale 7
        TcpOptions options = Good(hex, isSyn: true);
        Assert.True(options.HasMss && options.HasWindowScale && options.SackPermitted && options.HasTimestamps);
        Assert.Equal(1460, options.Mss);
        Assert.Equal(7, options.WindowScale);
        Assert.Equal(0x11223344u, options.TsVal);
        Assert.Equal(0u, options.TsEcr);
        Assert.Equal(hex, Written(options));
    }

    [Theory]
    [InlineData(true, false, false, "020405b4")]
    [InlineData(true, true, false, "020405b4 01010402")]
    [InlineData(true, false, true, "020405b4 01030307")]
    [InlineData(true, true, true, "020405b4 01010402 01030307")]
    [InlineData(false, true, true, "01010402 01030307")]
    public void Without_timestamps_each_option_has_Linuxs_padding(bool mss, bool sack, bool scale, string expected)
    {
        var options = new TcpOptions { HasMss = mss, Mss = 1460, SackPermitted = sack, HasWindowScale = scale, WindowScale = 7 };
        Assert.Equal(Convert.ToHexStringLower(Hex(expected)), Written(options));
    }

    [Fact]
    public void With_timestamps_alone_two_nops_stand_before_them()
    {
        var options = new TcpOptions { HasMss = true, Mss = 536, HasTimestamps = true, TsVal = 1, TsEcr = 2, HasWindowScale = true };
        Assert.Equal("02040218" + "0101080a0000000100000002" + "01030300", Written(options));
        options = new TcpOptions { HasTimestamps = true, TsVal = 1, TsEcr = 2 };
        Assert.Equal("0101080a0000000100000002", Written(options));
    }

    [Fact]
    public void Sack_blocks_stand_behind_timestamps_and_only_three_fit()
    {
        var options = new TcpOptions { HasTimestamps = true, TsVal = 1, TsEcr = 2 };
        for (uint i = 1; i <= 4; i++)
        {
            Assert.True(options.AddSackBlock(new SackBlock(new SequenceNumber(i * 0x100), new SequenceNumber(i * 0x100 + 0x10))));
        }

        Assert.False(options.AddSackBlock(default));
        const string three = "0000010000000110" + "0000020000000210" + "0000030000000310";
        Assert.Equal("0101080a0000000100000002" + "0101051a" + three, Written(options));
        options.HasTimestamps = false;
        Assert.Equal("01010522" + three + "0000040000000410", Written(options));
    }

    [Fact]
    public void Established_timestamps_take_the_short_way_and_the_long_way_alike()
    {
        TcpOptions shortWay = Good("0101080a 00000005 00000006");
        TcpOptions longWay = Good("080a 00000005 00000006 0101");
        Assert.Equal(Written(shortWay), Written(longWay));
        Assert.True(shortWay.HasTimestamps);
        Assert.Equal((5u, 6u), (shortWay.TsVal, shortWay.TsEcr));
    }

    [Fact]
    public void What_a_SYN_negotiates_counts_only_there()
    {
        TcpOptions options = Good("020405b4 0402 030307 01");
        Assert.False(options.HasMss || options.SackPermitted || options.HasWindowScale);
    }

    [Fact]
    public void A_window_scale_beyond_14_is_taken_for_14() => Assert.Equal(14, Good("0303ff00", isSyn: true).WindowScale);

    [Fact]
    public void A_segment_size_of_zero_is_no_option() => Assert.False(Good("02040000", isSyn: true).HasMss);

    [Fact]
    public void Unknown_options_are_stepped_over() => Assert.Equal(1460, Good("fd06aabbccdd 1302 020405b4", isSyn: true).Mss);

    [Fact]
    public void Nothing_is_read_behind_the_end() => Assert.False(Good("00 020405b4 000000", isSyn: true).HasMss);

    [Theory]
    [InlineData("020405b4 0301 0101")] // a length that does not advance
    [InlineData("020405b4 0300 0101")]
    [InlineData("020405b4 080a 0101")] // a length beyond the header
    [InlineData("020405b4 010101 08")] // no length at all
    public void A_length_that_leads_nowhere_ends_the_walk_and_keeps_what_came_before(string hex) =>
        Assert.Equal(1460, Bad(hex, isSyn: true).Mss);

    [Fact]
    public void A_known_option_of_the_wrong_size_is_skipped_and_what_follows_counts()
    {
        TcpOptions options = Bad("0203ff 0402 0304aabb 0805aabbcc 0506aabbccdd 0403aa 020405b4", isSyn: true);
        Assert.Equal(1460, options.Mss);
        Assert.True(options.SackPermitted);
        Assert.False(options.HasWindowScale || options.HasTimestamps);
        Assert.Equal(0, options.SackCount);
    }

    [Fact]
    public void Sack_blocks_are_read_in_order()
    {
        TcpOptions options = Good("0101 051a 00000001 00000002 00000003 00000004 fffffff0 00000010");
        Assert.Equal(3, options.SackBlocks.Length);
        Assert.Equal(new SackBlock(new SequenceNumber(1), new SequenceNumber(2)), options.SackBlocks[0]);
        Assert.Equal(0x20, options.SackBlocks[2].End.Since(options.SackBlocks[2].Start));
    }

    [Fact]
    public void What_is_written_is_read_back() =>
        Gen.Select(Gen.Int[0, 15], Gen.Int[0, 4], Gen.UInt, Gen.UInt).Sample(
            (bits, sacks, a, b) =>
            {
                var options = new TcpOptions
                {
                    HasMss = (bits & 1) != 0,
                    HasWindowScale = (bits & 2) != 0,
                    SackPermitted = (bits & 4) != 0,
                    HasTimestamps = (bits & 8) != 0,
                };
                options.Mss = options.HasMss ? (ushort)(a | 1) : (ushort)0;
                options.WindowScale = options.HasWindowScale ? (byte)(b % 15) : (byte)0;
                (options.TsVal, options.TsEcr) = options.HasTimestamps ? (a, b) : (0, 0);
                int room = TcpOptionsWriter.SackRoom(TcpOptionsWriter.LengthOf(options));
                for (uint i = 0; i < Math.Min(sacks, room); i++)
                {
                    options.AddSackBlock(new SackBlock(new SequenceNumber(a + i), new SequenceNumber(b - i)));
                }

                var bytes = new byte[40];
                int length = TcpOptionsWriter.Write(bytes, options);
                return length % 4 == 0
                    && TcpOptions.Parse(bytes.AsSpan(0, length), true, out TcpOptions read) == MalformedReason.None
                    && (read.HasMss, read.Mss, read.SackPermitted) == (options.HasMss, options.Mss, options.SackPermitted)
                    && (read.HasWindowScale, read.WindowScale, read.HasTimestamps)
                        == (options.HasWindowScale, options.WindowScale, options.HasTimestamps)
                    && (read.TsVal, read.TsEcr) == (options.TsVal, options.TsEcr)
                    && read.SackBlocks.SequenceEqual(options.SackBlocks);
            },
            iter: 5_000);
}
