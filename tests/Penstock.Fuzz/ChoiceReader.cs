namespace Penstock.Fuzz;

/// <summary>The input of a run as a row of choices: each byte decides something, and after the last byte every choice is the first one.</summary>
internal sealed class ChoiceReader(byte[] input)
{
    private int _at;

    public bool IsAtEnd => _at >= input.Length;

    public byte Byte() => _at < input.Length ? input[_at++] : (byte)0;

    public ushort UInt16() => (ushort)((Byte() << 8) | Byte());

    public uint UInt32() => ((uint)UInt16() << 16) | UInt16();

    /// <summary>A number in [0, <paramref name="count"/>), count at most 256.</summary>
    public int Below(int count) => Byte() % count;

    public bool OneIn(int count) => Byte() % count == 1;

    public T Pick<T>(ReadOnlySpan<T> of) => of[Below(of.Length)];
}
