using System.Net;
using System.Net.Sockets;
using Penstock.Time;

#pragma warning disable xUnit1051 // virtual time ends by itself
#pragma warning disable CA2022 // what one read returns is what is tested

namespace Penstock.Tests.Sockets;

/// <summary>The stream face of a socket, over a loopback in virtual time.</summary>
public class TcpSocketStreamTests
{
    private static void Run(Func<VirtualTime, NetworkStack, TcpSocket, TcpSocket, Task> body)
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 });
        time.Run(async () =>
        {
            await using (TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80)))
            {
                TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
                TcpSocket server = await listener.AcceptAsync();
                await body(time, stack, client, server);
            }

            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(5));
        Assert.Equal(0, stack.Pool.RentedSlabs);
        Assert.Equal(0, stack.Pool.RentedBuffers);
    }

    [Fact]
    public void Bytes_come_through_and_the_end_is_a_read_of_zero() => Run(async (_, _, client, server) =>
    {
        await using TcpSocketStream write = client.GetStream(ownsSocket: true);
        await using TcpSocketStream read = server.GetStream(ownsSocket: true);
        byte[] data = new byte[1_000_000];
        new Random(1).NextBytes(data);
        Task sending = Send();
        async Task Send()
        {
            await write.WriteAsync(data);
            await write.FlushAsync();
            await client.ShutdownAsync(SocketShutdown.Send);
        }

        var got = new MemoryStream();
        await read.CopyToAsync(got);
        await sending;
        Assert.Equal(data, got.ToArray());
        Assert.Equal(0, await read.ReadAsync(new byte[1]));
    });

    [Fact]
    public void A_read_into_nothing_waits_for_data() => Run(async (_, _, client, server) =>
    {
        await using TcpSocketStream write = client.GetStream(ownsSocket: true);
        await using TcpSocketStream read = server.GetStream(ownsSocket: true);
        ValueTask<int> wait = read.ReadAsync(Memory<byte>.Empty);
        Assert.False(wait.IsCompleted);
        await write.WriteAsync(new byte[] { 7 });
        Assert.Equal(0, await wait);
        byte[] one = new byte[1];
        Assert.Equal(1, await read.ReadAsync(one.AsMemory()));
        Assert.Equal(7, one[0]);
    });

    [Fact]
    public void A_reset_is_an_IOException_with_the_socket_error_inside() => Run(async (time, _, client, server) =>
    {
        await using TcpSocketStream read = server.GetStream(ownsSocket: true);
        Task<int> waiting = read.ReadAsync(new byte[10]).AsTask();
        client.Abort();
        IOException failure = await Assert.ThrowsAsync<IOException>(() => waiting);
        Assert.Equal(SocketError.ConnectionReset, Assert.IsType<SocketException>(failure.InnerException).SocketErrorCode);
        failure = await Assert.ThrowsAsync<IOException>(async () => await read.WriteAsync(new byte[10]));
        Assert.IsType<SocketException>(failure.InnerException);
    });

    [Fact]
    public void A_write_canceled_in_the_middle_breaks_the_stream() => Run(async (time, _, client, server) =>
    {
        TcpSocketStream write = client.GetStream(ownsSocket: true);
        using var cancel = new CancellationTokenSource();
        Task writing = write.WriteAsync(new byte[50_000_000], cancel.Token).AsTask();
        await time.Delay(TimeSpan.FromSeconds(1));
        Assert.False(writing.IsCompleted);
        cancel.Cancel();
        OperationCanceledException canceled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => writing);
        Assert.Contains("broken", canceled.Message, StringComparison.Ordinal);
        IOException broken = await Assert.ThrowsAsync<IOException>(async () => await write.WriteAsync(new byte[1]));
        Assert.Contains("broken", broken.Message, StringComparison.Ordinal);
        client.Abort();
        server.Abort();
    });

    [Fact]
    public void A_write_cut_short_by_a_reset_says_that_the_stream_is_broken() => Run(async (time, _, client, server) =>
    {
        TcpSocketStream write = client.GetStream(ownsSocket: true);
        Task writing = write.WriteAsync(new byte[50_000_000]).AsTask();
        await time.Delay(TimeSpan.FromSeconds(1));
        server.Abort();
        IOException broken = await Assert.ThrowsAsync<IOException>(() => writing);
        Assert.Contains("broken", broken.Message, StringComparison.Ordinal);
        Assert.Equal(SocketError.ConnectionReset, Assert.IsType<SocketException>(broken.InnerException).SocketErrorCode);
        await write.DisposeAsync();
    });

    [Fact]
    public void A_read_can_be_canceled_and_tried_again() => Run(async (_, _, client, server) =>
    {
        await using TcpSocketStream write = client.GetStream(ownsSocket: true);
        await using TcpSocketStream read = server.GetStream(ownsSocket: true);
        using var cancel = new CancellationTokenSource();
        Task<int> waiting = read.ReadAsync(new byte[10], cancel.Token).AsTask();
        cancel.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        await write.WriteAsync(new byte[] { 1, 2, 3 });
        Assert.Equal(3, await read.ReadAsync(new byte[10]));
    });

    [Fact]
    public void Only_an_owning_stream_closes_the_socket() => Run(async (_, _, client, server) =>
    {
        TcpSocketStream borrowed = client.GetStream();
        await borrowed.DisposeAsync();
        Assert.False(borrowed.CanRead);
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await borrowed.ReadAsync(new byte[1]));
        Assert.Equal(2, await client.SendAsync(new byte[2]));
        TcpSocketStream owner = client.GetStream(ownsSocket: true);
        await owner.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await client.SendAsync(new byte[2]));
        Assert.Equal(2, await server.ReceiveAsync(new byte[10]));
        Assert.Equal(0, await server.ReceiveAsync(new byte[10]));
        server.Dispose();
    });

    [Fact]
    public async Task Blocking_reads_and_writes_work_on_real_threads()
    {
        await using var stack = new NetworkStack();
        await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
        TcpSocket client = await stack.ConnectTcpAsync(new DnsEndPoint("localhost", 80), cancellationToken: TestContext.Current.CancellationToken);
        TcpSocket server = await listener.AcceptAsync(TestContext.Current.CancellationToken);
        using TcpSocketStream write = client.GetStream(ownsSocket: true);
        using TcpSocketStream read = server.GetStream(ownsSocket: true);
        Task echo = Task.Run(
            () =>
            {
                byte[] buffer = new byte[4096];
                int n;
                while ((n = read.Read(buffer, 0, buffer.Length)) > 0)
                {
                    read.Write(buffer, 0, n);
                }

                server.Shutdown(SocketShutdown.Send);
            },
            TestContext.Current.CancellationToken);
        write.WriteByte(42);
        Assert.Equal(42, write.ReadByte());
        byte[] data = new byte[20_000];
        new Random(2).NextBytes(data);
        write.Write(data);
        client.Shutdown(SocketShutdown.Send);
        var got = new MemoryStream();
        write.CopyTo(got);
        await echo;
        Assert.Equal(data, got.ToArray());
        Assert.Equal(-1, write.ReadByte());
    }
}
