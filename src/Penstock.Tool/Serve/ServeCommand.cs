using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Penstock.Tool.Serve;

/// <summary>The verb <c>serve</c>: its options, their checks, and how they combine. Runs nothing itself; see <see cref="ServeRun"/>.</summary>
internal static class ServeCommand
{
    public const string Name = "serve";

    /// <summary>What the help ends with.</summary>
    public const string Examples =
        """
        Examples:
          penstock serve
              A demo page at http://127.0.0.1:8080/ and every connection, live, at /penstock.
          penstock serve --root . --delay 50ms --loss 2% --rate 10mbit
              The current folder over a bad network. Try: curl -O http://127.0.0.1:8080/FILE
          penstock serve --root inbox --writable --listen 127.0.0.1:0
              Takes uploads, on a free port. Try: curl -T FILE http://127.0.0.1:PORT/
          penstock serve --capture run.pcapng
              What crosses the server's link, for Wireshark or tshark -r run.pcapng
          sudo penstock serve --root . --tun penstock0 --address 10.77.0.2/24
              On a TUN device, with the kernel as the client. Try: curl http://10.77.0.2/
        """;

    private static readonly IPEndPoint s_defaultListen = new(IPAddress.Loopback, 8080);

    private static readonly Option<string?> s_root = new("--root") { HelpName = "DIR", Description = "Folder to serve; without it a small built-in page." };

    private static readonly Option<IPEndPoint> s_listen = new("--listen")
    {
        HelpName = "IP:PORT",
        Description = "The kernel's address that is bridged to the stack (without --tun); port 0 takes a free one. [default: 127.0.0.1:8080]",
        CustomParser = result => ParseEndPoint(result),
    };

    private static readonly Option<string?> s_tun = new("--tun")
    {
        HelpName = "NAME",
        Description = "Serve on a TUN device of this name instead of the embedded network; needs root or CAP_NET_ADMIN, and --address.",
    };

    private static readonly Option<InterfaceAddress?> s_address = new("--address")
    {
        HelpName = "CIDR",
        Description = "With --tun: the stack's own address and network, as in 10.77.0.2/24.",
        CustomParser = result => OptionText.Parse(
            result,
            (string text, out InterfaceAddress? address) =>
                InterfaceAddress.TryParse(text, out address) && text.Contains('/', StringComparison.Ordinal) && address.Address.AddressFamily == AddressFamily.InterNetwork,
            "Write an IPv4 address with its prefix, as in 10.77.0.2/24."),
    };

    private static readonly Option<IPAddress?> s_hostAddress = new("--host-address")
    {
        HelpName = "IP",
        Description = "With --tun: the kernel's address on the device. [default: the first other host of the network]",
        CustomParser = result => OptionText.Parse(
            result,
            (string text, out IPAddress? address) =>
            {
                bool read = InterfaceAddress.TryParse(text, out InterfaceAddress? full) && !text.Contains('/', StringComparison.Ordinal);
                address = full?.Address;
                return read && address!.AddressFamily == AddressFamily.InterNetwork;
            },
            "Write an IPv4 address, as in 10.77.0.1."),
    };

    private static readonly Option<int> s_port = new("--port")
    {
        HelpName = "PORT",
        Description = "TCP port of the server inside the stack.",
        DefaultValueFactory = _ => 80,
        CustomParser = result => OptionText.ParseNumber(result, 1, 65535),
    };

    private static readonly Option<TimeSpan> s_delay = new("--delay")
    {
        HelpName = "TIME",
        Description = "Embedded network: time on the way, in each direction, as in 50ms.",
        CustomParser = result => OptionText.Parse<TimeSpan>(result, Quantity.TryParseTime, Quantity.TimeForm),
    };

    private static readonly Option<double> s_loss = new("--loss")
    {
        HelpName = "SHARE",
        Description = "Embedded network: packets lost in each direction, as in 2% or 0.02.",
        CustomParser = result => OptionText.Parse<double>(result, Quantity.TryParseShare, Quantity.ShareForm),
    };

    private static readonly Option<long?> s_rate = new("--rate")
    {
        HelpName = "RATE",
        Description = "Embedded network: bits a second in each direction, as in 10mbit.",
        CustomParser = result => OptionText.Parse(
            result,
            (string text, out long? rate) =>
            {
                bool read = Quantity.TryParseRate(text, out long bits);
                rate = bits;
                return read;
            },
            Quantity.RateForm),
    };

    private static readonly Option<bool> s_writable = new("--writable") { Description = "Lets PUT create and replace files below --root." };

    private static readonly Option<string?> s_capture = new("--capture")
    {
        HelpName = "FILE",
        Description = "Writes what crosses the server's link as pcapng; readable while it runs.",
    };

    private static readonly Option<int> s_mtu = new("--mtu")
    {
        HelpName = "BYTES",
        Description = "Largest IP packet on the link, 576 to 65535.",
        DefaultValueFactory = _ => 1500,
        CustomParser = result => OptionText.ParseNumber(result, 576, 65535),
    };

    private static readonly Option<bool> s_noOffload = new("--no-offload")
    {
        Description = "Sends single packets with real checksums instead of super-segments of up to 64 KiB: slower, and what a wire would see.",
    };

    public static Command Build()
    {
        var command = new Command(Name, "Serves a folder over HTTP with Kestrel on our own TCP/IP stack; /penstock shows every connection, live.")
        {
            s_root, s_listen, s_tun, s_address, s_hostAddress, s_port, s_delay, s_loss, s_rate, s_writable, s_capture, s_mtu, s_noOffload,
        };
        command.SetAction((parsed, stop) => ServeRun.RunAsync(
            Settings(parsed), parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error, stop));
        return command;
    }

    private static ServeSettings Settings(ParseResult parsed)
    {
        string? root = parsed.GetValue(s_root);
        if (root is not null && !Directory.Exists(root))
        {
            throw ToolFailure.Usage(
                File.Exists(root) ? $"--root {root} is a file. Name the folder that it is in." : $"There is no folder '{root}'. Create it, or name another with --root.");
        }

        bool writable = parsed.GetValue(s_writable);
        if (writable && root is null)
        {
            throw ToolFailure.Usage("--writable needs a folder to write to. Add --root DIR.");
        }

        string? tun = parsed.GetValue(s_tun);
        InterfaceAddress? address = parsed.GetValue(s_address);
        InterfaceAddress? host = null;
        if (tun is null)
        {
            foreach (Option option in (Option[])[s_address, s_hostAddress])
            {
                if (OptionText.IsGiven(parsed, option))
                {
                    throw ToolFailure.Usage($"{option.Name} is for a TUN device. Add --tun NAME, or leave it out to use the embedded network.");
                }
            }
        }
        else
        {
            foreach (Option option in (Option[])[s_delay, s_loss, s_rate])
            {
                if (OptionText.IsGiven(parsed, option))
                {
                    throw ToolFailure.Usage(
                        $"{option.Name} makes the embedded network bad and cannot be combined with --tun. Leave one out; on a device use 'tc qdisc add dev {tun} root netem'.");
                }
            }

            if (OptionText.IsGiven(parsed, s_listen))
            {
                throw ToolFailure.Usage("--listen is the embedded network's and cannot be combined with --tun: clients reach the stack's own --address.");
            }

            if (address is null)
            {
                throw ToolFailure.Usage("--tun needs the stack's own address. Add --address 10.77.0.2/24, or another free network.");
            }

            host = HostAddress.Choose(address, parsed.GetValue(s_hostAddress));
        }

        return new ServeSettings
        {
            Root = root is null ? null : Path.GetFullPath(root),
            Writable = writable,
            Port = parsed.GetValue(s_port),
            Capture = parsed.GetValue(s_capture),
            Mtu = parsed.GetValue(s_mtu),
            Offloads = !parsed.GetValue(s_noOffload),
            Listen = parsed.GetValue(s_listen) ?? s_defaultListen,
            Delay = parsed.GetValue(s_delay),
            Loss = parsed.GetValue(s_loss),
            Rate = parsed.GetValue(s_rate),
            Tun = tun,
            Address = address,
            HostAddress = host,
        };
    }

    private static IPEndPoint ParseEndPoint(ArgumentResult result) => OptionText.Parse(
        result,
        (string text, out IPEndPoint value) =>
        {
            // A bare port means this machine only; IPEndPoint.Parse would take it for an address.
            if (text.StartsWith("localhost:", StringComparison.OrdinalIgnoreCase) || !text.Contains(':', StringComparison.Ordinal))
            {
                text = $"127.0.0.1:{text[(text.IndexOf(':', StringComparison.Ordinal) + 1)..]}";
            }

            bool read = IPEndPoint.TryParse(text, out IPEndPoint? parsed) && text[^1] != ']';
            value = parsed ?? s_defaultListen;
            return read;
        },
        "Write an address and a port, as in 127.0.0.1:8080.");
}
