using System.Text.Json.Serialization;

namespace Penstock.Benchmarks.Compare;

/// <summary>Who takes part, in the order of the columns.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<Contestant>))]
internal enum Contestant
{
    Penstock,
    GVisor,
    Lwip,
    Sockets,
    Linux,
}

/// <summary>One thing that is measured: a row of the tables.</summary>
/// <param name="Id">By which <c>--only</c> chooses it.</param>
/// <param name="Unit">Of its figures.</param>
/// <param name="LessIsBetter">As of memory.</param>
internal sealed record Row(string Id, string Unit, bool LessIsBetter = false);

/// <summary>All rows and what they are called.</summary>
internal static class Contest
{
    private const string Rate = "Gbit/s";
    private const string Trips = "round trips/s";
    private const string Connections = "connections/s";
    private const string Requests = "requests/s";

    /// <summary>
    /// The end of a row over a device: what the client of ../peers/kernel-client is asked for. As with pipe.rr64, <c>.pool</c> is Penstock with its defaults, continuations on the thread pool, where the row
    /// without has them on the stack's own thread; the others meet the same test again.
    /// </summary>
    public static IReadOnlyList<string> Modes { get; } = ["up", "down", "up.pool", "down.pool", "rr", "crr"];

    public static IReadOnlyList<Row> Rows { get; } =
    [
        new("tun.vnet.up", Rate),
        new("tun.vnet.down", Rate),
        new("tun.vnet.up.pool", Rate),
        new("tun.vnet.down.pool", Rate),
        new("tun.vnet.rr", Trips),
        new("tun.vnet.crr", Connections),
        new("tun.plain.up", Rate),
        new("tun.plain.down", Rate),
        new("tun.plain.up.pool", Rate),
        new("tun.plain.down.pool", Rate),
        new("tun.plain.rr", Trips),
        new("tun.plain.crr", Connections),
        new("pipe.bulk.mtu1500", Rate),
        new("pipe.bulk.mtu65535", Rate),
        new("pipe.bulk.super", Rate),
        new("pipe.rr64", Trips),
        new("pipe.rr64.pool", Trips),
        new("pipe.crr", Connections),
        new("pipe.alloc", "B", LessIsBetter: true),
        new("pipe.http.1", Requests),
        new("pipe.http.16", Requests),
        new("pipe.idle", "B/end", LessIsBetter: true),
    ];

    public static Row Find(string id) => Rows.First(row => row.Id == id);

    public static string Title(Contestant contestant) => contestant switch
    {
        Contestant.GVisor => "gVisor",
        Contestant.Lwip => "lwIP",
        Contestant.Sockets => "System.Net.Sockets",
        _ => contestant.ToString(),
    };
}
