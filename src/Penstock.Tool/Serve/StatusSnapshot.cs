using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Penstock.Ip;

namespace Penstock.Tool.Serve;

/// <summary>
/// What <c>/penstock/data</c> answers: every stack with its connections, interfaces and counters at one moment. Times are microseconds, sizes bytes, and everything is a
/// total since the start, so that any number of readers can make rates of it. Taking one never waits for a connection.
/// </summary>
internal sealed record StatusSnapshot
{
    /// <summary>Milliseconds on a clock that only goes forward; its start means nothing.</summary>
    public required long AtMilliseconds { get; init; }

    public required IReadOnlyList<string> Path { get; init; }

    /// <summary>The peer's end point of the connection that asked, so that a reader can tell its own.</summary>
    public required string Viewer { get; init; }

    public required IReadOnlyList<StackStatus> Stacks { get; init; }

    public required IReadOnlyList<CableStatus> Cable { get; init; }

    public CaptureStatus? Capture { get; init; }

    public static StatusSnapshot Take(ServeNetwork network, string viewer) => new()
    {
        AtMilliseconds = (long)TimeProvider.System.GetElapsedTime(0).TotalMilliseconds,
        Path = network.Path,
        Viewer = viewer,
        Stacks = [.. network.Stacks.Select(StackStatus.Of)],
        Cable = network.Cable is { } cable ? [CableStatus.Of("client to server", cable.AToB), CableStatus.Of("server to client", cable.BToA)] : [],
        Capture = network.Capture is { } capture ? new CaptureStatus(capture.Packets, capture.MissedPackets, capture.Failure?.Message) : null,
    };
}

/// <summary>One stack.</summary>
internal sealed record StackStatus
{
    public required string Name { get; init; }

    public required IReadOnlyList<ConnectionStatus> Connections { get; init; }

    public required IReadOnlyList<InterfaceStatus> Interfaces { get; init; }

    /// <summary>Every counter that is not zero, by Linux's name.</summary>
    public required IReadOnlyDictionary<string, long> Counters { get; init; }

    /// <summary>Bytes that the stack holds for packets, and the most it may.</summary>
    public required long MemoryHeld { get; init; }

    public required long MemoryLimit { get; init; }

    /// <summary>Bytes of TCP's soft accounting (<c>tcp_mem</c>), and whether they are above the pressure mark.</summary>
    public required long TcpMemory { get; init; }

    public required bool TcpPressure { get; init; }

    public static StackStatus Of(NetworkStack stack)
    {
        var counters = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (StackCounter counter in Enum.GetValues<StackCounter>())
        {
            if (stack.GetCounter(counter) is not 0 and long value)
            {
                counters[counter.ToString()] = value;
            }
        }

        return new StackStatus
        {
            Name = stack.Name,
            Connections = [.. stack.GetConnections().Select(ConnectionStatus.Of)],
            Interfaces = [.. stack.Interfaces.Select(InterfaceStatus.Of)],
            Counters = counters,
            MemoryHeld = stack.Pool.HeldBytes,
            MemoryLimit = stack.Pool.Limit,
            TcpMemory = stack.Tcp.Memory.AllocatedPages * Accounting.ProtocolMemory.PageSize,
            TcpPressure = stack.Tcp.Memory.UnderPressure,
        };
    }
}

/// <summary>One interface; a merged packet counts as one.</summary>
internal sealed record InterfaceStatus(
    string Name, string Addresses, int Mtu, bool Failed, long PacketsIn, long BytesIn, long PacketsOut, long BytesOut)
{
    public static InterfaceStatus Of(StackInterface on) => new(
        on.Link.Name,
        string.Join(", ", on.Addresses.Select(a => $"{a.Address}/{a.Network.FamilyLength}")),
        on.Mtu,
        on.HasFailed,
        on.PacketsIn,
        on.BytesIn,
        on.PacketsOut,
        on.BytesOut);
}

/// <summary>One direction of the cable.</summary>
internal sealed record CableStatus(
    string Direction, long Sent, long SentBytes, long Delivered, long Lost, long QueueDrops, long MemoryDrops, long InFlight)
{
    public static CableStatus Of(string name, CableDirection direction)
    {
        CableCounters c = direction.Counters;
        return new CableStatus(name, c.Sent, c.SentBytes, c.Delivered, c.Lost, c.DroppedByQueue, c.DroppedByMemory, c.InFlight);
    }
}

/// <summary>The capture of the server's link.</summary>
internal sealed record CaptureStatus(long Packets, long Missed, string? Failure);

/// <summary>Writes the snapshot.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(StatusSnapshot))]
internal sealed partial class StatusJson : JsonSerializerContext
{
    /// <summary>As the default, with quotes and arrows readable: the answer is never put into HTML.</summary>
    public static StatusJson Readable { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
