namespace Penstock;

/// <summary>Finds the name a person may have meant, for "did you mean" in messages. Never used to guess on its own.</summary>
internal static class NearestName
{
    /// <summary>The candidate with the fewest single-letter edits, if they are few for the word's length; else null.</summary>
    public static string? Find(string word, IEnumerable<string> candidates)
    {
        string? best = null;
        int bestDistance = Math.Max(1, word.Length / 3) + 1;
        foreach (string candidate in candidates)
        {
            int distance = Distance(word, candidate);
            if (distance < bestDistance)
            {
                bestDistance = distance;
                best = candidate;
            }
        }

        return best;
    }

    /// <summary>The <paramref name="count"/> candidates that look most like the word, the nearest first; only the part behind the last dot is looked at.</summary>
    public static string[] FindSeveral(string word, IEnumerable<string> candidates, int count)
    {
        string last = LastPart(word);
        return [.. candidates.OrderBy(c => Distance(last, LastPart(c))).ThenBy(c => c, StringComparer.Ordinal).Take(count)];
    }

    private static string LastPart(string name) => name[(name.LastIndexOf('.') + 1)..];

    private static int Distance(string a, string b)
    {
        int[] row = new int[b.Length + 1];
        for (int j = 0; j <= b.Length; j++)
        {
            row[j] = j;
        }

        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replace = diagonal + (char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replace, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[b.Length];
    }
}
