namespace Penstock.Drill;

/// <summary>The first difference between an expected and a real packet, with both shown in script syntax.</summary>
/// <param name="Field">The part that differs, by the name scripts give it: "flags", "ack", "win", ...</param>
/// <param name="Expected">What the script wants there.</param>
/// <param name="Actual">What the packet has there.</param>
/// <param name="ExpectedLine">The script's packet.</param>
/// <param name="ActualLine">The real packet.</param>
internal sealed record PacketMismatch(string Field, string Expected, string Actual, string ExpectedLine, string ActualLine)
{
    /// <summary>Three lines: the two packets one above the other, and a sentence about the difference.</summary>
    public override string ToString() =>
        $"expected: {ExpectedLine}\nactual:   {ActualLine}\nfirst difference: {Field} should be {Expected} but is {Actual}{Distance()}";

    /// <summary>For numbers, how far apart they are: off by one and off by an MSS tell different stories.</summary>
    private string Distance()
    {
        if (!long.TryParse(Expected, out long expected) || !long.TryParse(Actual, out long actual))
        {
            return "";
        }

        return actual < expected ? $" ({expected - actual} less)" : $" ({actual - expected} more)";
    }
}
