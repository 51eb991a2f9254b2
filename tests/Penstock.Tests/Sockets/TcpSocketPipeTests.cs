using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Penstock.Time;

#pragma warning disable xUnit1051 // virtual time ends by itself

namespace Penstock.Tests.Sockets;

/// <summary>The pipe face of a socket, over a loopback in virtual time. No slab and no charge may be left behind.</summary>
public class TcpSocketPipeTests
{
    private static void Run(Func<VirtualTime, TcpSocket, TcpSocket, Task> body)
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 });
        time.Run(async () =>
        {
            await using (TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80)))
            {
                TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
                TcpSocket server = await listener.AcceptAsync();
                await body(time, client, server);
                Assert.Null(client.Connection.VerifyInvariants());
                Assert.Null(server.Connection.VerifyInvariants());
                client.Dispose();
                server.Dispose();
            }

            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(5));
        Assert.Equal(0, stack.Pool.RentedSlabs);
        Assert.Equal(0, stack.Pool.RentedBuffers);
        Assert.Equal(0, stack.Tcp.Memory.AllocatedPages);
    }

    [Theory]
    [InlineData(1, 50)]
    [InlineData(1000, 3)]
    [InlineData(60_000, 1)]
    public void Bytes_come_through_in_order_and_completing_ends_the_stream(int chunk, int flushEvery) => Run(async (_, client, server) =>
    {
        IDuplexPipe there = client.AsPipe();
        IDuplexPipe here = server.AsPipe();
        byte[] data = new byte[chunk == 1 ? 3000 : 2_000_000];
        new Random(1).NextBytes(data);
        async Task Write()
        {
            int round = 0;
            for (int at = 0; at < data.Length;)
            {
                int count = Math.Min(chunk, data.Length - at);
                data.AsSpan(at, count).CopyTo(there.Output.GetSpan(count));
                there.Output.Advance(count);
                at += count;
                if (++round % flushEvery == 0)
                {
                    FlushResult flushed = await there.Output.FlushAsync();
                    Assert.False(flushed.IsCanceled);
                    Assert.Equal(0, there.Output.UnflushedBytes);
                    Assert.Null(client.Connection.VerifyInvariants());
                }
            }

            await there.Output.CompleteAsync();
        }

        Task writing = Write();
        var got = new MemoryStream();
        while (true)
        {
            ReadResult result = await here.Input.ReadAsync();
            foreach (ReadOnlyMemory<byte> part in result.Buffer)
            {
                got.Write(part.Span);
            }

            here.Input.AdvanceTo(result.Buffer.End);
            if (result.IsCompleted)
            {
                break;
            }
        }

        await writing;
        Assert.Equal(data, got.ToArray());
        await here.Input.CompleteAsync();
        await here.Output.CompleteAsync();
    });

    [Fact]
    public void What_was_written_is_attached_and_not_copied() => Run(async (_, client, server) =>
    {
        PipeWriter writer = client.AsPipe().Output;

        // The peer never reads, so the bytes stay queued where they were written.
        await client.SendAsync(new byte[100_000]);
        Memory<byte> memory = writer.GetMemory(1000);
        memory.Span[..1000].Fill(7);
        writer.Advance(1000);
        int before = client.Connection.Memory.WriteQueueBytes;
        ValueTask<FlushResult> flush = writer.FlushAsync();
        Assert.True(flush.IsCompletedSuccessfully);
        int heads = client.Connection.Memory.WriteQueueBytes - before - 1000;
        Assert.True(heads is 0 or Buffers.PacketBuffer.ObjectSize);
        memory.Span[..1000].Fill(8);
        byte[] got = new byte[101_000];
        for (int at = 0; at < got.Length;)
        {
            at += await server.ReceiveAsync(got.AsMemory(at));
        }

        Assert.All(got[100_000..], b => Assert.Equal(8, b));
        await writer.CompleteAsync();
    });

    [Fact]
    public void A_flush_waits_while_the_peer_does_not_read_and_can_be_canceled() => Run(async (time, client, server) =>
    {
        PipeWriter writer = client.AsPipe().Output;
        Task<FlushResult>? flush = null;
        long written = 0;
        while (flush is null || flush.IsCompleted)
        {
            writer.GetMemory(30_000);
            writer.Advance(30_000);
            written += 30_000;
            flush = writer.FlushAsync().AsTask();
            if (!flush.IsCompleted)
            {
                await time.Delay(TimeSpan.FromSeconds(2));
            }
        }

        writer.CancelPendingFlush();
        Assert.True((await flush).IsCanceled);
        Assert.True(writer.UnflushedBytes > 0);
        Task finishing = writer.CompleteAsync().AsTask();
        long got = 0;
        byte[] buffer = new byte[100_000];
        while (await server.ReceiveAsync(buffer) is > 0 and var n)
        {
            got += n;
        }

        await finishing;
        Assert.Equal(written, got);
    });

    [Fact]
    public void Completing_with_an_exception_resets() => Run(async (_, client, server) =>
    {
        PipeWriter writer = client.AsPipe().Output;
        writer.GetMemory(100);
        writer.Advance(100);
        writer.Complete(new InvalidDataException());
        SocketException reset = await Assert.ThrowsAsync<SocketException>(async () => await server.ReceiveAsync(new byte[1]));
        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        Assert.Throws<InvalidOperationException>(() => writer.GetMemory());
    });

    [Fact]
    public void A_reset_by_the_peer_surfaces_in_both_ends() => Run(async (_, client, server) =>
    {
        IDuplexPipe pipe = client.AsPipe();
        Task<ReadResult> reading = pipe.Input.ReadAsync().AsTask();
        server.Abort();
        IOException failed = await Assert.ThrowsAsync<IOException>(() => reading);
        Assert.IsType<SocketException>(failed.InnerException);
        pipe.Output.GetMemory(10);
        pipe.Output.Advance(10);
        failed = await Assert.ThrowsAsync<IOException>(async () => await pipe.Output.FlushAsync());
        Assert.IsType<SocketException>(failed.InnerException);
        await pipe.Output.CompleteAsync();
        await pipe.Input.CompleteAsync();
    });
}
