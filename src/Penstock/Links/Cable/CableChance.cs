namespace Penstock.Links;

/// <summary>
/// The random choices of one impairment (SplitMix64, Steele, Lea and Flood). Each impairment has a sequence of its own, so that switching one on leaves the
/// others' choices as they were. A mutable struct: keep it in a field.
/// </summary>
internal struct CableChance(ulong seed, uint stream)
{
    private const ulong Golden = 0x9E37_79B9_7F4A_7C15;

    // The stream's start is mixed, so that neighboring seeds and streams have nothing to do with each other.
    private ulong _state = Mix(Mix(seed + Golden) + ((stream + 1) * Golden));

    /// <summary>True with <paramref name="probability"/>. Draws nothing for 0.</summary>
    public bool Happens(double probability) => probability > 0 && (Next() >> 11) * (1.0 / (1UL << 53)) < probability;

    /// <summary>A number in 0..<paramref name="bound"/> - 1.</summary>
    public long Below(long bound) => (long)Math.BigMul(Next(), (ulong)bound, out _);

    private ulong Next() => Mix(_state += Golden);

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
        return z ^ (z >> 31);
    }
}
