using System.Buffers;
using System.IO.Pipelines;
using Penstock.Buffers;
using Penstock.Tests.Seeds;
using Penstock.Tests.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Links;

/// <summary>A cable that passes references: the receiver's queues hold the sending application's memory until it has been consumed.</summary>
public class CableReferenceTests
{
    private const int Page = 4096;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Memory_is_released_when_the_receiver_has_read_it(bool hold)
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = hold });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            client.ZeroCopyNotifications = true;
            byte[] data = Pattern(12 * Page);
            Task released = (await client.SendZeroCopyAsync(data)).Released.AsTask();
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            Assert.Equal(1 + data.Length, (int)client.GetInfo().BytesAcked);
            net.CheckInvariants();

            // The control: without the option the acknowledgment is enough, and the data was copied.
            Assert.Equal(!hold, released.IsCompleted);
            byte[] got = new byte[data.Length];
            await ReceiveAsync(server, got.AsMemory(..^1));
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            Assert.Equal(!hold, released.IsCompleted);
            await ReceiveAsync(server, got.AsMemory(^1..));
            await released;
            Assert.Equal(data, got);
            Assert.True(client.TryReadZeroCopyNotification(out ZeroCopyNotification notification));
            Assert.Equal(new ZeroCopyNotification(0, 0, Copied: !hold), notification);
            await CloseAsync(client, server);
        });
    }

    [Fact]
    public void What_is_held_costs_the_receiver_its_pages_but_none_of_its_own_memory()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            long before = net.Server.Pool.HeldBytes;
            await client.SendZeroCopyAsync(Pattern(12 * Page));
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            int charged = server.Connection.Memory.ReceiveAlloc;
            Assert.InRange(charged, 12 * Page, 24 * Page);
            Assert.InRange(net.Server.Pool.HeldBytes - before, 1, 2 * Page);
            await ReceiveAsync(server, new byte[12 * Page]);
            Assert.Equal(0, server.Connection.Memory.ReceiveAlloc);
            await CloseAsync(client, server);
        });
    }

    [Fact]
    public void Copied_and_lent_bytes_in_one_buffer_arrive_in_order()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            client.ZeroCopyNotifications = true;
            byte[] data = Pattern(100_000);
            byte[] got = new byte[data.Length];
            Task reading = ReceiveAsync(server, got);
            var random = new Random(7);
            for (int at = 0; at < data.Length;)
            {
                int count = Math.Min(random.Next(1, 5000), data.Length - at);
                TcpSendFlags flags = random.Next(3) > 0 ? TcpSendFlags.More : TcpSendFlags.None;
                at += random.Next(2) == 0
                    ? await client.SendAsync(data.AsMemory(at, count), flags)
                    : (await client.SendZeroCopyAsync(data.AsMemory(at, count), flags)).BytesQueued;
            }

            client.NoDelay = true;
            await reading;
            Assert.Equal(data, got);
            Assert.True(net.Client.GetCounter(StackCounter.TcpZeroCopyDowngrades) > 0);
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            while (client.TryReadZeroCopyNotification(out ZeroCopyNotification notification))
            {
                Assert.False(notification.Copied);
            }

            await CloseAsync(client, server);
        });
    }

    [Fact]
    public void A_buffer_with_all_slots_in_use_is_copied()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            client.ZeroCopyNotifications = true;
            byte[] data = Pattern(3 * Page);
            ReadOnlySequence<byte> full = Scattered(data, PacketBuffer.MaximumFragments, 100);
            ReadOnlySequence<byte> roomy = Scattered(data, PacketBuffer.MaximumFragments - 1, 100);
            byte[] got = new byte[full.Length + roomy.Length];
            await client.SendZeroCopyAsync(full);
            await ReceiveAsync(server, got.AsMemory(0, (int)full.Length));
            await client.SendZeroCopyAsync(roomy);
            await ReceiveAsync(server, got.AsMemory((int)full.Length));
            Assert.Equal([.. full.ToArray(), .. roomy.ToArray()], got);
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            Assert.True(client.TryReadZeroCopyNotification(out ZeroCopyNotification first));
            Assert.True(client.TryReadZeroCopyNotification(out ZeroCopyNotification second));
            Assert.Equal((true, false), (first.Copied, second.Copied));
            await CloseAsync(client, server);
        });
    }

    [Fact]
    public void Small_segments_of_both_kinds_do_not_overtake_each_other()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true, Delay = TimeSpan.FromMilliseconds(1) });
        net.Run(async () =>
        {
            // A segment a buffer, and no PSH but at the end: those of both kinds arrive in one batch, and the copied ones wait to be merged.
            net.Client.Tcp.Settings.SizeGoal = 1;
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            int part = 3 * client.GetInfo().SendMss;
            byte[] data = Pattern(3 * part);
            await client.SendAsync(data.AsMemory(0, part), TcpSendFlags.More);
            await client.SendZeroCopyAsync(data.AsMemory(part, part), TcpSendFlags.More);
            await client.SendAsync(data.AsMemory(2 * part));
            byte[] got = new byte[data.Length];
            await ReceiveAsync(server, got);
            Assert.Equal(data, got);
            Assert.Equal(0, net.Server.GetCounter(StackCounter.TcpOfoQueue));
            Assert.Equal(0, net.Client.GetCounter(StackCounter.TcpZeroCopyCopied));
            await CloseAsync(client, server);
        });
    }

    [Fact]
    public void References_beyond_a_gap_are_kept_apart_and_delivered_when_it_is_filled()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true, Delay = TimeSpan.FromMilliseconds(5) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            client.NoDelay = true;
            byte[] data = Pattern(8 * Page);
            net.Cable.AToB.Update(o => o.Loss = 1);
            await client.SendZeroCopyAsync(data.AsMemory(0, 1000), TcpSendFlags.EndOfRecord);
            net.Cable.AToB.Update(o => o.Loss = 0);
            Task released = Task.CompletedTask;
            for (int i = 1; i < 8; i++)
            {
                released = (await client.SendZeroCopyAsync(data.AsMemory(i * 1000, 1000), TcpSendFlags.EndOfRecord)).Released.AsTask();
            }

            byte[] got = new byte[8000];
            await ReceiveAsync(server, got);
            Assert.Equal(data[..8000], got);
            Assert.True(net.Server.GetCounter(StackCounter.TcpOfoQueue) > 0);
            Assert.Equal(0, net.Server.GetCounter(StackCounter.TcpOfoMerge) + net.Server.GetCounter(StackCounter.TcpRcvCoalesce));
            await released;
            await CloseAsync(client, server);
        });
    }

    [Fact]
    public void A_reader_that_never_reads_holds_no_more_than_its_window()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true, Delay = TimeSpan.FromMilliseconds(1) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            byte[] data = Pattern(4 * Page);
            var released = new List<Task>();
            using var stop = new CancellationTokenSource();
            Task sending = Task.CompletedTask;
            async Task SendAllAsync()
            {
                for (int i = 0; i < 1000; i++)
                {
                    ZeroCopySend sent = await client.SendZeroCopyAsync(data, stop.Token);
                    released.Add(sent.Released.AsTask());
                }
            }

            sending = SendAllAsync();
            await net.Time.Delay(TimeSpan.FromHours(1));
            Assert.False(sending.IsCompleted);
            Assert.Equal(0, client.GetInfo().SendWindow);
            Assert.InRange(server.Connection.Memory.ReceiveAlloc, 1, server.Connection.Memory.ReceiveBuffer + (17 * Page));
            Assert.Equal(0, net.Server.GetCounter(StackCounter.TcpRcvQDrop));
            Assert.All(released, r => Assert.False(r.IsCompleted));

            // Closing with data unread resets the connection, and nothing is held any more.
            await server.DisposeAsync();
            await Assert.ThrowsAnyAsync<Exception>(() => sending);
            await Task.WhenAll(released);
            Assert.Equal(0, net.Client.Tcp.PinnedBytes);
            await client.DisposeAsync();
        });
    }

    [Fact]
    public void A_pipe_reader_hands_out_the_senders_memory_itself()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            PipeReader reader = server.AsPipe().Input;
            byte[] data = Pattern(12 * Page);
            Task released = (await client.SendZeroCopyAsync(data)).Released.AsTask();
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            ReadResult read = await reader.ReadAsync();
            Assert.Equal(data, read.Buffer.ToArray());

            // No copy at all: what the sender changes too early, the reader sees.
            data[5] ^= 1;
            Assert.Equal(data[5], read.Buffer.FirstSpan[5]);
            reader.AdvanceTo(read.Buffer.GetPosition(data.Length - 1), read.Buffer.End);
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            Assert.False(released.IsCompleted);
            Assert.True(reader.TryRead(out _) is false);
            await reader.CompleteAsync();
            await released;
            await CloseAsync(client, server);
        });
    }

    [Fact]
    public void The_sending_stack_is_disposed_while_its_memory_is_still_read()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            byte[] data = Pattern(8 * Page);
            Task released = (await client.SendZeroCopyAsync(data)).Released.AsTask();
            await client.DisposeAsync();
            await net.Client.DisposeAsync();
            Assert.False(released.IsCompleted);
            byte[] got = new byte[data.Length];
            await ReceiveAsync(server, got);
            Assert.Equal(data, got);
            await released;
            Assert.Equal(0, net.Client.Tcp.PinnedBytes);
            await server.DisposeAsync();
        });
    }

    [Fact]
    public void Disposing_the_receiving_stack_releases_what_it_held()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket _) = await net.ConnectAsync();
            Task released = (await client.SendZeroCopyAsync(Pattern(8 * Page))).Released.AsTask();
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            Assert.False(released.IsCompleted);
            await net.Server.DisposeAsync();
            await released;
            client.Abort();
        });
    }

    [Fact]
    public void Pulling_the_plug_releases_what_was_under_way()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true, Delay = TimeSpan.FromMilliseconds(100) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            Task released = (await client.SendZeroCopyAsync(Pattern(2 * Page))).Released.AsTask();
            await net.Time.Delay(TimeSpan.FromMilliseconds(10));
            client.Abort();
            await net.Time.Delay(TimeSpan.FromMilliseconds(10));
            Assert.False(released.IsCompleted);
            net.Cable.Dispose();
            await released;
            Assert.Equal(0, net.Client.Tcp.PinnedBytes);
            server.Abort();
        });
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public void A_cable_that_does_not_pass_packets_as_they_are_copies(bool checksums, bool split)
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true, Checksums = checksums, SuperSegments = !split });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            client.ZeroCopyNotifications = true;
            byte[] data = Pattern(8 * Page);
            await (await client.SendZeroCopyAsync(data)).Released;
            Assert.True(client.TryReadZeroCopyNotification(out ZeroCopyNotification notification));
            Assert.True(notification.Copied);
            byte[] got = new byte[data.Length];
            await ReceiveAsync(server, got);
            Assert.Equal(data, got);
            await CloseAsync(client, server);
        });
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_capture_at_either_end_sees_all_of_it(bool atSender)
    {
        var file = new MemoryStream();
        var time = new Penstock.Time.VirtualTime();
        var cable = new VirtualCable(new CableOptions { HoldReferences = true, Checksums = false });
        var capture = new CaptureLink(atSender ? cable.A : cable.B, file, leaveOpen: true);
        time.Run(
            async () =>
            {
                var client = new NetworkStack(new NetworkStackOptions { Name = "client", Driver = time });
                var server = new NetworkStack(new NetworkStackOptions { Name = "server", Driver = time });
                client.AddInterface(atSender ? capture : cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
                server.AddInterface(atSender ? cable.B : capture, InterfaceAddress.Parse("10.1.0.2/24"));
                await using TcpSocketListener listener = server.ListenTcp(new TcpListenOptions(TwoStacks.ServerAddress));
                ValueTask<TcpSocket> connecting = client.ConnectTcpAsync(TwoStacks.ServerAddress);
                TcpSocket far = await listener.AcceptAsync();
                TcpSocket near = await connecting;
                byte[] data = Pattern(3 * Page);
                Task released = (await near.SendZeroCopyAsync(data)).Released.AsTask();
                await time.Delay(TimeSpan.FromSeconds(1));
                Assert.False(released.IsCompleted);
                byte[] got = new byte[data.Length];
                await ReceiveAsync(far, got);
                Assert.Equal(data, got);
                await released;
                await CloseAsync(near, far);
                await client.DisposeAsync();
                await server.DisposeAsync();
                Assert.True(file.ToArray().AsSpan().IndexOf(data.AsSpan(0, 1000)) > 0);
                Assert.True(file.ToArray().AsSpan().IndexOf(data.AsSpan(data.Length - 1000)) > 0);
                Assert.Equal(0, server.Pool.RentedSlabs + server.Pool.RentedBuffers);
            },
            TimeSpan.FromHours(1));
    }

    [Fact]
    public void A_send_that_crosses_by_reference_allocates_nothing()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true });
        long allocated = 0;
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            byte[] data = Pattern(64 * Page);
            byte[] got = new byte[data.Length];
            // Until the pools have all that the largest buffers need.
            await Round();
            allocated = await Allocations.LeastAsync(Round);
            await CloseAsync(client, server);

            async Task Round()
            {
                for (int i = 0; i < 200; i++)
                {
                    ZeroCopySend sent = await client.SendZeroCopyAsync(data).ConfigureAwait(false);
                    for (int at = 0; at < got.Length;)
                    {
                        at += await server.ReceiveAsync(got.AsMemory(at)).ConfigureAwait(false);
                    }

                    await sent.Released.ConfigureAwait(false);
                }
            }
        });
        Assert.True(allocated < Allocations.OnceOnly, $"{allocated} bytes for 200 sends");
    }

    [Fact]
    public async Task Lent_data_is_not_merged_in_the_backlog()
    {
        await using var peer = new HandPeer().Open();
        peer.Connection.Own();
        for (int i = 0; i < 3; i++)
        {
            PacketBuffer packet = peer.Make(TcpFlags.Ack, peer.Next + (uint)(100 * i), peer.Acked, 100)!;
            packet.Segment |= i == 1 ? SegmentFlags.ZeroCopy : SegmentFlags.None;
            peer.Connection.ReceivePacket(packet, null!);
        }

        // An acknowledgment without data costs nothing to merge.
        peer.Deliver(TcpFlags.Ack, peer.Next + 300, peer.Acked);
        Assert.Equal(3, peer.Connection.BacklogPackets);
        peer.Connection.Release();
        Assert.Equal(300, peer.Socket.Available);
        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpRcvCoalesce));
        peer.Check();
    }

    [Fact]
    public async Task On_real_threads_memory_is_not_looked_at_after_its_release()
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(3));
        CancellationToken cancel = limit.Token;
        var cable = new VirtualCable(new CableOptions { HoldReferences = true });
        var client = new NetworkStack(new NetworkStackOptions { Name = "client" });
        var server = new NetworkStack(new NetworkStackOptions { Name = "server" });
        client.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        server.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));
        await using (TcpSocketListener listener = server.ListenTcp(TwoStacks.ServerAddress))
        {
            ValueTask<TcpSocket> connecting = client.ConnectTcpAsync(TwoStacks.ServerAddress, cancellationToken: cancel);
            TcpSocket far = await listener.AcceptAsync(cancel);
            TcpSocket near = await connecting;
            const int Slots = 8, Size = 50_000, Rounds = 200;
            Task<int> reading = Task.Run(() => CountWrongAsync(far, Size, Rounds, cancel), cancel);
            byte[] memory = GC.AllocateUninitializedArray<byte>(Slots * Size, pinned: true);
            var sent = new ZeroCopySend[Slots];
            for (int i = 0; i < Rounds; i++)
            {
                int slot = i % Slots;
                await sent[slot].Released;
                Memory<byte> data = memory.AsMemory(slot * Size, Size);
                data.Span.Fill((byte)i);
                sent[slot] = await near.SendZeroCopyAsync(data, cancel);
                Assert.Equal(Size, sent[slot].BytesQueued);
            }

            Assert.Equal(0, await reading);
            await near.CloseAsync(cancel);
            await far.CloseAsync(cancel);
        }

        await client.DisposeAsync();
        await server.DisposeAsync();
        Assert.Equal(0, client.Tcp.PinnedBytes);
        Assert.Equal(0, client.GetCounter(StackCounter.TcpZeroCopyCopied));
        Assert.Equal(0, client.Pool.RentedBuffers + client.Pool.RentedSlabs + server.Pool.RentedBuffers + server.Pool.RentedSlabs);
    }

    /// <summary>Bytes that are not those that were in the memory when it was sent.</summary>
    private static async Task<int> CountWrongAsync(TcpSocket socket, int size, int rounds, CancellationToken cancel)
    {
        byte[] got = new byte[size];
        int wrong = 0;
        for (int i = 0; i < rounds; i++)
        {
            for (int at = 0; at < size;)
            {
                int n = await socket.ReceiveAsync(got.AsMemory(at), cancel);
                Assert.NotEqual(0, n);
                at += n;
            }

            wrong += got.Count(b => b != (byte)i);
        }

        return wrong;
    }

    private static byte[] Pattern(int bytes)
    {
        byte[] data = GC.AllocateUninitializedArray<byte>(bytes, pinned: true);
        new Random(bytes).NextBytes(data);
        return data;
    }

    /// <summary>Runs of <paramref name="size"/> bytes that do not touch each other.</summary>
    private static ReadOnlySequence<byte> Scattered(byte[] data, int runs, int size)
    {
        var first = new Run(data.AsMemory(0, size), null);
        Run last = first;
        for (int i = 1; i < runs; i++)
        {
            last = new Run(data.AsMemory(i * 2 * size, size), last);
        }

        return new ReadOnlySequence<byte>(first, 0, last, size);
    }

    private static async Task ReceiveAsync(TcpSocket socket, Memory<byte> into)
    {
        while (into.Length > 0)
        {
            int n = await socket.ReceiveAsync(into);
            Assert.NotEqual(0, n);
            into = into[n..];
        }
    }

    private static async Task CloseAsync(TcpSocket client, TcpSocket server)
    {
        await client.CloseAsync();
        await server.CloseAsync();
    }

    private sealed class Run : ReadOnlySequenceSegment<byte>
    {
        public Run(ReadOnlyMemory<byte> memory, Run? before)
        {
            Memory = memory;
            if (before is not null)
            {
                RunningIndex = before.RunningIndex + before.Memory.Length;
                before.Next = this;
            }
        }
    }
}
