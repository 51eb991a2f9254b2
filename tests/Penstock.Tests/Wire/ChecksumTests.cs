using System.Buffers.Binary;
using System.Runtime.InteropServices;
using CsCheck;
using Penstock.Wire;

namespace Penstock.Tests.Wire;

public class ChecksumTests
{
    private const int Longest = 300;

    private static byte[] Noise(int length, int seed = 1)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>RFC 1071's definition, a word at a time in network order.</summary>
    private static ushort Naive(ReadOnlySpan<byte> data, ulong sum = 0)
    {
        for (int i = 0; i < data.Length; i++)
        {
            sum += (i & 1) == 0 ? (uint)data[i] << 8 : data[i];
        }

        while (sum >> 16 != 0)
        {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }

        return (ushort)~sum;
    }

    [Fact]
    public void The_example_of_RFC_1071_gives_its_sum()
    {
        uint partial = Checksum.Add([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        Assert.Equal(0xddf2, Checksum.ToNetwork(partial));
        Assert.Equal(0x220d, Checksum.Finish(partial));
    }

    [Fact]
    public void Every_length_and_alignment_agrees_with_the_definition()
    {
        byte[] noise = Noise(Longest + 40);
        for (int length = 0; length <= Longest; length++)
        {
            for (int start = 0; start < 33; start++)
            {
                ReadOnlySpan<byte> data = noise.AsSpan(start, length);
                Assert.Equal(Naive(data), Checksum.Finish(Checksum.Add(data)));
            }
        }
    }

    [Theory]
    [InlineData(0x00)]
    [InlineData(0xFF)]
    [InlineData(0x80)]
    public void Uniform_bytes_agree_at_every_length_and_in_long_runs(byte value)
    {
        var data = new byte[70_001];
        Array.Fill(data, value);
        for (int length = 0; length <= Longest; length++)
        {
            Assert.Equal(Naive(data.AsSpan(0, length)), Checksum.Finish(Checksum.Add(data.AsSpan(0, length))));
        }

        Assert.Equal(Naive(data), Checksum.Finish(Checksum.Add(data)));
    }

    [Fact]
    public void Wide_narrow_and_scalar_loops_agree()
    {
        byte[] data = Noise(4 * Longest, 2);
        var copy = new byte[data.Length];
        for (int length = 0; length <= data.Length; length++)
        {
            ref byte source = ref MemoryMarshal.GetArrayDataReference(data);
            ref byte destination = ref MemoryMarshal.GetArrayDataReference(copy);
            ushort naive = Naive(data.AsSpan(0, length));
            Assert.Equal(naive, Finish(Checksum.SumWords<Checksum.SumOnly>(ref source, ref source, (nuint)length)));
            Assert.Equal(naive, Finish(Checksum.SumVector128<Checksum.SumOnly>(ref source, ref source, (nuint)length)));
            Assert.Equal(naive, Finish(Checksum.SumVector256<Checksum.SumOnly>(ref source, ref source, (nuint)length)));
            Copies(Checksum.SumWords<Checksum.SumAndCopy>(ref source, ref destination, (nuint)length));
            Copies(Checksum.SumVector128<Checksum.SumAndCopy>(ref source, ref destination, (nuint)length));
            Copies(Checksum.SumVector256<Checksum.SumAndCopy>(ref source, ref destination, (nuint)length));

            void Copies(ulong sum)
            {
                Assert.Equal(naive, Finish(sum));
                Assert.True(data.AsSpan(0, length).SequenceEqual(copy.AsSpan(0, length)));
                Assert.True(copy.AsSpan(length).IndexOfAnyExcept((byte)0) < 0);
                Array.Clear(copy);
            }
        }

        static ushort Finish(ulong sum) => Checksum.Finish(Checksum.Combine((uint)sum, (uint)(sum >> 32), 0));
    }

    [Fact]
    public void Chunks_of_any_length_compose() =>
        Gen.Byte.Array[0, 400].SelectMany(data => Gen.Int[0, data.Length].Array[0, 5].Select(cuts => (data, cuts)))
            .Sample(
                t =>
                {
                    Array.Sort(t.cuts);
                    uint sum = 0;
                    int start = 0;
                    foreach (int end in t.cuts.Append(t.data.Length))
                    {
                        sum = Checksum.Combine(sum, Checksum.Add(t.data.AsSpan(start, end - start)), start);
                        start = end;
                    }

                    return Checksum.Finish(sum) == Naive(t.data);
                },
                iter: 2_000);

    [Fact]
    public void Even_chunks_compose_by_passing_the_sum_on() =>
        Gen.Select(Gen.Byte.Array[0, 400], Gen.Int[0, 200]).Sample(
            (data, half) =>
            {
                int cut = Math.Min(half * 2, data.Length & ~1);
                return Checksum.Finish(Checksum.Add(data.AsSpan(cut), Checksum.Add(data.AsSpan(0, cut)))) == Naive(data);
            },
            iter: 2_000);

    [Fact]
    public void The_fused_copy_copies_exactly_and_sums_the_same()
    {
        byte[] noise = Noise(Longest + 40, 3);
        for (int length = 0; length <= Longest; length++)
        {
            int start = length % 31;
            ReadOnlySpan<byte> source = noise.AsSpan(start, length);
            var target = new byte[Longest + 80];
            Array.Fill(target, (byte)0xA5);
            uint sum = Checksum.CopyAndAdd(source, target.AsSpan(start, length + 7), 0x1234);
            Assert.Equal(Checksum.Add(source, 0x1234), sum);
            Assert.True(source.SequenceEqual(target.AsSpan(start, length)));
            Assert.True(target.AsSpan(0, start).IndexOfAnyExcept((byte)0xA5) < 0);
            Assert.True(target.AsSpan(start + length).IndexOfAnyExcept((byte)0xA5) < 0);
        }
    }

    [Fact]
    public void A_fused_copy_into_too_little_room_is_refused() =>
        Assert.Throws<ArgumentException>(() => Checksum.CopyAndAdd(new byte[10], new byte[9]));

    [Fact]
    public void A_message_with_its_checksum_is_valid_and_any_changed_bit_makes_it_invalid()
    {
        byte[] data = Noise(101, 4);
        BinaryPrimitives.WriteUInt16BigEndian(data.AsSpan(50), 0);
        BinaryPrimitives.WriteUInt16BigEndian(data.AsSpan(50), Checksum.Finish(Checksum.Add(data)));
        Assert.True(Checksum.IsValid(Checksum.Add(data)));
        for (int bit = 0; bit < data.Length * 8; bit++)
        {
            data[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(Checksum.IsValid(Checksum.Add(data)));
            data[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void The_pseudo_header_sums_like_its_bytes_for_both_families()
    {
        byte[] noise = Noise(2_000, 5);
        for (int at = 0; at + 32 < noise.Length; at += 32)
        {
            uint length = noise[at] * 251u;
            byte[] four = [.. noise[at..(at + 8)], 0, 6, (byte)(length >> 8), (byte)length];
            uint sum = Checksum.PseudoHeader(IpAddress.ReadIPv4(noise.AsSpan(at)), IpAddress.ReadIPv4(noise.AsSpan(at + 4)), 6, length);
            Assert.Equal(Naive(four), Checksum.Finish(sum));
            uint ofFlow = Checksum.PseudoHeaderOfFlow(IpAddress.ReadIPv4(noise.AsSpan(at)), IpAddress.ReadIPv4(noise.AsSpan(at + 4)), 6);
            Assert.Equal(Checksum.ToNetwork(sum), Checksum.PseudoHeaderToNetwork(ofFlow, (int)length));

            length *= 1001;
            byte[] six =
            [
                .. noise[at..(at + 32)], (byte)(length >> 24), (byte)(length >> 16), (byte)(length >> 8), (byte)length, 0, 0, 0, 58,
            ];
            sum = Checksum.PseudoHeader(IpAddress.ReadIPv6(noise.AsSpan(at)), IpAddress.ReadIPv6(noise.AsSpan(at + 16)), 58, length);
            Assert.Equal(Naive(six), Checksum.Finish(sum));
        }
    }

    [Fact]
    public unsafe void Nothing_is_read_or_written_beside_the_spans()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "guard pages are mapped with Linux's mmap");
        using var source = new GuardedPage();
        using var target = new GuardedPage();
        Noise(GuardedPage.Size, 6).CopyTo(source.Bytes);
        for (int length = 0; length <= Longest; length++)
        {
            // At the end of the mapping, then at its beginning: a byte too many on either side is a fault.
            ReadOnlySpan<byte> last = source.Bytes[(GuardedPage.Size - length)..], first = source.Bytes[..length];
            Assert.Equal(Naive(last), Checksum.Finish(Checksum.Add(last)));
            Assert.Equal(Naive(last), Checksum.Finish(Checksum.CopyAndAdd(last, target.Bytes[(GuardedPage.Size - length)..])));
            Assert.Equal(Naive(first), Checksum.Finish(Checksum.CopyAndAdd(first, target.Bytes[..length])));
        }
    }
}
