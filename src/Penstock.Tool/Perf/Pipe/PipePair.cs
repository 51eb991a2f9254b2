using System.Globalization;
using System.Net;
using Penstock.Time;

namespace Penstock.Tool.Perf.Pipe;

/// <summary>
/// Two stacks in real time on a cable without delay, loss or rate, so that what is measured is the stacks and the machine. Each has a thread of its own, or both share one.
/// Disposing it resets what is still open.
/// </summary>
internal sealed class PipePair : IAsyncDisposable
{
    private static readonly IPAddress s_serverAddress = IPAddress.Parse("10.1.0.2");

    public PipePair(CableOptions? cable = null, bool oneThread = false)
    {
        ThreadDriver? shared = oneThread ? new ThreadDriver("perf") : null;
        Client = new NetworkStack(new NetworkStackOptions { Name = "client", CloseTimeout = TimeSpan.Zero, Driver = shared });
        Server = new NetworkStack(new NetworkStackOptions { Name = "server", CloseTimeout = TimeSpan.Zero, Driver = shared });
        var line = new VirtualCable(cable ?? new CableOptions());
        Client.AddInterface(line.A, InterfaceAddress.Parse("10.1.0.1/24"));
        Server.AddInterface(line.B, new InterfaceAddress(s_serverAddress, 24));
    }

    public NetworkStack Client { get; }

    public NetworkStack Server { get; }

    /// <summary>Where the server is reached at <paramref name="port"/>.</summary>
    public static IPEndPoint At(int port) => new(s_serverAddress, port);

    /// <summary>A connection through the public API: both ends of it.</summary>
    public async Task<(TcpSocket Near, TcpSocket Far)> ConnectAsync(int port, bool noDelay, CancellationToken stop)
    {
        TcpSocketListener listener = Server.ListenTcp(new TcpListenOptions(At(port)) { NoDelay = noDelay });
        await using var owned = listener.ConfigureAwait(false);
        TcpSocket near = await Client.ConnectTcpAsync(At(port), new TcpConnectOptions { NoDelay = noDelay }, stop).ConfigureAwait(false);
        TcpSocket far = await listener.AcceptAsync(stop).ConfigureAwait(false);
        return (near, far);
    }

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync().ConfigureAwait(false);
        await Server.DisposeAsync().ConfigureAwait(false);
    }
}

/// <summary>A moment, and the processor time that this process had used by then.</summary>
internal readonly struct Moment
{
    private readonly long _timestamp;
    private readonly Environment.ProcessCpuUsage _used;

    private Moment(long timestamp, Environment.ProcessCpuUsage used) => (_timestamp, _used) = (timestamp, used);

    public static Moment Now => new(TimeProvider.System.GetTimestamp(), Environment.CpuUsage);

    public TimeSpan Elapsed => TimeProvider.System.GetElapsedTime(_timestamp);

    /// <summary>Seconds until <paramref name="end"/>.</summary>
    public double SecondsUntil(Moment end) => TimeProvider.System.GetElapsedTime(_timestamp, end._timestamp).TotalSeconds;

    /// <summary>Processor time used until <paramref name="end"/> for each of <paramref name="count"/>, in words: steadier than the clock on a machine with other work.</summary>
    public string UsedUntil(Moment end, double count, string what)
    {
        double user = (end._used.UserTime - _used.UserTime).TotalMicroseconds, system = (end._used.PrivilegedTime - _used.PrivilegedTime).TotalMicroseconds;
        return string.Create(CultureInfo.InvariantCulture, $"{user / count:0.###} us user + {system / count:0.###} us system a {what}");
    }
}
