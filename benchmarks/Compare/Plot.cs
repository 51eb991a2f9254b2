using System.Globalization;

namespace Penstock.Benchmarks.Compare;

/// <summary>Draws for each row how many times as good as each peer Penstock is.</summary>
internal static class Plot
{
    private static readonly Contestant[] s_peers = [Contestant.GVisor, Contestant.Lwip, Contestant.Sockets, Contestant.Linux];

    /// <summary>An SVG document; null when no row has a peer.</summary>
    public static string? Draw(Report report)
    {
        Row[] rows = [.. Contest.Rows.Where(row => s_peers.Any(peer => report.Ratio(row, peer) is not null)).Reverse()];
        if (rows.Length == 0)
        {
            return null;
        }

        var chart = new RatioChart(
            string.Create(CultureInfo.InvariantCulture, $"Penstock beside its peers (commit {report.Commit}, {report.Date:yyyy-MM-dd}, {report.Rounds} rounds{(report.Quick ? ", a quick run" : "")})"),
            "times as good as the peer in the same run: further right is better for Penstock")
        {
            RowHeight = 34,
            NameWidth = 150,
            MarkSize = 4.5,
            Base = 10,
            Step = 0.16,
        };
        foreach (Contestant peer in s_peers)
        {
            chart.Add(Contest.Title(peer), [.. rows.Select(row => report.Ratio(row, peer))]);
        }

        return chart.Draw([.. rows.Select(row => row.Id)]);
    }
}
