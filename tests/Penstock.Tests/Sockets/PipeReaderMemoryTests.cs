using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CsCheck;
using Penstock.Buffers;
using Penstock.Tests.Seeds;
using Penstock.Tests.Tcp;
using Penstock.Wire;

#pragma warning disable xUnit1051 // virtual time ends by itself

namespace Penstock.Tests.Sockets;

/// <summary>What a pipe reader holds: its charge, the window, long messages, memory that runs short, no allocation; and a comparison with the framework's own reader.</summary>
public class PipeReaderMemoryTests
{
    [Fact]
    public void A_reader_that_does_not_advance_closes_the_window_and_an_advance_opens_it()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(1) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            PipeReader reader = server.AsPipe().Input;
            byte[] data = new byte[3_000_000];
            new Random(3).NextBytes(data);
            ValueTask<int> sending = client.SendAsync(data);
            int held = 0;
            for (int i = 0; i < 200; i++)
            {
                // Taken out of the socket each time, and yet the peer gets nowhere.
                await net.Time.Delay(TimeSpan.FromSeconds(1));
                ReadResult all = await reader.ReadAsync();
                Assert.True(server.GetInfo().ReceiveMemory > all.Buffer.Length);
                held = (int)all.Buffer.Length;
                reader.AdvanceTo(all.Buffer.Start);
            }

            Assert.Equal(0, client.GetInfo().SendWindow);
            Assert.InRange(held, 30_000, 131_072);
            Assert.Equal(0, server.Available);
            net.CheckInvariants();
            int at = 0;
            while (at < data.Length)
            {
                ReadResult result = await reader.ReadAsync();
                foreach (ReadOnlyMemory<byte> part in result.Buffer)
                {
                    Assert.True(part.Span.SequenceEqual(data.AsSpan(at, part.Length)));
                    at += part.Length;
                }

                reader.AdvanceTo(result.Buffer.End);
            }

            Assert.Equal(data.Length, await sending);
            Assert.Equal(0, server.GetInfo().ReceiveMemory);
            reader.Complete();
            await client.CloseAsync();
            await server.CloseAsync();
        });
    }

    [Theory]
    [InlineData(1_500_000, 1_500_000)]
    [InlineData(400_000, 100)]
    public void A_message_longer_than_the_receive_buffer_is_gathered_and_small_packets_are_packed(int message, int chunk)
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(1) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync(new TcpConnectOptions { NoDelay = true });
            PipeReader reader = server.AsPipe().Input;
            byte[] data = new byte[message];
            new Random(3).NextBytes(data);
            async Task Write()
            {
                for (int at = 0; at < message; at += chunk)
                {
                    await client.SendAsync(data.AsMemory(at, chunk), TcpSendFlags.EndOfRecord);
                }
            }

            Task writing = Write();
            Assert.Equal(131_072, server.GetInfo().ReceiveBuffer);
            ReadResult result = default;
            while (result.Buffer.Length < message)
            {
                result = await reader.ReadAsync();
                reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            }

            Assert.True(reader.TryRead(out result) is false);
            reader.CancelPendingRead();
            result = await reader.ReadAsync();
            Assert.True(result.Buffer.ToArray().AsSpan().SequenceEqual(data));
            Assert.True(server.GetInfo().ReceiveBuffer <= 6 << 20);
            net.CheckInvariants();
            reader.AdvanceTo(result.Buffer.End);
            Assert.Equal(0, server.GetInfo().ReceiveMemory);
            await writing;
            reader.Complete();
            await client.CloseAsync();
            await server.CloseAsync();
        });
    }

    [Theory]
    [InlineData(null)]
    [InlineData(50_000)]
    public void A_message_that_never_fits_fails_the_read_instead_of_waiting_for_ever(int? buffer)
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(1) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync(null, new TcpListenOptions(TwoStacks.ServerAddress) { ReceiveBufferSize = buffer });
            PipeReader reader = server.AsPipe().Input;
            ValueTask<int> sending = client.SendAsync(new byte[20_000_000]);
            ReadResult result = default;
            IOException full = await Assert.ThrowsAsync<IOException>(async () =>
            {
                while (true)
                {
                    result = await reader.ReadAsync();
                    reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
                }
            });
            Assert.Equal(SocketError.NoBufferSpaceAvailable, Assert.IsType<SocketException>(full.InnerException).SocketErrorCode);
            Assert.InRange(server.GetInfo().ReceiveMemory, 1, buffer is null ? 7 << 20 : 200_000);

            // Not the end: with room again it goes on.
            long got = 0;
            while (got < 20_000_000)
            {
                reader.CancelPendingRead();
                result = await reader.ReadAsync();
                got += result.Buffer.Length;
                reader.AdvanceTo(result.Buffer.End);
                await net.Time.Delay(TimeSpan.FromMilliseconds(10));
            }

            Assert.Equal(20_000_000, await sending);
            reader.Complete();
            await client.CloseAsync();
            await server.CloseAsync();
        });
    }

    [Fact]
    public async Task When_memory_runs_short_what_the_reader_holds_is_neither_moved_nor_freed()
    {
        await using HandPeer peer = new HandPeer(s => s.ModerateReceiveBuffer = false).Open();
        PipeReader reader = peer.Socket.AsPipe().Input;
        var expected = new List<byte>();
        for (int i = 0; i < 10; i++)
        {
            expected.AddRange(Enumerable.Repeat((byte)peer.Next, 300));
            peer.Data(300);
        }

        Assert.True(reader.TryRead(out ReadResult held));
        ArraySegment<byte>[] before = Arrays(held.Buffer);

        // Badly packed data behind it is collapsed, data beyond a gap pruned, and at last even what is in order refused.
        for (int i = 0; i < 60; i++)
        {
            peer.Deliver(TcpFlags.Ack, peer.Next + 58_000 + (uint)(i * 20), peer.Acked, 10);
        }

        for (int i = 0; i < 180; i++)
        {
            peer.Data(300);
            peer.Check();
        }

        Assert.True(peer.Stack.GetCounter(StackCounter.TcpRcvCollapsed) > 0);
        Assert.Equal(before, Arrays(held.Buffer));
        Assert.Equal(expected, held.Buffer.ToArray());
        reader.Complete();
    }

    [Fact]
    public async Task While_the_reader_holds_everything_a_closed_window_takes_no_probe()
    {
        await using HandPeer peer = new HandPeer().Open();
        PipeReader reader = peer.Socket.AsPipe().Input;

        // What does not fit into the window is not taken, so it is filled up with ever smaller segments.
        for (int length = 1000; length > 0; length /= 10)
        {
            while (TryData(peer, length))
            {
            }
        }

        Assert.True(reader.TryRead(out ReadResult held));
        reader.AdvanceTo(held.Buffer.Start, held.Buffer.End);
        int charged = peer.Connection.Memory.ReceiveAlloc;
        for (int i = 0; i < 50; i++)
        {
            peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked, 1);
        }

        Assert.Equal(charged, peer.Connection.Memory.ReceiveAlloc);
        Assert.False(reader.TryRead(out _));
        reader.Complete();
    }

    [Fact]
    public async Task A_reader_that_gathers_a_message_is_acknowledged_each_time_it_looks()
    {
        // Once all of a large buffer is on offer the window falls with each byte that is held; the reader keeps up all the same.
        await using HandPeer peer = new HandPeer(s => s.ReceiveBufferDefault = 4 << 20).Open();
        PipeReader reader = peer.Socket.AsPipe().Input;
        ValueTask<ReadResult> read = reader.ReadAsync();
        for (int i = 0; i < 150; i++)
        {
            peer.Data(HandPeer.Mss);
            peer.Data(HandPeer.Mss);
            peer.Time.RunReady();
            Assert.True(read.IsCompleted);
            ReadResult gathered = await read;
            reader.AdvanceTo(gathered.Buffer.Start, gathered.Buffer.End);
            read = reader.ReadAsync();

            // A single segment may wait (RFC 9293 3.8.6.3), two may not.
            Assert.InRange((int)(peer.Next - peer.Link.Sent[^1].Acknowledgment), 0, HandPeer.Mss);
        }

        reader.CancelPendingRead();
        peer.Time.RunReady();
        Assert.True(read.IsCompleted && (await read).IsCanceled);
        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.DelayedACKs));
        reader.Complete();
    }

    private static bool TryData(HandPeer peer, int length)
    {
        long before = peer.Connection.Snapshot().BytesReceived;
        peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked, length);
        long taken = peer.Connection.Snapshot().BytesReceived - before;
        peer.Next += (uint)taken;
        return taken > 0;
    }

    [Fact]
    public async Task Received_bytes_that_are_in_no_slab_are_handed_out_where_they_lie_too()
    {
        await using HandPeer peer = new HandPeer().Open();
        byte[] memory = GC.AllocateArray<byte>(100, pinned: true);
        memory.AsSpan().Fill(9);
        var owner = new ForeignOwner();
        Deliver(peer, owner, memory);
        PipeReader reader = peer.Socket.AsPipe().Input;
        Assert.True(reader.TryRead(out ReadResult result));
        memory[50] = 10;
        Assert.Equal(memory, result.Buffer.ToArray());
        using (MemoryHandle pinned = result.Buffer.First[50..].Pin())
        {
            Assert.Equal(10, At(pinned));
        }

        Assert.False(owner.IsFree);
        reader.AdvanceTo(result.Buffer.GetPosition(99));
        Assert.False(owner.IsFree);
        reader.CancelPendingRead();
        reader.AdvanceTo((await reader.ReadAsync()).Buffer.End);
        Assert.True(owner.IsFree);
        reader.Complete();
    }

    [Theory]
    [InlineData(64, 5_000)]
    [InlineData(100_000, 500)]
    public void Nothing_is_allocated_for_a_read(int size, int rounds)
    {
        var net = new TwoStacks();
        long allocated = 0;
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync(new TcpConnectOptions { NoDelay = true }, new TcpListenOptions(TwoStacks.ServerAddress) { NoDelay = true });
            Task echo = EchoAsync(server);
            byte[] buffer = new byte[size];
            PipeReader reader = client.AsPipe().Input;
            await PingAsync(client, reader, buffer, rounds);
            allocated = await Allocations.LeastAsync(() => PingAsync(client, reader, buffer, rounds));
            await client.ShutdownAsync(SocketShutdown.Send);
            await echo;
            Assert.True((await reader.ReadAsync()).IsCompleted);
            reader.Complete();
            await client.CloseAsync();
            await server.CloseAsync();
        });
        Assert.True(allocated < Allocations.OnceOnly, $"{allocated} bytes for {rounds} round trips of {size} bytes");
    }

    [Fact]
    public void On_any_schedule_it_gives_what_the_framework_s_reader_over_a_stream_gives() =>
        Gen.Select(Gen.UInt, Gen.Select(Gen.Int[0, 5000], Gen.Double.Unit, Gen.Double.Unit, Gen.Int[0, 5]).Array[1, 25]).Sample((seed, steps) =>
        {
            var net = new TwoStacks(new CableOptions { Loss = 0.02, Delay = TimeSpan.FromMilliseconds(1) }, seed: seed);
            net.Run(async () =>
            {
                (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
                (TcpSocket otherClient, TcpSocket otherServer) = await net.ConnectAsync();
                PipeReader ours = server.AsPipe().Input;
                PipeReader theirs = PipeReader.Create(otherServer.GetStream(), new StreamPipeReaderOptions(bufferSize: 1 << 20, leaveOpen: true));
                int sent = 0, consumed = 0, examined = 0;
                foreach ((int size, double toConsume, double toExamine, int kind) in steps)
                {
                    byte[] data = new byte[size];
                    for (int i = 0; i < size; i++)
                    {
                        data[i] = (byte)((sent + i) * 31);
                    }

                    await client.SendAsync(data);
                    await otherClient.SendAsync(data);
                    sent += size;
                    await net.Time.Delay(TimeSpan.FromMinutes(1));
                    net.CheckInvariants();
                    bool cancel = kind == 0 || examined == sent;
                    if (cancel)
                    {
                        ours.CancelPendingRead();
                        theirs.CancelPendingRead();
                    }

                    ReadResult mine = await ours.ReadAsync();
                    ReadResult his = await theirs.ReadAsync();
                    Assert.Equal(cancel, mine.IsCanceled);
                    Assert.Equal(cancel, his.IsCanceled);
                    Assert.False(mine.IsCompleted);
                    Assert.Equal(sent - consumed, mine.Buffer.Length);
                    int common = (int)his.Buffer.Length;
                    Assert.Equal(his.Buffer.ToArray(), mine.Buffer.Slice(0, common).ToArray());
                    int take = kind == 1 ? common : (int)(toConsume * common);
                    int look = kind == 2 ? common : take + (int)(toExamine * (common - take));
                    ours.AdvanceTo(mine.Buffer.GetPosition(take), mine.Buffer.GetPosition(look));
                    theirs.AdvanceTo(his.Buffer.GetPosition(take), his.Buffer.GetPosition(look));
                    consumed += take;
                    examined = consumed - take + look;
                }

                await client.ShutdownAsync(SocketShutdown.Send);
                await otherClient.ShutdownAsync(SocketShutdown.Send);
                byte[] mineLeft = await RestAsync(ours);
                Assert.Equal(await RestAsync(theirs), mineLeft);
                Assert.Equal(sent - consumed, mineLeft.Length);
                Assert.Equal(0, server.GetInfo().ReceiveMemory);
                ours.Complete();
                theirs.Complete();
                foreach (TcpSocket socket in (TcpSocket[])[client, server, otherClient, otherServer])
                {
                    socket.Dispose();
                }
            });
        }, iter: 100);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task On_real_threads_the_stream_is_whole_while_sends_own_the_socket_and_reads_are_canceled(bool inline)
    {
        const int Length = 8_000_000;
        var stack = new NetworkStack();
        await using (TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80)))
        {
            TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket server = await listener.AcceptAsync();
            client.UnsafeInlineContinuations = server.UnsafeInlineContinuations = inline;
            IDuplexPipe near = client.AsPipe(), far = server.AsPipe();
            using var end = new CancellationTokenSource();
            Task canceling = Task.Run(async () =>
            {
                while (!end.IsCancellationRequested)
                {
                    near.Input.CancelPendingRead();
                    far.Input.CancelPendingRead();
                    await Task.Yield();
                }
            });

            // Both directions at once, so that each end's sends own the socket whose reader gives back.
            await Task.WhenAll(WriteAsync(near.Output), WriteAsync(far.Output), CheckAsync(near.Input, 3), CheckAsync(far.Input, 4));
            await end.CancelAsync();
            await canceling;
            Assert.Equal(0, client.GetInfo().ReceiveMemory);
            Assert.Equal(0, server.GetInfo().ReceiveMemory);
            client.Dispose();
            server.Dispose();
        }

        await stack.DisposeAsync();
        Assert.Equal(0, stack.Pool.RentedSlabs);
        Assert.Equal(0, stack.Tcp.Memory.AllocatedPages);

        static async Task WriteAsync(PipeWriter writer)
        {
            for (int at = 0; at < Length;)
            {
                Memory<byte> memory = writer.GetMemory();
                int count = Math.Min(memory.Length, Length - at);
                for (int i = 0; i < count; i++)
                {
                    memory.Span[i] = (byte)((at + i) * 13);
                }

                writer.Advance(count);
                at += count;
                await writer.FlushAsync();
            }

            await writer.CompleteAsync();
        }

        static async Task CheckAsync(PipeReader reader, int seed)
        {
            var random = new Random(seed);
            long at = 0;
            while (true)
            {
                ReadResult result = await reader.ReadAsync();
                long take = result.IsCompleted ? result.Buffer.Length : random.NextInt64(result.Buffer.Length + 1);
                byte[] bytes = result.Buffer.Slice(0, take).ToArray();
                for (int i = 0; i < bytes.Length; i++)
                {
                    if (bytes[i] != (byte)((at + i) * 13))
                    {
                        Assert.Fail($"byte {at + i} is wrong");
                    }
                }

                at += take;
                reader.AdvanceTo(result.Buffer.GetPosition(take), random.Next(2) == 0 ? result.Buffer.End : result.Buffer.GetPosition(take));
                if (result.IsCompleted)
                {
                    break;
                }
            }

            Assert.Equal(Length, at);
            reader.Complete();
        }
    }

    [Fact]
    public async Task A_reader_that_is_forgotten_gives_back_what_it_holds_when_it_is_collected()
    {
        await using HandPeer peer = new HandPeer().Open();
        Forget(peer);
        for (int i = 0; i < 10 && peer.Connection.Memory.ReceiveAlloc > 0; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.Equal(0, peer.Connection.Memory.ReceiveAlloc);
        peer.Check();
    }

    [Fact]
    public async Task A_sequence_that_is_still_read_keeps_the_reader_that_nobody_refers_to()
    {
        await using HandPeer peer = new HandPeer().Open();
        ReadOnlySequence<byte> sequence = Handed(peer);
        for (int i = 0; i < 3; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.NotEqual(0, peer.Connection.Memory.ReceiveAlloc);
        Assert.Equal(1000, sequence.ToArray().Length);
        sequence = default;
        for (int i = 0; i < 10 && peer.Connection.Memory.ReceiveAlloc > 0; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.Equal(0, peer.Connection.Memory.ReceiveAlloc);
        peer.Check();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ReadOnlySequence<byte> Handed(HandPeer peer)
    {
        PipeReader reader = peer.Socket.AsPipe().Input;
        peer.Data(1000);
        Assert.True(reader.TryRead(out ReadResult result));
        return result.Buffer;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Forget(HandPeer peer)
    {
        PipeReader reader = peer.Socket.AsPipe().Input;
        peer.Data(1000);
        Assert.True(reader.TryRead(out _));
    }

    private static async Task<byte[]> RestAsync(PipeReader reader)
    {
        while (true)
        {
            ReadResult result = await reader.ReadAsync();
            if (result.IsCompleted)
            {
                byte[] all = result.Buffer.ToArray();
                reader.AdvanceTo(result.Buffer.End);
                return all;
            }

            reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        }
    }

    private static async Task PingAsync(TcpSocket socket, PipeReader reader, byte[] buffer, int rounds)
    {
        for (int i = 0; i < rounds; i++)
        {
            await socket.SendAsync(buffer).ConfigureAwait(false);
            for (long got = 0; got < buffer.Length;)
            {
                // A part is left for the next read, and every read but the last is in vain.
                ReadResult result = await reader.ReadAsync().ConfigureAwait(false);
                long take = got + result.Buffer.Length == buffer.Length ? result.Buffer.Length : result.Buffer.Length / 2;
                got += take;
                reader.AdvanceTo(result.Buffer.GetPosition(take), result.Buffer.End);
            }
        }
    }

    private static async Task EchoAsync(TcpSocket socket)
    {
        PipeReader reader = socket.AsPipe().Input;
        while (true)
        {
            ReadResult result = await reader.ReadAsync().ConfigureAwait(false);
            await socket.SendAsync(result.Buffer).ConfigureAwait(false);
            reader.AdvanceTo(result.Buffer.End);
            if (result.IsCompleted)
            {
                reader.Complete();
                await socket.ShutdownAsync(SocketShutdown.Send).ConfigureAwait(false);
                return;
            }
        }
    }

    private static ArraySegment<byte>[] Arrays(ReadOnlySequence<byte> bytes)
    {
        var all = new List<ArraySegment<byte>>();
        foreach (ReadOnlyMemory<byte> part in bytes)
        {
            Assert.True(MemoryMarshal.TryGetArray(part, out ArraySegment<byte> array));
            all.Add(array);
        }

        return [.. all];
    }

    private static unsafe byte At(MemoryHandle pinned) => *(byte*)pinned.Pointer;

    private static unsafe void Deliver(HandPeer peer, ForeignOwner owner, byte[] memory)
    {
        PacketBuffer packet = peer.Make(TcpFlags.Ack, peer.Next, peer.Acked)!;
        owner.StartReferences();
        packet.Append(owner, (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(memory, 0), memory.Length);
        packet.EndSequence += memory.Length;
        packet.TrueSize += memory.Length;
        peer.Next += (uint)memory.Length;
        peer.Connection.ReceivePacket(packet, null!);
    }

    private sealed class ForeignOwner : PayloadOwner
    {
        public bool IsFree { get; private set; }

        protected override void OnUnreferenced() => IsFree = true;
    }
}
