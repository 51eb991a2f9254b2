namespace Penstock.Wire;

/// <summary>
/// A TCP sequence number: arithmetic modulo 2^32, compared by distance (RFC 9293 3.4). There is no
/// <c>&lt;</c> on purpose: half of the number space is before any number and half after it.
/// </summary>
internal readonly struct SequenceNumber(uint value) : IEquatable<SequenceNumber>
{
    public readonly uint Value = value;

    /// <summary>True when this number lies before <paramref name="other"/>.</summary>
    public bool Before(SequenceNumber other) => (int)(Value - other.Value) < 0;

    public bool AtOrBefore(SequenceNumber other) => (int)(Value - other.Value) <= 0;

    public bool After(SequenceNumber other) => (int)(Value - other.Value) > 0;

    public bool AtOrAfter(SequenceNumber other) => (int)(Value - other.Value) >= 0;

    /// <summary>True when this number lies in [<paramref name="start"/>, <paramref name="end"/>].</summary>
    public bool Between(SequenceNumber start, SequenceNumber end) => end.Value - start.Value >= Value - start.Value;

    /// <summary>Bytes from <paramref name="other"/> to this number, negative when it lies before.</summary>
    public int Since(SequenceNumber other) => (int)(Value - other.Value);

    public static SequenceNumber Max(SequenceNumber a, SequenceNumber b) => a.After(b) ? a : b;

    public static SequenceNumber Min(SequenceNumber a, SequenceNumber b) => a.Before(b) ? a : b;

    public static SequenceNumber operator +(SequenceNumber a, int count) => new(a.Value + (uint)count);

    public static SequenceNumber operator -(SequenceNumber a, int count) => new(a.Value - (uint)count);

    public static bool operator ==(SequenceNumber a, SequenceNumber b) => a.Value == b.Value;

    public static bool operator !=(SequenceNumber a, SequenceNumber b) => a.Value != b.Value;

    public bool Equals(SequenceNumber other) => Value == other.Value;

    public override bool Equals(object? obj) => obj is SequenceNumber other && Equals(other);

    public override int GetHashCode() => (int)Value;

    public override string ToString() => Value.ToString();
}
