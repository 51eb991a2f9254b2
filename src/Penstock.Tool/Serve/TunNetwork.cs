using System.Net;

namespace Penstock.Tool.Serve;

/// <summary>The server's stack on a TUN device: the kernel of this machine, and whoever it routes, are the clients. Linux only, needs privileges.</summary>
internal sealed class TunNetwork : ServeNetwork
{
    private readonly NetworkStack _stack;
    private readonly ServeSettings _settings;
    private readonly string _device;

    /// <exception cref="ToolFailure">The device cannot be made or configured, or the capture not be written.</exception>
    public TunNetwork(ServeSettings settings)
    {
        _settings = settings;
        TunLink tun = OpenDevice(settings);
        _device = tun.Name;
        Link link = WithCapture(tun, settings);
        _stack = new NetworkStack(new NetworkStackOptions { Name = "server", CloseTimeout = TimeSpan.FromSeconds(2) });
        _stack.AddInterface(link, settings.Address!);

        // The kernel may route others' packets to the device: their answers go back the same way.
        _stack.AddRoute(IPNetwork.Parse("0.0.0.0/0"), link);
    }

    public override NetworkStack Server => _stack;

    public override IReadOnlyList<NetworkStack> Stacks => [_stack];

    public override string Url => _settings.Port == 80 ? $"http://{_settings.Address!.Address}" : $"http://{_settings.Address!.Address}:{_settings.Port}";

    public override IReadOnlyList<string> Path =>
        [$"kernel {_settings.HostAddress!.Address}", $"TUN device {_device}", $"stack 'server' {_settings.Address!.Address}:{_settings.Port}", "Kestrel"];

    public override ValueTask DisposeAsync() => _stack.DisposeAsync();

    private static TunLink OpenDevice(ServeSettings settings)
    {
        try
        {
            return TunLink.Open(settings.Tun!, new TunOptions { HostAddress = settings.HostAddress, Mtu = settings.Mtu, Offloads = settings.Offloads });
        }
        catch (ArgumentException failure)
        {
            throw ToolFailure.Usage($"--tun {settings.Tun}: {failure.Message}");
        }
        catch (UnauthorizedAccessException failure)
        {
            throw ToolFailure.Environment($"{failure.Message} Run it with sudo, or without --tun.", failure);
        }
        catch (Exception failure) when (failure is IOException or PlatformNotSupportedException)
        {
            throw ToolFailure.Environment(failure.Message, failure);
        }
    }
}
