using System.Net;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Tests.Seeds;

/// <summary>Whatever the flush, the goal, records and stalls of the copy do: the bytes arrive as they were sent, both ways.</summary>
public class StreamIntegrityTests
{
    [Theory]
    [Trait("Requirement", "T10")]
    [InlineData(0, false, 0)]
    [InlineData(0, true, 1)]
    [InlineData(1, false, 0)]
    [InlineData(1, true, 0)]
    [InlineData(1, false, 1)]
    [InlineData(1, true, 1)]
    [InlineData(16, true, 0)]
    [InlineData(16, false, 1)]
    public async Task The_stream_is_intact(int flush, bool records, int goal)
    {
        int seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var time = new VirtualTime();
        NetworkStack Make(ulong number, string address, Link link)
        {
            var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = number });
            stack.Tcp.Settings.BacklogFlushBuffers = flush;
            stack.Tcp.Settings.SizeGoal = goal;
            Proof.Apply(stack);
            stack.AddInterface(link, InterfaceAddress.Parse(address));
            return stack;
        }

        using var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(2), Loss = 0.01, Reorder = 0.01, Seed = (ulong)seed });
        NetworkStack near = Make(1, "10.1.0.1/24", cable.A), far = Make(2, "10.1.0.2/24", cable.B);
        near.CopySeam = new Stalls(time, random);
        byte[] there = new byte[1_500_000], back = new byte[400_000];
        random.NextBytes(there);
        random.NextBytes(back);
        time.Run(async () =>
        {
            await using TcpSocketListener listener = far.ListenTcp(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80));
            TcpSocket client = await near.ConnectTcpAsync(
                new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80), new TcpConnectOptions { SendBufferSize = 1_000_000 });
            TcpSocket server = await listener.AcceptAsync();
            await Task.WhenAll(
                SendAsync(client, there, records), SendAsync(server, back, records), ReceiveAsync(server, there), ReceiveAsync(client, back));
            Assert.Null(client.Connection.VerifyInvariants());
            Assert.Null(server.Connection.VerifyInvariants());
            if (flush == 1 || (flush > 0 && goal == 1))
            {
                Assert.True(client.GetInfo().BacklogFlushes > 0);
            }

            await client.CloseAsync();
            await server.CloseAsync();
            await near.DisposeAsync();
            await far.DisposeAsync();
        }, TimeSpan.FromMinutes(30));
        Assert.Equal(0, near.Pool.RentedBuffers + near.Pool.RentedSlabs + near.Tcp.Memory.AllocatedPages);
        Assert.Equal(0, far.Pool.RentedBuffers + far.Pool.RentedSlabs + far.Tcp.Memory.AllocatedPages);
        await Task.CompletedTask;
    }

    private static async Task SendAsync(TcpSocket socket, byte[] data, bool records)
    {
        int at = 0, call = 0;
        while (at < data.Length)
        {
            int length = Math.Min(data.Length - at, 1 + (call++ * 7919 % 300_000));
            at += await socket.SendAsync(data.AsMemory(at, length), records ? TcpSendFlags.EndOfRecord : TcpSendFlags.None);
        }
    }

    private static async Task ReceiveAsync(TcpSocket socket, byte[] expected)
    {
        byte[] got = new byte[expected.Length];
        int at = 0;
        while (at < got.Length)
        {
            int n = await socket.ReceiveAsync(got.AsMemory(at));
            Assert.NotEqual(0, n);
            at += n;
            Assert.Null(socket.Connection.IsOwned ? null : socket.Connection.VerifyInvariants());
        }

        Assert.True(got.AsSpan().SequenceEqual(expected));
    }

    /// <summary>Some copies take as long as a page fault that goes to a disk.</summary>
    private sealed class Stalls(VirtualTime time, Random random) : ICopySeam
    {
        public void OnCopied(int bytes)
        {
            if (random.Next(3) == 0)
            {
                time.Elapse(random.Next(1, 3_000_000));
            }
        }
    }
}
