using System.Net;
using System.Text;
using Penstock;
using Penstock.Drill;

namespace Snippets;

/// <summary>The page of the package Penstock.Drill, and docs/drill.md.</summary>
public class DrillPage
{
    [Fact]
    public void A_script_is_run()
    {
        DrillResult result = DrillRunner.Run(Script.Parse(File.ReadAllText("handshake.pkt")));
        Console.WriteLine($"{result.Outcome} {result.Message}");

        Assert.Equal(DrillOutcome.Passed, result.Outcome);
    }

    [Fact]
    public void The_same_is_written_in_C_sharp() =>
        new DrillBuilder()
            .Listen()
            .Inject("S 0:0(0) win 65535 <mss 1460>")
            .Expect("S. 0:0(0) ack 1 <...>")
            .After(0.1).Inject(". 1:1(0) ack 1 win 65535")
            .Accept()
            .Write(1000)
            .Expect("P. 1:1001(1000) ack 1")
            .Run().EnsurePassed();

    [Fact]
    public void A_check_looks_into_the_connection() =>
        new DrillBuilder()
            .Listen()
            .After(0.1).Inject("S 0:0(0) win 65535 <mss 1000>")
            .Expect("S. 0:0(0) ack 1 <...>")
            .After(0.1).Inject(". 1:1(0) ack 1 win 65535")
            .Accept()
            .Write(3000)
            .Expect("P. 1:3001(3000) ack 1")
            .Check(info => Assert.Equal(3, info.Unacknowledged))
            .Run().EnsurePassed();

    [Fact]
    public void A_server_of_ones_own_is_the_application() =>
        new DrillBuilder()
            .Application(async drill =>
            {
                await using TcpSocketListener listener = drill.Stack.ListenTcp(new IPEndPoint(IPAddress.Any, 8080));
                await using TcpSocket socket = await listener.AcceptAsync(drill.Stop);
                await new PingServer(socket, drill.Delay).RunAsync(drill.Stop);
            })
            .Inject("S 0:0(0) win 65535 <mss 1000>")
            .Expect("S. 0:0(0) ack 1 <...>")
            .After(0.1).Inject(". 1:1(0) ack 1 win 65535")
            .Inject("P. 1:7(6) ack 1 win 65535", "PING\r\n")
            .Expect(". 1:1(0) ack 7")
            .Expect("P. 1:7(6) ack 7", "PONG\r\n")
            .Inject(". 7:7(0) ack 7 win 65535")
            .After(3600).Expect("F. 7:7(0) ack 7")          // the server gives up after an hour of silence
            .Run().EnsurePassed();

    /// <summary>Answers each line with PONG, and closes after an hour in which none came.</summary>
    private sealed class PingServer(TcpSocket socket, Func<TimeSpan, Task> delay)
    {
        public async Task RunAsync(CancellationToken stop)
        {
            byte[] line = new byte[100];
            while (true)
            {
                Task<int> receiving = socket.ReceiveAsync(line, stop).AsTask();
                if (await Task.WhenAny(receiving, delay(TimeSpan.FromHours(1))) != receiving || await receiving == 0)
                {
                    return;
                }

                await socket.SendAsync(Encoding.ASCII.GetBytes("PONG\r\n"), stop);
            }
        }
    }
}
