using System.Buffers.Binary;
using Penstock.Buffers;
using Penstock.Time;

namespace Penstock.Tests.Links;

public sealed class CaptureLinkTests
{
    [Fact]
    public void Both_directions_are_written_with_the_stacks_time_and_complete_checksums()
    {
        List<Captured> packets = Read(Run(out RecordingClient a, out _));
        Assert.Equal(3, packets.Count);
        Assert.Equal([2u, 2u, 1u], packets.Select(p => p.Direction));
        Assert.Equal([1_000_000_000L, 1_000_000_000L, 1_005_000_000L], packets.Select(p => p.Nanos));
        Assert.Equal([140, 4_040, 240], packets.Select(p => p.Bytes.Length));
        Assert.All(packets, p => Assert.True(TestPackets.ChecksumsHold(p.Bytes)));

        // The packets themselves are left as they were.
        Assert.Equal(ChecksumState.Verified, Assert.Single(a.Arrivals).Checksum);
        Assert.False(TestPackets.ChecksumsHold(a.Arrivals[0].Bytes));
    }

    [Fact]
    public void Equal_runs_give_equal_files() => Assert.Equal(Run(out _, out _), Run(out _, out _));

    [Fact]
    public void A_refused_packet_is_not_written_until_it_crosses()
    {
        var time = new VirtualTime();
        var client = new RecordingClient(time);
        var file = new MemoryStream();
        var inner = new PacketLink(new PacketLinkOptions { QueueLimit = 1 });
        using var link = new CaptureLink(inner, file, leaveOpen: true);
        link.Attach(client);
        Assert.True(link.Transmit(TestPackets.Tcp(client.Pool, 10)));
        PacketBuffer packet = TestPackets.Tcp(client.Pool, 20);
        Assert.False(link.Transmit(packet));
        Assert.Equal(1, link.Packets);
        inner.TryRead(new byte[1500], out _);
        Assert.Equal(1, client.Spaces);
        Assert.True(link.Transmit(packet));
        Assert.Equal(2, link.Packets);
        link.Dispose();
        client.AssertNothingRented();
    }

    [Fact]
    public void A_failing_stream_ends_the_capture_but_not_the_traffic()
    {
        var time = new VirtualTime();
        var a = new RecordingClient(time);
        var b = new RecordingClient(time);
        using var cable = new VirtualCable();
        using var link = new CaptureLink(cable.A, new FullDisk());
        link.Attach(a);
        cable.B.Attach(b);
        Assert.Null(link.Failure);
        for (int i = 0; i < 100; i++)
        {
            Assert.True(link.Transmit(TestPackets.Tcp(a.Pool, 1_000)));
            cable.B.Transmit(TestPackets.Tcp(b.Pool, 1_000));
        }

        time.RunReady();
        Assert.IsType<IOException>(link.Failure);
        Assert.Equal(100, a.Count);
        Assert.Equal(100, b.Count);
        a.AssertNothingRented();
        b.AssertNothingRented();
    }

    [Fact]
    public void It_passes_on_what_the_inner_link_is()
    {
        using var cable = new VirtualCable(new CableOptions { Mtu = 1234, Name = "wire" });
        using var link = new CaptureLink(cable.A, new MemoryStream());
        Assert.Equal("wire-a", link.Name);
        Assert.Equal(1234, link.Mtu);
        Assert.Equal(cable.A.Offloads, link.Offloads);
        var client = new RecordingClient(new VirtualTime());
        link.Attach(client);
        cable.A.Dispose();
        Assert.NotNull(client.Failure);
    }

    [Fact]
    public void Disposal_closes_the_link_and_then_the_file()
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            using var cable = new VirtualCable();
            CaptureLink link = CaptureLink.ToFile(cable.A, path);
            var client = new RecordingClient(new VirtualTime());
            link.Attach(client);
            link.Transmit(TestPackets.Tcp(client.Pool, 10));
            link.Dispose();
            Assert.IsType<ObjectDisposedException>(client.Failure);
            Assert.Single(Read(File.ReadAllBytes(path)));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_captured_packet_costs_no_managed_memory()
    {
        var time = new VirtualTime();
        var a = new RecordingClient(time);
        var b = new RecordingClient(time) { OnlyCount = true };
        using var cable = new VirtualCable();
        using var link = new CaptureLink(cable.A, Stream.Null);
        link.Attach(a);
        cable.B.Attach(b);
        Round();
        long allocated = Allocations.Least(() =>
        {
            for (int i = 0; i < 2_000; i++)
            {
                Round();
            }
        });
        Assert.InRange(allocated, 0, Allocations.OnceOnly);

        void Round()
        {
            link.Transmit(TestPackets.Tcp(a.Pool, 14_600, gsoSize: 1460));
            time.RunReady();
        }
    }

    private static byte[] Run(out RecordingClient a, out RecordingClient b)
    {
        var time = new VirtualTime();
        a = new RecordingClient(time);
        b = new RecordingClient(time);
        var file = new MemoryStream();
        using (var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) }))
        using (var link = new CaptureLink(cable.A, file))
        {
            link.Attach(a);
            cable.B.Attach(b);
            link.Transmit(TestPackets.Tcp(a.Pool, 100));
            link.Transmit(TestPackets.Tcp(a.Pool, 4_000, gsoSize: 1460));
            cable.B.Transmit(TestPackets.Tcp(b.Pool, 200));
            time.RunFor(TimeSpan.FromMilliseconds(10));
        }

        a.AssertNothingRented();
        b.AssertNothingRented();
        return file.ToArray();
    }

    private static List<Captured> Read(byte[] file)
    {
        var packets = new List<Captured>();
        for (int at = 0; at < file.Length;)
        {
            uint type = BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at));
            int length = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(at + 4));
            if (type == 6)
            {
                ReadOnlySpan<byte> block = file.AsSpan(at, length);
                long nanos = ((long)BinaryPrimitives.ReadUInt32LittleEndian(block[12..]) << 32) | BinaryPrimitives.ReadUInt32LittleEndian(block[16..]);
                int captured = BinaryPrimitives.ReadInt32LittleEndian(block[20..]);
                uint direction = BinaryPrimitives.ReadUInt32LittleEndian(block[^12..]);
                packets.Add(new Captured(nanos, direction, block.Slice(28, captured).ToArray()));
            }

            at += length;
        }

        return packets;
    }

    private sealed record Captured(long Nanos, uint Direction, byte[] Bytes);

    private sealed class FullDisk : MemoryStream
    {
        public override void Write(byte[] buffer, int offset, int count) => throw new IOException("No space left on device.");
    }
}
