using CsCheck;
using Penstock.Drill;

namespace Penstock.Tests.Drill;

/// <summary>What a person sees who got a script wrong: the place, and what would have been right.</summary>
public class ScriptErrorTests
{
    [Theory]
    [InlineData("", 1, 1, "expected an event")]
    [InlineData("--mss=1000", 1, 11, "expected an event")]
    [InlineData("--mms=1000\n0 close(3) = 0", 1, 1, "did you mean --mss?")]
    [InlineData("--mss\n0 close(3) = 0", 1, 1, "--mss needs a value")]
    [InlineData("--mss=big\n0 close(3) = 0", 1, 1, "'big' is not a value")]
    [InlineData("--strict_segments=1\n0 close(3) = 0", 1, 1, "takes no value")]
    [InlineData("--local_ip=300.0.0.1\n0 close(3) = 0", 1, 1, "--local_ip=192.0.2.1")]
    [InlineData("close(3) = 0", 1, 1, "expected a time")]
    [InlineData("+x close(3) = 0", 1, 2, "expected seconds after +")]
    [InlineData("-1 close(3) = 0", 1, 1, "cannot be negative")]
    [InlineData("0.1234567891 close(3) = 0", 1, 1, "nine decimals")]
    [InlineData("2~1 > . 1:1(0)", 1, 1, "ends before it begins")]
    [InlineData("+1~2 > . 1:1(0)", 1, 1, "written alike")]
    [InlineData("* close(3) = 0", 1, 1, "only fits an expected packet")]
    [InlineData("1~2 < . 1:1(0) win 1", 1, 1, "a time range only fits an expected packet")]
    [InlineData("1...0.5 close(3) = 0", 1, 1, "return before it starts")]
    [InlineData("0 close(3) = 0\n`a`\n+0 close(4) = 0", 2, 1, "needs a time")]
    [InlineData("0 ;", 1, 3, "expected a packet (< or >)")]
    [InlineData("0 > X. 1:1(0)", 1, 5, "'X' is no TCP flag")]
    [InlineData("0 > SS 1:1(0)", 1, 6, "stands twice")]
    [InlineData("0 > PE.5 1:1(0)", 1, 8, "either the digit or the letters")]
    [InlineData("0 > .53 1:1(0)", 1, 7, "either the digit or the letters")]
    [InlineData("0 > . 1:100(100)", 1, 7, "1 + 100 is 101, not 100")]
    [InlineData("0 > . 1-1(0)", 1, 8, "expected : between the sequence numbers")]
    [InlineData("0 > . 1:1(0) win 65536", 1, 18, "at most 65535")]
    [InlineData("0 > . 1:1(0) win 5 ack 1", 1, 20, "in the order ack, win, urg")]
    [InlineData("0 < . 1:1(0) ack 1", 1, 5, "must say its window")]
    [InlineData("0 < . 1:1(0) ack 1 win 5 <...>", 1, 7, "any options")]
    [InlineData("0 < [ect01] . 1:1(0) ack 1 win 5", 1, 6, "either of two")]
    [InlineData("0 > [ect0, ce] . 1:1(0)", 1, 12, "said twice")]
    [InlineData("0 > [foo] . 1:1(0)", 1, 6, "'foo' is no part of the IP header")]
    [InlineData("0 > S 0:0(0) <mss 1460,sackOK>", 1, 14, "add 2 nop")]
    [InlineData("0 > S 0:0(0) <msss 1460>", 1, 15, "did you mean mss?")]
    [InlineData("0 > S 0:0(0) <TS 1 2>", 1, 18, "expected val after TS")]
    [InlineData("0 > S 0:0(0) <FO abc,nop>", 1, 18, "pairs of hexadecimal digits")]
    [InlineData("0 > S 0:0(0) <md5 aabb>", 1, 15, "16 bytes")]
    [InlineData("0 > . 1:1(0) <sack 1:2 3:4 5:6 7:8 9:10>", 1, 14, "room for 40")]
    [InlineData("0 > . 1:1(0) <ECN ceb 1 e0b 2>", 1, 19, "in the order e0b, ceb, e1b")]
    [InlineData("0 < icmp unreachible [1:1(0)]", 1, 10, "there is no ICMP type 'unreachible'")]
    [InlineData("0 < icmp unreachable host_unreachabl", 1, 10, "did you mean host_unreachable?")]
    [InlineData("0 < icmp unreachable net_unreachable mtu 5", 1, 38, "carry an MTU")]
    [InlineData("0 > ipv4 192.0.2.1 > 192.0.2.2: . 1:1(0)", 1, 5, "inside another header")]
    [InlineData("0 socket = 3", 1, 10, "expected ( after socket")]
    [InlineData("0 close(3)", 1, 11, "expected result after close(...)")]
    [InlineData("0 close(3 4) = 0", 1, 11, "or a comma and one more")]
    [InlineData("0 close(3) = -1 ECONRESET", 1, 17, "did you mean ECONNRESET?")]
    [InlineData("0 close(3) = -1 EIO (oops", 1, 22, "has no closing )")]
    [InlineData("0 f({sa_family=AF_INET}) = 0", 1, 6, "lacks sin_port")]
    [InlineData("0 f({fd=1, event=2}) = 0", 1, 12, "pollfd has no field 'event'")]
    [InlineData("0 f({fd=1, fd=2}) = 0", 1, 12, "stands twice")]
    [InlineData("0 f({famly=2}) = 0", 1, 6, "no structure begins with 'famly'")]
    [InlineData("0 f(inet_addr(\"1.2.3.x\")) = 0", 1, 5, "wants an address in quotes")]
    [InlineData("0 f(0x10000000000000000) = 0", 1, 5, "neither a number of 64 bits nor a name")]
    [InlineData("0 f(99999999999999999999) = 0", 1, 5, "does not fit 64 bits")]
    [InlineData("0 f(\"abc) = 0", 1, 5, "no closing \"")]
    [InlineData("0 f(\"a\\q\") = 0", 1, 7, "there is no escape \\q")]
    [InlineData("0 close(3) = 0 /* never", 1, 16, "no closing */")]
    [InlineData("0 `sleep", 1, 3, "never closed")]
    [InlineData("0 %{ assert 1", 1, 3, "no closing }%")]
    [InlineData("0 %{\n  assert }%", 2, 10, "expected a number, a name")]
    [InlineData("0 %{ assert (1, 2) }%", 1, 6, "always true")]
    [InlineData("0 %{ tcpi_rtt == 3 }%", 1, 6, "begins no statement")]
    [InlineData("0 %{ assert len(x) }%", 1, 13, "no function 'len'")]
    [InlineData("0 %{ assert 1.5 < 2 }%", 1, 13, "whole numbers")]
    [InlineData("0 %{ assert 1 assert 2 }%", 1, 15, "expected the end of the line")]
    [InlineData("0 %{ assert a ** 2 }%", 1, 15, "'**' means nothing here")]
    public void An_error_names_its_place_and_the_way_out(string script, int line, int column, string message)
    {
        ScriptError error = Assert.Throws<ScriptException>(() => Script.Parse(script)).Error;
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Equal((line, column), (error.Line, error.Column));
    }

    [Fact]
    public void An_error_shows_the_line_with_a_caret()
    {
        ScriptException thrown = Assert.Throws<ScriptException>(() => Script.Parse("0 close(3) = 0\n\t+0 > Q 1:1(0)\r\n", "a.pkt"));
        Assert.Equal(
            "a.pkt:2:7: " + thrown.Error.Message + "\n    \t+0 > Q 1:1(0)\n    \t     ^",
            thrown.Message);
    }

    [Fact]
    public void An_error_found_while_running_shows_its_line_too()
    {
        Script script = Script.Parse("0 close(3) = 0\n+0 close(4) = 0", "b.pkt");
        ScriptError error = script.ErrorAt(script.Events[1].At, "close returned -1");
        Assert.Equal("b.pkt:2:1: close returned -1\n    +0 close(4) = 0\n    ^", error.ToString());
    }

    private static readonly string[] Pieces =
    [
        "+0", " ", "<", ">", "S.", "1:1(0)", "ack 1", "win", "5", "mss", "f(", ")", "=", "{", "}", "%{", "}%", "assert", "`", "\"", "\\x", "[", "]",
        "...", ".", "*", "~", "icmp", "|", "'", "(", ",", "\n", "--mss=1", "FO", "ECN", "sack", "é", "0x", "-", "tos", "a=", "linger",
    ];

    [Fact]
    public void Garbage_never_gives_anything_but_a_script_error() => Gen.Int[0, Pieces.Length - 1].Array[0, 20].Sample(indexes =>
    {
        try
        {
            Script.Parse("0 " + string.Join(" ", indexes.Select(index => Pieces[index])));
        }
        catch (ScriptException)
        {
            // What a parser of garbage must say.
        }
    });
}
