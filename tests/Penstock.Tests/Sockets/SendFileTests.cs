using System.Net;
using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;
using Penstock.Sockets;
using Penstock.Tests.Tcp;
using Penstock.Time;

#pragma warning disable xUnit1051 // virtual time ends by itself

namespace Penstock.Tests.Sockets;

/// <summary>Files sent from the stack's own memory. The faults of disks are played in virtual time; real files come last.</summary>
public class SendFileTests
{
    private static void Run(Func<TwoStacks, TcpSocket, TcpSocket, Task> body, CableOptions? cable = null)
    {
        var net = new TwoStacks(cable ?? new CableOptions { Delay = TimeSpan.FromMilliseconds(1) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await body(net, client, server);
            net.CheckInvariants();
            client.Dispose();
            server.Dispose();
        });
    }

    private static async Task<byte[]> ReceiveAsync(TcpSocket socket, int count)
    {
        byte[] got = new byte[count];
        for (int at = 0; at < count;)
        {
            int n = await socket.ReceiveAsync(got.AsMemory(at));
            Assert.NotEqual(0, n);
            at += n;
        }

        return got;
    }

    private static async Task WaitUntilAsync(TwoStacks net, Func<bool> condition)
    {
        while (!condition())
        {
            await net.Time.Delay(TimeSpan.FromMicroseconds(10));
        }
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0, 1)]
    [InlineData(17, 65_536)]
    [InlineData(0, 2_000_000)]
    public void The_range_of_the_file_arrives(int offset, int length) => Run(async (net, client, server) =>
    {
        var disk = new Disk(2_000_100) { Clock = net.Time, Largest = 50_000 };
        Task<byte[]> receiving = ReceiveAsync(server, length);
        Assert.Equal(length, await client.SendFileAsync(new DiskBytes(disk), offset, length, default));
        Assert.Equal(disk.Data.AsSpan(offset, length).ToArray(), await receiving);
    });

    [Fact]
    public void The_file_is_read_into_slabs_and_attached_there() => Run(async (net, client, server) =>
    {
        var disk = new Disk(30_000);
        Task<long> sending = client.SendFileAsync(new DiskBytes(disk), 0, 30_000, default).AsTask();
        Assert.True(sending.IsCompletedSuccessfully);

        // Not yet acknowledged, so the bytes are where the disk wrote them.
        disk.LastRead.Span.Fill(1);
        Assert.Equal(new byte[] { 1, 1, 1 }, (await ReceiveAsync(server, 30_000))[^3..]);
    }, new CableOptions { Delay = TimeSpan.FromMilliseconds(100) });

    [Fact]
    public void It_reads_no_further_ahead_than_the_send_buffer_has_room() => Run(async (net, client, server) =>
    {
        var disk = new Disk(20_000_000);
        Task<long> sending = client.SendFileAsync(new DiskBytes(disk), 0, 20_000_000, default).AsTask();
        await net.Time.Delay(TimeSpan.FromMinutes(1));
        Assert.False(sending.IsCompleted);
        Assert.InRange(disk.BytesRead - server.Available, 1, client.SendBufferSize + (64 * 1024));
        net.CheckInvariants();
        Task<byte[]> receiving = ReceiveAsync(server, 20_000_000);
        Assert.Equal(20_000_000, await sending);
        byte[] got = await receiving;
        Assert.True(disk.Data.AsSpan().SequenceEqual(got));
    });

    [Fact]
    public void While_the_disk_works_the_socket_is_free_and_no_other_send_comes_in_between() => Run(async (net, client, server) =>
    {
        var disk = new Disk(500_000) { Clock = net.Time, Takes = TimeSpan.FromMilliseconds(300) };
        Task<long> sending = client.SendFileAsync(new DiskBytes(disk), 0, 500_000, default).AsTask();
        Task<int> behind = client.SendAsync(new byte[] { 1, 2, 3 }).AsTask();
        Assert.True(disk.IsBusy);
        Assert.False(client.Connection.IsOwned);
        await server.SendAsync(new byte[10]);
        Assert.Equal(10, await client.ReceiveAsync(new byte[10]));
        Assert.True(disk.IsBusy);
        byte[] got = await ReceiveAsync(server, 500_003);
        Assert.True(disk.Data.AsSpan().SequenceEqual(got.AsSpan(0, 500_000)));
        Assert.Equal(new byte[] { 1, 2, 3 }, got[^3..]);
        Assert.Equal(500_000, await sending);
        Assert.Equal(3, await behind);
    });

    [Theory]
    [InlineData(100_001)]
    [InlineData(0)]
    public void A_file_that_is_truncated_meanwhile_ends_early_with_the_count(int left) => Run(async (net, client, server) =>
    {
        var disk = new Disk(left) { Clock = net.Time, Takes = TimeSpan.FromMilliseconds(1) };
        Task<byte[]> receiving = ReceiveAsync(server, left);
        Assert.Equal(left, await client.SendFileAsync(new DiskBytes(disk), 0, 500_000, default));

        // The last bytes, announced as not the last, do not wait for more.
        long before = net.Time.NowNanos;
        Assert.Equal(disk.Data, await receiving);
        Assert.InRange(net.Time.NowNanos - before, 0, 100_000_000);
        await client.SendAsync(new byte[5]);
        await ReceiveAsync(server, 5);
    });

    [Theory]
    [InlineData(0)]
    [InlineData(150_000)]
    public void A_disk_that_fails_gives_the_partial_count_or_its_error(int good) => Run(async (net, client, server) =>
    {
        var disk = new Disk(500_000) { Clock = net.Time, Takes = TimeSpan.FromMilliseconds(1), FailsAt = good };
        if (good == 0)
        {
            await Assert.ThrowsAsync<IOException>(async () => await client.SendFileAsync(new DiskBytes(disk), 0, 500_000, default));
        }
        else
        {
            Task<byte[]> receiving = ReceiveAsync(server, good);
            Assert.Equal(good, await client.SendFileAsync(new DiskBytes(disk), 0, 500_000, default));
            await receiving;
            await Assert.ThrowsAsync<IOException>(async () => await client.SendFileAsync(new DiskBytes(disk), good, 500_000 - good, default));
        }

        await client.SendAsync(new byte[5]);
        await ReceiveAsync(server, 5);
    });

    [Fact]
    public void A_cancellation_gives_the_partial_count_or_throws() => Run(async (net, client, server) =>
    {
        using var cancel = new CancellationTokenSource();
        var disk = new Disk(20_000_000);
        Task<long> sending = client.SendFileAsync(new DiskBytes(disk), 0, 20_000_000, cancel.Token).AsTask();
        Task<long> turn = client.SendFileAsync(new DiskBytes(disk), 0, 100, cancel.Token).AsTask();
        await net.Time.Delay(TimeSpan.FromMinutes(1));
        cancel.Cancel();
        long sent = await sending;
        Assert.InRange(sent, 1, 19_999_999);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => turn);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await client.SendFileAsync(new DiskBytes(disk), 0, 1, cancel.Token));
        Assert.Equal(disk.Data.AsSpan(0, (int)sent).ToArray(), await ReceiveAsync(server, (int)sent));
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_connection_that_ends_meanwhile_gives_the_partial_count_and_the_next_call_throws(bool dispose) => Run(async (net, client, server) =>
    {
        var disk = new Disk(20_000_000) { Clock = net.Time, Takes = TimeSpan.FromMilliseconds(1) };
        Task<long> sending = client.SendFileAsync(new DiskBytes(disk), 0, 20_000_000, default).AsTask();
        Task<byte[]> some = ReceiveAsync(server, 200_000);
        await some;
        await WaitUntilAsync(net, () => disk.IsBusy);
        if (dispose)
        {
            client.Dispose();
        }
        else
        {
            server.Abort();
        }

        Assert.InRange(await sending, 1, 19_999_999);
        Exception next = await Assert.ThrowsAnyAsync<Exception>(async () => await client.SendFileAsync(new DiskBytes(disk), 0, 100, default));
        Assert.IsType(dispose ? typeof(ObjectDisposedException) : typeof(SocketException), next);
    });

    [Fact]
    public void Nothing_is_allocated_for_a_file()
    {
        long allocated = 0;
        Run(async (net, client, server) =>
        {
            var disk = new Disk(100_000);
            byte[] buffer = new byte[100_000];
            async Task Exchange()
            {
                for (int i = 0; i < 500; i++)
                {
                    ValueTask<long> sending = client.SendFileAsync(new DiskBytes(disk), 0, 100_000, default);
                    for (int at = 0; at < buffer.Length;)
                    {
                        at += await server.ReceiveAsync(buffer.AsMemory(at)).ConfigureAwait(false);
                    }

                    await sending.ConfigureAwait(false);
                }
            }

            await Exchange();
            allocated = await Allocations.LeastAsync(Exchange);
        });
        Assert.True(allocated < Allocations.OnceOnly, $"{allocated} bytes for 500 files");
    }

    [Fact]
    public async Task Real_files_arrive_whole_and_wrong_arguments_are_refused()
    {
        string path = Path.GetTempFileName();
        try
        {
            byte[] data = new byte[3_000_000];
            new Random(5).NextBytes(data);
            await File.WriteAllBytesAsync(path, data);
            await using var stack = new NetworkStack();
            await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
            await using TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            await using TcpSocket server = await listener.AcceptAsync();
            Task<byte[]> receiving = ReceiveAsync(server, data.Length + 1000);
            Assert.Equal(data.Length, await client.SendFileAsync(path));
            using SafeFileHandle file = File.OpenHandle(path);
            Assert.Equal(1000, await client.SendFileAsync(file, data.Length - 1000));
            Assert.Equal(0, await client.SendFileAsync(file, data.Length + 1000));
            byte[] got = await receiving;
            Assert.True(data.AsSpan().SequenceEqual(got.AsSpan(0, data.Length)));
            Assert.True(data.AsSpan(data.Length - 1000).SequenceEqual(got.AsSpan(data.Length)));
            await Assert.ThrowsAsync<ArgumentNullException>(async () => await client.SendFileAsync((SafeFileHandle)null!));
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await client.SendFileAsync(file, -1));
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await client.SendFileAsync(file, 0, -1));
            await Assert.ThrowsAsync<FileNotFoundException>(async () => await client.SendFileAsync(path + ".none"));
            file.Dispose();
            await Assert.ThrowsAsync<ObjectDisposedException>(async () => await client.SendFileAsync(file, 0, 10));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Bytes_produced_in_place_are_sent_without_a_thread_that_waits() => Run(async (net, client, server) =>
    {
        static void Fill(Span<byte> run, int[] at)
        {
            Assert.InRange(run.Length, 1, 32 * 1024);
            for (int i = 0; i < run.Length; i++)
            {
                run[i] = (byte)((at[0] + i) * 7);
            }

            at[0] += run.Length;
            if (at[0] > at[1])
            {
                throw new InvalidDataException();
            }
        }

        Task<int> sending = client.SendAsync(5_000_000, new int[] { 0, int.MaxValue }, Fill).AsTask();
        Assert.False(sending.IsCompleted);
        byte[] got = await ReceiveAsync(server, 5_000_000);
        Assert.Equal(5_000_000, await sending);
        Assert.True(got.Select((b, i) => b == (byte)(i * 7)).All(same => same));

        // A fill that throws, at once and after it has waited.
        await Assert.ThrowsAsync<InvalidDataException>(async () => await client.SendAsync(5_000_000, new int[2], Fill));
        sending = client.SendAsync(5_000_000, new int[] { 0, 4_000_000 }, Fill).AsTask();
        Assert.False(sending.IsCompleted);
        Task<byte[]> receiving = ReceiveAsync(server, 3_900_000);
        int sent = await sending;
        Assert.InRange(sent, 3_900_000, 4_000_000);
        await receiving;
        await ReceiveAsync(server, sent - 3_900_000);
        using var cancel = new CancellationTokenSource();
        sending = client.SendAsync(50_000_000, new int[] { 0, int.MaxValue }, Fill, TcpSendFlags.None, cancel.Token).AsTask();
        await net.Time.Delay(TimeSpan.FromSeconds(10));
        cancel.Cancel();
        sent = await sending;
        Assert.InRange(sent, 1, 49_999_999);
        await ReceiveAsync(server, sent);
    });

    private sealed class Disk
    {
        public Disk(int size)
        {
            Data = new byte[size];
            new Random(size).NextBytes(Data);
        }

        public byte[] Data { get; }

        public VirtualTime? Clock { get; init; }

        public TimeSpan Takes { get; init; }

        public int Largest { get; init; } = int.MaxValue;

        public int FailsAt { get; init; } = -1;

        public bool IsBusy { get; set; }

        public long BytesRead { get; set; }

        public Memory<byte> LastRead { get; set; }
    }

    private readonly struct DiskBytes(Disk disk) : IFileBytes
    {
        public ValueTask<int> ReadAsync(Memory<byte> destination, long offset, CancellationToken cancellationToken) =>
            disk.Takes == TimeSpan.Zero ? new ValueTask<int>(Read(destination, offset)) : ReadSlowlyAsync(destination, offset);

        private async ValueTask<int> ReadSlowlyAsync(Memory<byte> destination, long offset)
        {
            disk.IsBusy = true;
            // Goes on inside of the clock's loop: anything else would leave virtual time.
            await disk.Clock!.Delay(disk.Takes).ConfigureAwait(false);
            disk.IsBusy = false;
            return Read(destination, offset);
        }

        private int Read(Memory<byte> destination, long offset)
        {
            int count = (int)Math.Min(Math.Min(disk.Largest, destination.Length), Math.Max(0, disk.Data.Length - offset));
            if (disk.FailsAt >= 0 && offset + count > disk.FailsAt)
            {
                count = (int)(disk.FailsAt - offset);
                if (count == 0)
                {
                    throw new IOException("The disk is broken.");
                }
            }

            disk.Data.AsSpan((int)offset, count).CopyTo(destination.Span);
            disk.BytesRead += count;
            disk.LastRead = destination[..count];
            return count;
        }
    }
}
