using System.Numerics;
using System.Runtime.CompilerServices;

namespace Penstock.Wire;

/// <summary>
/// SipHash-2-4 (Aumasson and Bernstein) over a few 64-bit words: keyed, so that a peer cannot predict sequence numbers (RFC 6528), ports
/// (RFC 6056) or hash buckets.
/// </summary>
internal readonly struct SipHash(ulong key0, ulong key1)
{
    public ulong Of(ulong a, ulong b, ulong c, ulong d, ulong e)
    {
        ulong v0 = key0 ^ 0x736F6D6570736575;
        ulong v1 = key1 ^ 0x646F72616E646F6D;
        ulong v2 = key0 ^ 0x6C7967656E657261;
        ulong v3 = key1 ^ 0x7465646279746573;
        Absorb(ref v0, ref v1, ref v2, ref v3, a);
        Absorb(ref v0, ref v1, ref v2, ref v3, b);
        Absorb(ref v0, ref v1, ref v2, ref v3, c);
        Absorb(ref v0, ref v1, ref v2, ref v3, d);
        Absorb(ref v0, ref v1, ref v2, ref v3, e);
        Absorb(ref v0, ref v1, ref v2, ref v3, 40UL << 56);
        v2 ^= 0xFF;
        for (int i = 0; i < 4; i++)
        {
            Round(ref v0, ref v1, ref v2, ref v3);
        }

        return v0 ^ v1 ^ v2 ^ v3;
    }

    /// <summary>SipHash-1-3 of two words: for hash tables, where nobody sees the results, half of the rounds are enough (its authors' advice).</summary>
    public ulong ForTable(ulong a, ulong b)
    {
        ulong v0 = key0 ^ 0x736F6D6570736575;
        ulong v1 = key1 ^ 0x646F72616E646F6D;
        ulong v2 = key0 ^ 0x6C7967656E657261;
        ulong v3 = key1 ^ 0x7465646279746573;
        v3 ^= a;
        Round(ref v0, ref v1, ref v2, ref v3);
        v0 ^= a;
        v3 ^= b;
        Round(ref v0, ref v1, ref v2, ref v3);
        v0 ^= b;
        v3 ^= 16UL << 56;
        Round(ref v0, ref v1, ref v2, ref v3);
        v0 ^= 16UL << 56;
        v2 ^= 0xFF;
        Round(ref v0, ref v1, ref v2, ref v3);
        Round(ref v0, ref v1, ref v2, ref v3);
        Round(ref v0, ref v1, ref v2, ref v3);
        return v0 ^ v1 ^ v2 ^ v3;
    }

    private static void Absorb(ref ulong v0, ref ulong v1, ref ulong v2, ref ulong v3, ulong word)
    {
        v3 ^= word;
        Round(ref v0, ref v1, ref v2, ref v3);
        Round(ref v0, ref v1, ref v2, ref v3);
        v0 ^= word;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Round(ref ulong v0, ref ulong v1, ref ulong v2, ref ulong v3)
    {
        v0 += v1;
        v1 = BitOperations.RotateLeft(v1, 13) ^ v0;
        v0 = BitOperations.RotateLeft(v0, 32);
        v2 += v3;
        v3 = BitOperations.RotateLeft(v3, 16) ^ v2;
        v0 += v3;
        v3 = BitOperations.RotateLeft(v3, 21) ^ v0;
        v2 += v1;
        v1 = BitOperations.RotateLeft(v1, 17) ^ v2;
        v2 = BitOperations.RotateLeft(v2, 32);
    }
}
