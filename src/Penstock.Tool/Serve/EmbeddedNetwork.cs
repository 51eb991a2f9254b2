using System.Globalization;
using System.Net;

namespace Penstock.Tool.Serve;

/// <summary>
/// Two stacks on a cable inside this process, and a port of the kernel's loopback that is bridged to them. Needs no privilege; the cable can be made bad.
/// </summary>
internal sealed class EmbeddedNetwork : ServeNetwork
{
    private static readonly IPAddress s_clientAddress = IPAddress.Parse("10.77.0.1");
    private static readonly IPAddress s_serverAddress = IPAddress.Parse("10.77.0.2");

    private readonly ServeSettings _settings;
    private readonly NetworkStack _server;
    private readonly NetworkStack _client;
    private readonly LoopbackBridge _bridge;

    /// <exception cref="ToolFailure">The port is busy, or the capture cannot be written.</exception>
    public EmbeddedNetwork(ServeSettings settings)
    {
        _settings = settings;
        Cable = new VirtualCable(new CableOptions
        {
            Mtu = settings.Mtu,
            Delay = settings.Delay,
            Loss = settings.Loss,
            Rate = settings.Rate,
            SuperSegments = settings.Offloads,
            Checksums = !settings.Offloads,
        });

        // What can fail comes first, so that nothing has to be taken down again.
        _bridge = LoopbackBridge.Bind(settings.Listen);
        Link serverEnd;
        try
        {
            serverEnd = WithCapture(Cable.B, settings);
        }
        catch
        {
            _bridge.Close();
            throw;
        }

        _server = new NetworkStack(new NetworkStackOptions { Name = "server", CloseTimeout = TimeSpan.FromSeconds(2) });
        _client = new NetworkStack(new NetworkStackOptions { Name = "client", CloseTimeout = TimeSpan.FromSeconds(2) });
        _server.AddInterface(serverEnd, new InterfaceAddress(s_serverAddress, 24));
        _client.AddInterface(Cable.A, new InterfaceAddress(s_clientAddress, 24));
    }

    public override NetworkStack Server => _server;

    public override IReadOnlyList<NetworkStack> Stacks => [_server, _client];

    public override VirtualCable Cable { get; }

    public override string Url => $"http://{_bridge.LocalEndPoint}";

    public override IReadOnlyList<string> Path =>
        [$"{_bridge.LocalEndPoint}", "loopback bridge", $"stack 'client' {s_clientAddress}", CableText(), $"stack 'server' {s_serverAddress}:{_settings.Port}", "Kestrel"];

    public override void Open() => _bridge.Open(_client, new IPEndPoint(s_serverAddress, _settings.Port));

    public override void Close() => _bridge.Close();

    public override async ValueTask DisposeAsync()
    {
        await _bridge.DisposeAsync().ConfigureAwait(false);

        // Both at once: each wants the other's acknowledgments while it closes.
        Task client = _client.DisposeAsync().AsTask();
        Task server = _server.DisposeAsync().AsTask();
        await Task.WhenAll(client, server).ConfigureAwait(false);
    }

    private string CableText()
    {
        var traits = new List<string>();
        if (_settings.Delay > TimeSpan.Zero)
        {
            traits.Add(Quantity.Text(_settings.Delay));
        }

        if (_settings.Loss > 0)
        {
            traits.Add(string.Create(CultureInfo.InvariantCulture, $"{_settings.Loss * 100:0.###} % loss"));
        }

        if (_settings.Rate is { } rate)
        {
            traits.Add(Quantity.Text(rate));
        }

        return traits.Count == 0 ? "cable" : $"cable ({string.Join(", ", traits)})";
    }
}
