using System.Buffers.Binary;
using System.ComponentModel;
using System.Diagnostics;
using System.Text;
using Penstock.Links;
using Penstock.Wire;

namespace Penstock.Tests.Links;

public class PcapNgWriterTests
{
    private static readonly IpAddress A = IpAddress.FromIPv4(0x0A4D0001), B = IpAddress.FromIPv4(0x0A4D0002);

    /// <summary>Head (IP and TCP header) and payload of a right segment.</summary>
    private static (byte[] Head, byte[] Payload) Segment(int payloadLength, uint sequence)
    {
        var payload = new byte[payloadLength];
        new Random(payloadLength).NextBytes(payload);
        var head = new byte[52];
        new IPv4Header
        {
            Source = A,
            Destination = B,
            TotalLength = (ushort)(head.Length + payloadLength),
            TimeToLive = 64,
            Protocol = IpProtocol.Tcp,
            FragmentField = IPv4Header.DontFragmentBit,
        }.Write(head);
        Span<byte> tcp = head.AsSpan(20);
        TcpHeader.Write(tcp, new TcpSegmentHeader
        {
            SourcePort = 40_000,
            DestinationPort = 8_000,
            Sequence = new SequenceNumber(sequence),
            Acknowledgment = new SequenceNumber(1),
            Flags = TcpFlags.Ack | TcpFlags.Psh,
            Window = 500,
            HeaderLength = 32,
        });
        TcpOptionsWriter.WriteTimestamps(tcp[20..], 1, 2);
        uint sum = Checksum.Add(tcp, Checksum.PseudoHeader(A, B, IpProtocol.Tcp, (uint)(32 + payloadLength)));
        TcpHeader.WriteChecksum(tcp, Checksum.Finish(Checksum.Add(payload, sum)));
        return (head, payload);
    }

    [Fact]
    public void A_small_capture_is_right_to_the_byte()
    {
        using var stream = new MemoryStream();
        using (var writer = new PcapNgWriter(stream, "eth0x", leaveOpen: true))
        {
            writer.Write([0x45, 1, 2], [3, 4], 0x0000_0001_0000_0002, PacketDirection.Outbound);
            Assert.Equal(1, writer.Packets);
        }

        string expected =
            "0a0d0d0a 2c000000 4d3c2b1a 01000000 ffffffffffffffff 04000800 50656e73746f636b 00000000 2c000000"
            + "01000000 2c000000 65000000 00000000 02000500 6574683078000000 09000100 09000000 00000000 2c000000"
            + "06000000 34000000 00000000 01000000 02000000 05000000 05000000 4501020304000000"
            + "02000400 02000000 00000000 34000000";
        Assert.Equal(expected.Replace(" ", "", StringComparison.Ordinal), Convert.ToHexStringLower(stream.ToArray()));
    }

    [Fact]
    public void Blocks_stay_whole_and_equal_whatever_the_buffer_holds()
    {
        byte[]? first = null;
        foreach (int bufferSize in new[] { 256, 257, 1_000, 64 * 1024 })
        {
            using var stream = new MemoryStream();
            using (var writer = new PcapNgWriter(stream, "", leaveOpen: true, bufferSize))
            {
                for (int length = 0; length < 700; length++)
                {
                    (byte[] head, byte[] payload) = Segment(length, 1);
                    writer.Write(head, payload, length * 1_000L, PacketDirection.Inbound);
                }
            }

            byte[] file = stream.ToArray();
            Assert.Equal(first ??= file, file);
        }

        int blocks = 0;
        for (int at = 0; at < first!.Length; blocks++)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(first.AsSpan(at + 4));
            Assert.Equal(0, length % 4);
            Assert.Equal(length, BinaryPrimitives.ReadInt32LittleEndian(first.AsSpan(at + length - 4)));
            at += length;
        }

        Assert.Equal(702, blocks);
    }

    [Fact]
    public void Nothing_is_allocated_for_a_packet()
    {
        using var writer = new PcapNgWriter(Stream.Null, "eth0");
        (byte[] head, byte[] payload) = Segment(1_000, 1);
        writer.Write(head, payload, 0, PacketDirection.Inbound);
        long allocated = Allocations.Least(() =>
        {
            for (int i = 0; i < 5_000; i++)
            {
                writer.Write(head, payload, i, PacketDirection.Inbound);
            }
        });
        Assert.InRange(allocated, 0, Allocations.OnceOnly);
    }

    [Fact]
    public async Task Writers_on_many_threads_leave_whole_blocks()
    {
        using var stream = new MemoryStream();
        var writer = new PcapNgWriter(stream, "eth0", leaveOpen: true, bufferSize: 300);
        (byte[] head, byte[] payload) = Segment(100, 1);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(n => Task.Run(
            () =>
            {
                for (int i = 0; i < 500; i++)
                {
                    writer.Write(head, payload, i, PacketDirection.Inbound);
                }
            },
            TestContext.Current.CancellationToken)));
        writer.Dispose();
        Assert.Equal(2_000, writer.Packets);
        Assert.Equal(0, (stream.Length - 44 - 40) % 2_000);
    }

    [Fact]
    public void A_failing_stream_ends_the_capture_and_not_the_traffic()
    {
        using var stream = new FailingStream(failAfter: 3);
        var writer = new PcapNgWriter(stream, "eth0", leaveOpen: false, bufferSize: 256);
        var packet = new byte[100];
        for (int i = 0; i < 100; i++)
        {
            writer.Write(packet, packet, i, PacketDirection.Inbound);
        }

        Assert.IsType<IOException>(writer.Failure);
        Assert.InRange(writer.Packets, 1, 10);
        Assert.Equal(4, stream.Writes);
        writer.Flush();
        writer.Dispose();
        writer.Write(packet, packet, 0, PacketDirection.Inbound);
        Assert.Equal("device full", writer.Failure!.Message);
    }

    [Fact]
    public void A_disposed_capture_passes_packets_over()
    {
        using var stream = new MemoryStream();
        var writer = new PcapNgWriter(stream, "eth0", leaveOpen: true);
        writer.Dispose();
        long length = stream.Length;
        writer.Write([1], [2], 0, PacketDirection.Inbound);
        writer.Flush();
        writer.Dispose();
        Assert.Equal(length, stream.Length);
        Assert.Null(writer.Failure);
    }

    [Fact]
    public void Tshark_reads_the_capture_and_finds_every_checksum_right()
    {
        string file = Path.Combine(Path.GetTempPath(), $"penstock-{Environment.ProcessId}.pcapng");
        try
        {
            using (var writer = new PcapNgWriter(File.Create(file), "penstock0"))
            {
                uint sequence = 1;
                foreach (int length in new[] { 0, 1, 2, 3, 4, 1_447, 1_448, 60_000 })
                {
                    (byte[] head, byte[] payload) = Segment(length, sequence);
                    PacketDirection direction = length % 2 == 0 ? PacketDirection.Outbound : PacketDirection.Inbound;
                    writer.Write(head, payload, 1_000_000_000 + length, direction);
                    sequence += (uint)length;
                }

                Assert.Null(writer.Failure);
            }

            string output = Tshark(
                "-r", file, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields", "-e", "frame.time_epoch",
                "-e", "frame.packet_flags_direction", "-e", "tcp.len", "-e", "ip.checksum.status", "-e", "tcp.checksum.status",
                "-e", "frame.interface_name", "-e", "_ws.malformed");
            string[] lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(8, lines.Length);
            foreach (string line in lines)
            {
                string[] fields = line.TrimEnd('\r').Split('\t');
                int length = int.Parse(fields[2]);
                Assert.Equal($"1.{length:D9}", fields[0]);
                Assert.Equal(length % 2 == 0 ? 2 : 1, Convert.ToInt32(fields[1].Replace("0x", "", StringComparison.Ordinal), 16));
                Assert.Equal(("1", "1", "penstock0", ""), (fields[3], fields[4], fields[5], fields[6]));
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>Runs tshark, or skips the test where there is none.</summary>
    private static string Tshark(params string[] arguments)
    {
        var start = new ProcessStartInfo("tshark", arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (Win32Exception)
        {
            Assert.Skip("tshark is not installed: eng/setup installs it");
            return "";
        }

        using (process)
        {
            var errors = new StringBuilder();
            process.ErrorDataReceived += (_, line) => errors.AppendLine(line.Data);
            process.BeginErrorReadLine();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, errors.ToString());
            return output;
        }
    }

    private sealed class FailingStream(int failAfter) : MemoryStream
    {
        public int Writes { get; private set; }

        public override void Write(byte[] buffer, int offset, int count)
        {
            if (++Writes > failAfter)
            {
                throw new IOException("device full");
            }

            base.Write(buffer, offset, count);
        }
    }
}
