using System.Buffers.Binary;
using System.Numerics;
using System.Security.Cryptography;

namespace Penstock;

/// <summary>
/// All randomness of one stack: sequence numbers, ports, hash keys, cookies, IP ids, timestamp offsets. From the operating system, or, with a
/// seed, the same numbers in every run. Thread-safe.
/// </summary>
internal sealed class RandomSource
{
    private readonly object _gate = new();
    private readonly byte[] _block = new byte[512];
    private readonly bool _seeded;
    private int _used = 512;
    private ulong _s0, _s1, _s2, _s3;

    public RandomSource(ulong? seed)
    {
        if (seed is { } value)
        {
            _seeded = true;
            _s0 = SplitMix(ref value);
            _s1 = SplitMix(ref value);
            _s2 = SplitMix(ref value);
            _s3 = SplitMix(ref value);
        }
    }

    public ulong NextUInt64()
    {
        lock (_gate)
        {
            if (_seeded)
            {
                return NextSeeded();
            }

            if (_used == _block.Length)
            {
#pragma warning disable RS0030 // the one seam to the operating system's randomness
                RandomNumberGenerator.Fill(_block);
#pragma warning restore RS0030
                _used = 0;
            }

            ulong value = BinaryPrimitives.ReadUInt64LittleEndian(_block.AsSpan(_used));
            _used += 8;
            return value;
        }
    }

    public uint NextUInt32() => (uint)(NextUInt64() >> 32);

    /// <summary>A number in [0, <paramref name="bound"/>).</summary>
    public int Next(int bound) => (int)(((NextUInt64() >> 32) * (ulong)bound) >> 32);

    private static ulong SplitMix(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>xoshiro256** (Blackman and Vigna): statistically good and reproducible; never used without a seed.</summary>
    private ulong NextSeeded()
    {
        ulong result = BitOperations.RotateLeft(_s1 * 5, 7) * 9;
        ulong t = _s1 << 17;
        _s2 ^= _s0;
        _s3 ^= _s1;
        _s1 ^= _s2;
        _s0 ^= _s3;
        _s2 ^= t;
        _s3 = BitOperations.RotateLeft(_s3, 45);
        return result;
    }
}
