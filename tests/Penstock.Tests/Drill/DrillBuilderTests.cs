using System.Net;
using System.Text;
using Penstock.Drill;

namespace Penstock.Tests.Drill;

/// <summary>Scripts in C#: steps, payloads, checks, and applications that the script is the peer of.</summary>
public class DrillBuilderTests
{
    private static DrillBuilder Established() => new DrillBuilder()
        .Listen()
        .After(0.1).Inject("S 0:0(0) win 65535 <mss 1000>")
        .Expect("S. 0:0(0) ack 1 <...>")
        .After(0.1).Inject(". 1:1(0) ack 1 win 65535")
        .Accept();

    [Fact]
    public void A_script_is_written_step_by_step() => Established()
        .Write(1000)
        .Expect("P. 1:1001(1000) ack 1")
        .After(0.1).Inject("P. 1:501(500) ack 1001 win 65535")
        .Expect(". 1001:1001(0) ack 501")
        .Read(500)
        .Assert("tcpi_bytes_acked == 1000 and tcpi_snd_mss == 1000")
        .Inject("F. 501:501(0) ack 1001 win 65535")
        .Between(0, 0.05).Expect(". 1001:1001(0) ack 502")
        .ReadEnd()
        .Close()
        .Expect("F. 1001:1001(0) ack 502")
        .Inject(". 502:502(0) ack 1002 win 65535")
        .Run().EnsurePassed();

    [Fact]
    public void A_client_is_written_too() => new DrillBuilder()
        .Connect()
        .Expect("S 0:0(0) <...>")
        .After(0.05).Inject("S. 0:0(0) ack 1 win 65535 <mss 1460>")
        .Expect(". 1:1(0) ack 1")
        .Call("getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0")
        .Write(10)
        .Expect("P. 1:11(10) ack 1")
        .Run().EnsurePassed();

    [Fact]
    public void A_call_that_waits_returns_when_it_is_said_to() => Established()
        .CallUntil(0.25, "read(4, ..., 1000) = 10")
        .After(0.25).Inject("P. 1:11(10) ack 1 win 65535")
        .Anytime().Expect(". 1:1(0) ack 11")
        .Run().EnsurePassed();

    [Fact]
    public void Payloads_are_injected_and_compared_byte_by_byte()
    {
        DrillBuilder Asked(string answer) => new DrillBuilder()
            .Application(Echo)
            .Inject("S 0:0(0) win 65535 <mss 1000>")
            .Expect("S. 0:0(0) ack 1 <...>")
            .After(0.1).Inject(". 1:1(0) ack 1 win 65535")
            .Inject("P. 1:6(5) ack 1 win 65535", "hello")
            .Expect(". 1:1(0) ack 6")
            .After(0.001).Expect("P. 1:6(5) ack 6", answer);
        Asked("HELLO").Run().EnsurePassed();
        DrillResult wrong = Asked("HELPO").Run();
        Assert.Equal(DrillOutcome.Failed, wrong.Outcome);
        Assert.Contains("differs from byte 3", wrong.Message, StringComparison.Ordinal);
        Assert.Contains("\"HELLO\"", wrong.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_application_may_connect_and_let_virtual_time_pass() => new DrillBuilder()
        .Application(async drill =>
        {
            await drill.Delay(TimeSpan.FromSeconds(3600));
            await using TcpSocket socket = await drill.Stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("192.0.2.1"), 25), cancellationToken: drill.Stop);
            await socket.SendAsync(Encoding.ASCII.GetBytes($"{drill.Elapsed.TotalSeconds:0.0}"), drill.Stop);
            await drill.Delay(TimeSpan.FromHours(1));
        })
        .After(3600).Expect("S 0:0(0) <...>")
        .After(0.5).Inject("S. 0:0(0) ack 1 win 65535 <mss 1460>")
        .Expect(". 1:1(0) ack 1")
        .Expect("P. 1:7(6) ack 1", "3600.5")
        .Check(info => Assert.Equal(TimeSpan.FromSeconds(0.5), info.RoundTripTime))
        .Run().EnsurePassed();

    [Fact]
    public void What_a_check_or_an_application_throws_is_the_verdict()
    {
        DrillResult check = Established().Check(info => Assert.Equal(11, info.CongestionWindow)).Run();
        Assert.Contains("the check failed", check.Message, StringComparison.Ordinal);
        Assert.Contains("drill:8:1", check.Message, StringComparison.Ordinal);
        DrillResult assertion = Established().Assert("tcpi_snd_cwnd == 11").Run();
        Assert.Contains("drill:8:", assertion.Message, StringComparison.Ordinal);
        DrillResult application = new DrillBuilder()
            .Application(_ => throw new InvalidOperationException("my own bug"))
            .After(1).Call("socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")
            .Run();
        Assert.Contains("my own bug", application.Message, StringComparison.Ordinal);
        Assert.Contains("my own bug", Assert.Throws<DrillFailedException>(() => application.EnsurePassed()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_mistake_is_told_where_it_is_made()
    {
        var builder = new DrillBuilder("mine");
        ScriptException wrong = Assert.Throws<ScriptException>(() => builder.Inject("X 0:0(0) win 1"));
        Assert.StartsWith("mine:1:", wrong.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => builder.Expect("P. 1:4(3) ack 1", "four"));
        Assert.Throws<ArgumentException>(() => builder.Option("mtuu", "1"));
        Assert.Throws<InvalidOperationException>(() => builder.Between(1, 2).CallUntil(1, "accept(3, ..., ...) = 4"));
        Assert.Throws<KeyNotFoundException>(() => new DrillBuilder().Sysctl("net.ipv4.tcp_sac", "0").Call("socket(..., SOCK_STREAM, IPPROTO_TCP) = 3").Run());
    }

    [Fact]
    public void A_builder_becomes_the_text_of_a_script_that_does_the_same()
    {
        DrillBuilder builder = Established().Option("mtu", "1000").Sysctl("net.ipv4.tcp_timestamps", "0").Write(10).Expect("P. 1:11(10) ack 1");
        builder.Run().EnsurePassed();
        Script script = Script.Parse(builder.ToScript());
        Assert.Equal(builder.Run().Packets, DrillRunner.Run(script).EnsurePassed().Packets);
    }

    private static async Task Echo(DrillApplication drill)
    {
        await using TcpSocketListener listener = drill.Stack.ListenTcp(new IPEndPoint(IPAddress.Any, 8080));
        await using TcpSocket socket = await listener.AcceptAsync(drill.Stop);
        byte[] buffer = new byte[100];
        while (await socket.ReceiveAsync(buffer, drill.Stop) is > 0 and var count)
        {
            await drill.Delay(TimeSpan.FromMilliseconds(1));
            await socket.SendAsync(Encoding.ASCII.GetBytes(Encoding.ASCII.GetString(buffer, 0, count).ToUpperInvariant()), drill.Stop);
        }
    }
}
