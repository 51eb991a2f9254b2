using System.Diagnostics;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Penstock.Tests.Tcp;

/// <summary>Two stacks over cables that lose, reorder, duplicate and corrupt: every byte arrives, once, in order, both ways at once.</summary>
public class BadCableTests(ITestOutputHelper output)
{
    private const int Bytes = 8 * 1024 * 1024;
    private const string HashFile = "PENSTOCK_TEST_HASH_FILE";

    private static CableOptions Mix(int mix) => mix switch
    {
        0 => new CableOptions { Delay = TimeSpan.FromMilliseconds(5), Loss = 0.01 },
        1 => new CableOptions { Delay = TimeSpan.FromMilliseconds(20), Loss = 0.05 },
        2 => new CableOptions { Delay = TimeSpan.FromMilliseconds(5), Reorder = 0.2, Jitter = TimeSpan.FromMilliseconds(3) },
        3 => new CableOptions { Delay = TimeSpan.FromMilliseconds(2), Duplicate = 0.1 },
        4 => new CableOptions { Delay = TimeSpan.FromMilliseconds(5), Corrupt = 0.02 },
        5 => new CableOptions { Delay = TimeSpan.FromMilliseconds(10), Loss = 0.02, Reorder = 0.1, Duplicate = 0.05, Corrupt = 0.01 },
        6 => new CableOptions { Delay = TimeSpan.FromMilliseconds(10), Rate = 50_000_000, QueueLimit = 50, Loss = 0.005 },
        _ => new CableOptions { Mtu = 576, Delay = TimeSpan.FromMilliseconds(1), Loss = 0.01, Reorder = 0.05, Jitter = TimeSpan.FromMilliseconds(1) },
    };

    public static TheoryData<int> Mixes => [0, 1, 2, 3, 4, 5, 6, 7];

    [Theory]
    [MemberData(nameof(Mixes))]
    public void Eight_mebibytes_cross_both_ways_at_once(int mix)
    {
        for (ulong seed = 1; seed <= 8; seed++)
        {
            CableOptions options = Mix(mix);
            options.Seed = seed;
            var net = new TwoStacks(options, seed);
            net.Run(async () =>
            {
                (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
                await TwoStacks.AllAsync(
                    SendAsync(client, (int)seed), SendAsync(server, (int)seed + 100), ReceiveAsync(client, (int)seed + 100, net), ReceiveAsync(server, (int)seed, net));
                await client.CloseAsync();
                await server.CloseAsync();
            });
            output.WriteLine(
                $"mix {mix} seed {seed}: virtual {net.Time.NowNanos / 1e9:F1} s, retransmitted {net.Client.GetCounter(StackCounter.TcpRetransSegs)}"
                + $" + {net.Server.GetCounter(StackCounter.TcpRetransSegs)}, timeouts {net.Client.GetCounter(StackCounter.TcpTimeouts)} + {net.Server.GetCounter(StackCounter.TcpTimeouts)}");
        }
    }

    [Fact]
    public void The_same_seed_gives_the_same_capture_twice_in_a_process_and_in_two_processes()
    {
        string mine = CaptureHash();
        Assert.Equal(mine, CaptureHash());
        string file = Path.GetTempFileName();
        try
        {
            // This test program again, only for the fact below.
            string self = Environment.ProcessPath!;
            var start = new ProcessStartInfo(self) { RedirectStandardOutput = true, RedirectStandardError = true };
            if (Path.GetFileNameWithoutExtension(self) == "dotnet")
            {
                start.ArgumentList.Add(typeof(BadCableTests).Assembly.Location);
            }

            start.ArgumentList.Add("-method");
            start.ArgumentList.Add($"{typeof(BadCableTests).FullName}.{nameof(Leaves_the_hash_of_its_capture_for_another_process)}");
            start.Environment[HashFile] = file;
            using Process other = Process.Start(start)!;
            string said = other.StandardOutput.ReadToEnd();
            other.WaitForExit();
            Assert.True(other.ExitCode == 0, said);
            Assert.Equal(mine, File.ReadAllText(file));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void Leaves_the_hash_of_its_capture_for_another_process()
    {
        string hash = CaptureHash();
        if (Environment.GetEnvironmentVariable(HashFile) is { Length: > 0 } file)
        {
            File.WriteAllText(file, hash);
        }

        Assert.Equal(64, hash.Length);
    }

    internal static string CaptureHash()
    {
        using var file = new MemoryStream();
        CableOptions options = Mix(5);
        var net = new TwoStacks(options, 7, link => new CaptureLink(link, file));
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await TwoStacks.AllAsync(SendAsync(client, 1, 1 << 20), ReceiveAsync(server, 1, net, 1 << 20));
            await client.CloseAsync();
            await server.CloseAsync();
        });
        return Convert.ToHexString(SHA256.HashData(file.ToArray()));
    }

    private static async Task SendAsync(TcpSocket socket, int seed, int bytes = Bytes)
    {
        var sizes = new Random(seed * 31);
        byte[] chunk = new byte[200_000];
        int sent = 0;
        while (sent < bytes)
        {
            int size = Math.Min(bytes - sent, 1 + sizes.Next(sizes.Next(4) == 0 ? chunk.Length : 5000));
            Fill(chunk.AsSpan(0, size), sent, seed);
            Assert.Equal(size, await socket.SendAsync(chunk.AsMemory(0, size)));
            sent += size;
        }

        await socket.ShutdownAsync(SocketShutdown.Send);
    }

    private static async Task ReceiveAsync(TcpSocket socket, int seed, TwoStacks net, int bytes = Bytes)
    {
        var sizes = new Random(seed * 17);
        byte[] chunk = new byte[150_000];
        byte[] expected = new byte[150_000];
        int received = 0;
        int checks = 0;
        while (true)
        {
            int n = await socket.ReceiveAsync(chunk.AsMemory(0, 1 + sizes.Next(chunk.Length)));
            if (n == 0)
            {
                break;
            }

            Fill(expected.AsSpan(0, n), received, seed);
            Assert.True(chunk.AsSpan(0, n).SequenceEqual(expected.AsSpan(0, n)), $"wrong bytes at {received}");
            received += n;
            if (++checks % 64 == 0)
            {
                net.CheckInvariants();
            }
        }

        Assert.Equal(bytes, received);
    }

    /// <summary>The bytes of a stream that any position can be checked against.</summary>
    private static void Fill(Span<byte> span, int position, int seed)
    {
        for (int i = 0; i < span.Length; i++)
        {
            uint at = (uint)(position + i);
            span[i] = (byte)((at * 2654435761u >> 13) ^ (uint)seed);
        }
    }
}
