using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Penstock.Tests.Tcp;

#pragma warning disable xUnit1051 // virtual time ends by itself

namespace Penstock.Tests.Sockets;

/// <summary>The contract of <see cref="PipeReader"/>, as the reader of a socket keeps it. Each test ends with the check that no slab and no charge is left.</summary>
public class PipeReaderTests
{
    private static void Run(Func<TwoStacks, TcpSocket, TcpSocket, PipeReader, Task> body, CableOptions? cable = null)
    {
        var net = new TwoStacks(cable);
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            PipeReader reader = server.AsPipe().Input;
            await body(net, client, server, reader);
            net.CheckInvariants();
            await reader.CompleteAsync();
            client.Dispose();
            server.Dispose();
        });
    }

    private static Task Settle(TwoStacks net) => net.Time.Delay(TimeSpan.FromMilliseconds(500));

    private static async Task Send(TwoStacks net, TcpSocket socket, int count, int from = 0)
    {
        byte[] data = new byte[count];
        for (int i = 0; i < count; i++)
        {
            data[i] = (byte)(from + i);
        }

        await socket.SendAsync(data);
        await Settle(net);
    }

    [Fact]
    public void A_read_gives_all_that_has_arrived_and_TryRead_too() => Run(async (net, client, server, reader) =>
    {
        Assert.False(reader.TryRead(out _));
        await Send(net, client, 10);
        await Send(net, client, 10, 10);
        ReadResult result = await reader.ReadAsync();
        Assert.Equal(Enumerable.Range(0, 20).Select(i => (byte)i), result.Buffer.ToArray());
        Assert.False(result.IsCompleted);
        Assert.False(result.IsCanceled);
        reader.AdvanceTo(result.Buffer.End);
        Assert.False(reader.TryRead(out _));
        await Send(net, client, 5);
        Assert.True(reader.TryRead(out result));
        Assert.Equal(5, result.Buffer.Length);
        reader.AdvanceTo(result.Buffer.End);
    });

    [Fact]
    public void Small_packets_come_as_segments_of_one_sequence_and_the_bytes_are_those_of_the_slabs() => Run(async (net, client, server, reader) =>
    {
        client.NoDelay = true;
        for (int i = 0; i < 5; i++)
        {
            await Send(net, client, 100, i * 100);
        }

        long slabs = net.Server.Pool.RentedSlabs;
        ReadResult result = await reader.ReadAsync();
        Assert.Equal(slabs, net.Server.Pool.RentedSlabs);
        Assert.False(result.Buffer.IsSingleSegment);
        Assert.Equal(Enumerable.Range(0, 500).Select(i => (byte)i), result.Buffer.ToArray());
        reader.AdvanceTo(result.Buffer.End);
        Assert.True(net.Server.Pool.RentedSlabs < slabs);
        Assert.Equal(0, server.GetInfo().ReceiveMemory);
    });

    [Fact]
    public void A_read_waits_for_more_than_was_examined() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10);
        ReadResult result = await reader.ReadAsync();
        reader.AdvanceTo(result.Buffer.GetPosition(3), result.Buffer.End);
        Assert.False(reader.TryRead(out _));
        Task<ReadResult> waiting = reader.ReadAsync().AsTask();
        await Settle(net);
        Assert.False(waiting.IsCompleted);
        await Send(net, client, 1, 10);
        result = await waiting;
        Assert.Equal(Enumerable.Range(3, 8).Select(i => (byte)i), result.Buffer.ToArray());
        reader.AdvanceTo(result.Buffer.GetPosition(2), result.Buffer.GetPosition(5));

        // Three bytes have not been examined.
        result = await reader.ReadAsync();
        Assert.Equal(Enumerable.Range(5, 6).Select(i => (byte)i), result.Buffer.ToArray());
        reader.AdvanceTo(result.Buffer.Start);
        Assert.True(reader.TryRead(out result));
        Assert.Equal(6, result.Buffer.Length);
        reader.AdvanceTo(result.Buffer.End);
    });

    [Fact]
    public void Reading_again_without_an_advance_gives_the_same_bytes_and_what_came_since() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10);
        await reader.ReadAsync();
        await Send(net, client, 10, 10);
        ReadResult result = await reader.ReadAsync();
        Assert.Equal(Enumerable.Range(0, 20).Select(i => (byte)i), result.Buffer.ToArray());
        reader.AdvanceTo(result.Buffer.End);
    });

    [Fact]
    public void The_end_is_told_with_the_last_bytes_and_again_without_any() => Run(async (net, client, server, reader) =>
    {
        await client.SendAsync(new byte[10]);
        await client.ShutdownAsync(SocketShutdown.Send);
        await Settle(net);
        ReadResult result = await reader.ReadAsync();
        Assert.True(result.IsCompleted);
        Assert.Equal(10, result.Buffer.Length);
        reader.AdvanceTo(result.Buffer.GetPosition(4), result.Buffer.End);
        result = await reader.ReadAsync();
        Assert.True(result.IsCompleted);
        Assert.Equal(6, result.Buffer.Length);
        reader.AdvanceTo(result.Buffer.End);
        Assert.True(reader.TryRead(out result));
        Assert.True(result.IsCompleted);
        Assert.True(result.Buffer.IsEmpty);
        reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        Assert.True((await reader.ReadAsync()).IsCompleted);
    });

    [Fact]
    public void The_end_wakes_a_read_that_waits_and_gives_it_what_was_held() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10);
        ReadResult result = await reader.ReadAsync();
        reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        Task<ReadResult> waiting = reader.ReadAsync().AsTask();
        await client.ShutdownAsync(SocketShutdown.Send);
        result = await waiting;
        Assert.True(result.IsCompleted);
        Assert.Equal(10, result.Buffer.Length);
    });

    [Fact]
    public void A_pending_read_can_be_canceled_and_the_next_one_goes_on() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10);
        ReadResult result = await reader.ReadAsync();
        reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        Task<ReadResult> waiting = reader.ReadAsync().AsTask();
        reader.CancelPendingRead();
        result = await waiting;
        Assert.True(result.IsCanceled);
        Assert.Equal(10, result.Buffer.Length);
        reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);

        // Without a read to cancel, the next one is.
        reader.CancelPendingRead();
        result = await reader.ReadAsync();
        Assert.True(result.IsCanceled);
        reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        reader.CancelPendingRead();
        Assert.True(reader.TryRead(out result));
        Assert.True(result.IsCanceled);
        reader.AdvanceTo(result.Buffer.End);
        waiting = reader.ReadAsync().AsTask();
        await Send(net, client, 7);
        result = await waiting;
        Assert.False(result.IsCanceled);
        Assert.Equal(7, result.Buffer.Length);
        reader.AdvanceTo(result.Buffer.End);
    });

    [Fact]
    public void A_token_cancels_the_wait_only() => Run(async (net, client, server, reader) =>
    {
        using var cancel = new CancellationTokenSource();
        Task<ReadResult> waiting = reader.ReadAsync(cancel.Token).AsTask();
        await Settle(net);
        cancel.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await reader.ReadAsync(cancel.Token));
        await Send(net, client, 7);
        ReadResult result = await reader.ReadAsync();
        Assert.Equal(7, result.Buffer.Length);
        reader.AdvanceTo(result.Buffer.End);
    });

    [Fact]
    public void One_read_at_a_time_and_no_advance_during_it() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10);
        ReadResult result = await reader.ReadAsync();
        SequencePosition end = result.Buffer.End;
        reader.AdvanceTo(result.Buffer.Start, end);
        Task<ReadResult> waiting = reader.ReadAsync().AsTask();
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await reader.ReadAsync());
        Assert.Throws<InvalidOperationException>(() => reader.TryRead(out _));
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await server.ReceiveAsync(new byte[1]));
        Assert.Throws<InvalidOperationException>(() => reader.AdvanceTo(end));
        await Send(net, client, 1);
        reader.AdvanceTo((await waiting).Buffer.End);
    });

    [Fact]
    public void Wrong_positions_are_refused() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10);
        ReadResult result = await reader.ReadAsync();
        ReadOnlySequence<byte> buffer = result.Buffer;
        Assert.Throws<InvalidOperationException>(() => reader.AdvanceTo(buffer.GetPosition(5), buffer.GetPosition(4)));
        Assert.Throws<InvalidOperationException>(() => reader.AdvanceTo(new ReadOnlySequence<byte>(new byte[10]).Start));
        reader.AdvanceTo(buffer.End);
        Assert.Throws<InvalidOperationException>(() => reader.AdvanceTo(buffer.Start));
        reader.AdvanceTo(default);
    });

    [Fact]
    public void A_completed_reader_gives_everything_back_and_is_not_used_again() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 50_000);
        ReadResult result = await reader.ReadAsync();
        Assert.Equal(50_000, result.Buffer.Length);
        Assert.True(server.GetInfo().ReceiveMemory >= 50_000);
        reader.Complete(new InvalidDataException());
        Assert.Equal(0, server.GetInfo().ReceiveMemory);
        reader.Complete();
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await reader.ReadAsync());
        Assert.Throws<InvalidOperationException>(() => reader.TryRead(out _));
        Assert.Throws<InvalidOperationException>(() => reader.AdvanceTo(default));
        reader.CancelPendingRead();

        // The socket goes on.
        await Send(net, client, 3);
        Assert.Equal(3, await server.ReceiveAsync(new byte[10]));
    });

    [Fact]
    public void Completing_ends_a_read_that_waits() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10);
        ReadResult result = await reader.ReadAsync();
        reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        Task<ReadResult> waiting = reader.ReadAsync().AsTask();
        reader.Complete();
        await Assert.ThrowsAsync<InvalidOperationException>(() => waiting);
        Assert.Equal(0, server.GetInfo().ReceiveMemory);
    });

    [Fact]
    public void A_reset_fails_every_read_after_what_had_arrived_and_held_bytes_stay_valid() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10);
        ReadResult result = await reader.ReadAsync();
        ReadOnlySequence<byte> held = result.Buffer;
        await Send(net, client, 5, 10);
        client.Abort();
        await Settle(net);
        Assert.Equal(TcpConnectionState.Closed, server.State);
        Assert.Equal(Enumerable.Range(0, 10).Select(i => (byte)i), held.ToArray());
        Assert.True(reader.TryRead(out result));
        Assert.False(result.IsCompleted);
        Assert.Equal(Enumerable.Range(0, 15).Select(i => (byte)i), result.Buffer.ToArray());
        reader.AdvanceTo(result.Buffer.GetPosition(1), result.Buffer.End);
        for (int i = 0; i < 2; i++)
        {
            IOException failed = await Assert.ThrowsAsync<IOException>(async () => await reader.ReadAsync());
            Assert.Equal(SocketError.ConnectionReset, Assert.IsType<SocketException>(failed.InnerException).SocketErrorCode);
            Assert.Throws<IOException>(() => reader.TryRead(out _));
        }
    });

    [Fact]
    public void A_reset_that_the_writer_was_told_of_is_no_end_of_the_stream() => Run(async (net, client, server, reader) =>
    {
        client.Abort();
        await Settle(net);
        await Assert.ThrowsAsync<SocketException>(async () => await server.SendAsync(new byte[1]));
        await Assert.ThrowsAsync<IOException>(async () => await reader.ReadAsync());
    });

    [Fact]
    public void A_reset_fails_a_read_that_waits() => Run(async (net, client, server, reader) =>
    {
        Task<ReadResult> waiting = reader.ReadAsync().AsTask();
        client.Abort();
        await Assert.ThrowsAsync<IOException>(() => waiting);
    });

    [Fact]
    public void Held_bytes_outlive_the_socket_and_its_stack()
    {
        var net = new TwoStacks();
        PipeReader? reader = null;
        ReadOnlySequence<byte> held = default;
        long slabs = 0;
        net.Time.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            reader = server.AsPipe().Input;
            await Send(net, client, 5000);
            held = (await reader.ReadAsync()).Buffer;
            server.Dispose();
            await Settle(net);
            Assert.Equal(5000, held.Length);
            client.Dispose();
            await net.Client.DisposeAsync();
            await net.Server.DisposeAsync();
            slabs = net.Server.Pool.RentedSlabs;
        }, TimeSpan.FromHours(1));
        Assert.True(slabs > 0);
        Assert.Equal(Enumerable.Range(0, 5000).Select(i => (byte)i), held.ToArray());
        Assert.True(net.Server.Tcp.Memory.AllocatedPages > 0);
        reader!.AdvanceTo(held.Start);
        Assert.True(reader.TryRead(out ReadResult again));
        Assert.Equal(5000, again.Buffer.Length);
        reader.AdvanceTo(again.Buffer.End);
        Assert.Throws<ObjectDisposedException>(() => reader.TryRead(out _));
        Assert.Equal(0, net.Server.Pool.RentedSlabs);
        Assert.Equal(0, net.Server.Pool.RentedBuffers);
        Assert.Equal(0, net.Server.Tcp.Memory.AllocatedPages);
        reader.Complete();
    }

    [Fact]
    public void Disposing_the_socket_ends_a_read_that_waits_and_bytes_handed_out_do_not_make_it_a_reset() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10);
        ReadResult result = await reader.ReadAsync();
        reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        Task<ReadResult> waiting = reader.ReadAsync().AsTask();
        server.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => waiting);

        // FIN and no reset.
        Assert.Equal(0, await client.ReceiveAsync(new byte[10]));
    });

    [Fact]
    public void A_read_waits_for_the_owner_of_the_socket_and_an_advance_does_not() => Run(async (net, client, server, reader) =>
    {
        await Send(net, client, 10_000);
        ReadResult result = await reader.ReadAsync();
        server.Connection.Own();
        int charged = server.Connection.Memory.ReceiveAlloc;
        reader.AdvanceTo(result.Buffer.End);
        Assert.Equal(charged, server.Connection.Memory.ReceiveAlloc);
        Assert.False(reader.TryRead(out _));
        Task<ReadResult> waiting = reader.ReadAsync().AsTask();
        Assert.False(waiting.IsCompleted);
        server.Connection.Release();
        Assert.Equal(0, server.Connection.Memory.ReceiveAlloc);
        await Send(net, client, 4);
        result = await waiting;
        Assert.Equal(4, result.Buffer.Length);
        reader.AdvanceTo(result.Buffer.End);
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_urgent_byte_is_left_out_unless_it_is_in_line(bool inline) => Run(async (net, client, server, reader) =>
    {
        server.OutOfBandInline = inline;
        await Send(net, client, 1000);
        byte[] urgent = new byte[100];
        urgent.AsSpan().Fill(1);
        urgent[99] = 2;
        await client.SendAsync(urgent, TcpSendFlags.OutOfBand);
        await client.SendAsync(new byte[100]);
        await Settle(net);
        ReadResult result = await reader.ReadAsync();

        // It stops at the mark, so that the byte can still be fetched.
        Assert.Equal(1099, result.Buffer.Length);
        if (!inline)
        {
            byte[] one = new byte[1];
            Assert.Equal(1, await server.ReceiveAsync(one, TcpReceiveFlags.OutOfBand));
            Assert.Equal(2, one[0]);
        }

        reader.AdvanceTo(result.Buffer.GetPosition(1050), result.Buffer.End);
        result = await reader.ReadAsync();
        byte[] expected = [.. Enumerable.Repeat((byte)1, 49), .. inline ? [2] : Array.Empty<byte>(), .. new byte[100]];
        Assert.Equal(expected, result.Buffer.ToArray());
        net.CheckInvariants();
        reader.AdvanceTo(result.Buffer.End);
        Assert.Equal(0, server.GetInfo().ReceiveMemory);
    });

    [Fact]
    public void Streams_over_the_reader_see_the_same_bytes() => Run(async (net, client, server, reader) =>
    {
        byte[] data = new byte[300_000];
        new Random(3).NextBytes(data);
        async Task Write()
        {
            await client.SendAsync(data);
            await client.ShutdownAsync(SocketShutdown.Send);
        }

        Task writing = Write();
        var got = new MemoryStream();
        await reader.CopyToAsync(got);
        await writing;
        Assert.Equal(data, got.ToArray());
    });

    [Fact]
    public void ReadAtLeast_gathers_a_message_from_many_packets() => Run(async (net, client, server, reader) =>
    {
        Task<ReadResult> waiting = reader.ReadAtLeastAsync(25_000).AsTask();
        for (int i = 0; i < 30; i++)
        {
            await Send(net, client, 1000, i * 1000);
        }

        ReadResult result = await waiting;
        Assert.True(result.Buffer.Length >= 25_000);
        Assert.Equal(Enumerable.Range(0, (int)result.Buffer.Length).Select(i => (byte)i), result.Buffer.ToArray());
        reader.AdvanceTo(result.Buffer.End);
    });
}
