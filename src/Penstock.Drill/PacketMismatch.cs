using System.Text;

namespace Penstock.Drill;

/// <summary>The first difference between an expected and a real packet, with both shown in script syntax.</summary>
/// <param name="Field">The part that differs, by the name scripts give it: "flags", "ack", "win", ...</param>
/// <param name="Expected">What the script wants there.</param>
/// <param name="Actual">What the packet has there.</param>
/// <param name="ExpectedLine">The script's packet.</param>
/// <param name="ActualLine">The real packet.</param>
internal sealed record PacketMismatch(string Field, string Expected, string Actual, string ExpectedLine, string ActualLine)
{
    /// <summary>Four lines: the two packets one above the other, part below part, marks below what differs, and a sentence about the first difference.</summary>
    public override string ToString()
    {
        (string expected, string actual, string marks) = Align();
        return $"expected: {expected}\nactual:   {actual}\n{(marks.Length == 0 ? "" : $"          {marks}\n")}first difference: {Field} should be {Expected} but is {Actual}{Distance()}";
    }

    /// <summary>For numbers, how far apart they are: off by one and off by an MSS tell different stories.</summary>
    private string Distance()
    {
        if (!long.TryParse(Expected, out long expected) || !long.TryParse(Actual, out long actual))
        {
            return "";
        }

        return actual < expected ? $" ({expected - actual} less)" : $" ({actual - expected} more)";
    }

    private (string Expected, string Actual, string Marks) Align()
    {
        SortedDictionary<Part, string>? wanted = Split(ExpectedLine);
        SortedDictionary<Part, string>? found = Split(ActualLine);
        if (wanted is null || found is null)
        {
            return (ExpectedLine, ActualLine, "");
        }

        StringBuilder expected = new(), actual = new(), marks = new();
        foreach (Part part in wanted.Keys.Union(found.Keys).Order())
        {
            string left = wanted.GetValueOrDefault(part, "");
            string right = found.GetValueOrDefault(part, "");
            int width = Math.Max(left.Length, right.Length) + 1;
            expected.Append(left.PadRight(width));
            actual.Append(right.PadRight(width));
            marks.Append((IsJudged(part, left, right) ? new string('^', Math.Max(right.Length, 1)) : "").PadRight(width));
        }

        return (expected.ToString().TrimEnd(), actual.ToString().TrimEnd(), marks.ToString().TrimEnd());
    }

    /// <summary>True when the part differs and the script cares: what it does not name is left open, and options are only read when all before them is right.</summary>
    private bool IsJudged(Part part, string wanted, string found) => wanted != found && part switch
    {
        Part.Options => Field.Contains("TCP option", StringComparison.Ordinal),
        Part.Window or Part.Mark or Part.Ports => wanted.Length > 0,
        _ => true,
    };

    /// <summary>The parts of a TCP packet's line; null for another one.</summary>
    private static SortedDictionary<Part, string>? Split(string line)
    {
        var parts = new SortedDictionary<Part, string>();
        int options = line.IndexOf('<', StringComparison.Ordinal);
        if (options >= 0 && line.EndsWith('>'))
        {
            parts[Part.Options] = line[options..];
            line = line[..options];
        }

        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        int at = 0;
        if (at < words.Length && words[at] == ">")
        {
            parts[Part.Direction] = words[at++];
        }

        if (at < words.Length && words[at].StartsWith('['))
        {
            int end = Array.FindIndex(words, at, word => word.EndsWith(']'));
            if (end < 0)
            {
                return null;
            }

            parts[Part.Mark] = string.Join(' ', words[at..(end + 1)]);
            at = end + 1;
        }

        if (at + 2 < words.Length && words[at + 1] == ">")
        {
            parts[Part.Ports] = string.Join(' ', words[at..(at + 3)]);
            at += 3;
        }

        if (words.Length - at < 2 || words[at] is "icmp" or "udp")
        {
            return null;
        }

        parts[Part.Flags] = words[at++];
        parts[Part.Sequence] = words[at++];
        for (; at < words.Length; at += 2)
        {
            Part? part = words[at] switch { "ack" => Part.Ack, "win" => Part.Window, "urg" => Part.Urgent, _ => null };
            if (part is not { } known || at + 1 == words.Length)
            {
                return null;
            }

            parts[known] = $"{words[at]} {words[at + 1]}";
        }

        return parts;
    }

    /// <summary>The parts in the order in which lines have them.</summary>
    private enum Part
    {
        Direction,
        Mark,
        Ports,
        Flags,
        Sequence,
        Ack,
        Window,
        Urgent,
        Options,
    }
}
