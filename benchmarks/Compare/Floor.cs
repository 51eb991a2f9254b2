namespace Penstock.Benchmarks.Compare;

/// <summary>What has to be reached in a row.</summary>
/// <param name="Row">Which.</param>
/// <param name="Text">The floor in words.</param>
/// <param name="Peer">Who stands beside it; null when nobody measures the same.</param>
/// <param name="Limit">The figure, in the row's unit; null when the peer's of the same run is the floor.</param>
internal sealed record Floor(string Row, string Text, Contestant? Peer, double? Limit)
{
    public static IReadOnlyList<Floor> All { get; } =
    [
        new("tun.vnet.up", "gVisor's on the same link", Contestant.GVisor, null),
        new("tun.vnet.down", "gVisor's on the same link", Contestant.GVisor, null),
        new("pipe.bulk.mtu1500", "8 Gbit/s", Contestant.Lwip, 8),
        new("pipe.bulk.super", "22 Gbit/s", Contestant.GVisor, 22),
        new("pipe.rr64", "1,000,000 round trips/s", Contestant.Lwip, 1_000_000),
        new("pipe.crr", "50,000 connections/s", Contestant.GVisor, 50_000),
        new("pipe.idle", "at most 2,048 B for each end", Contestant.GVisor, 2_048),
        new("pipe.alloc", "below 0.05 B", null, 0.05),
        new("pipe.http.16", "above System.Net.Sockets", Contestant.Sockets, null),
    ];

    /// <summary>Whether the median is there; null when it can not be told because somebody did not run.</summary>
    public bool? IsMet(Report report)
    {
        if (report.Median(Row, Contestant.Penstock) is not { } ours)
        {
            return null;
        }

        return (Limit ?? report.Median(Row, Peer!.Value)) switch
        {
            null => null,
            { } floor when Contest.Find(Row).LessIsBetter => ours <= floor,
            { } floor => ours >= floor,
        };
    }
}
