using System.Buffers.Binary;
using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Penstock;

namespace Tun2Socks;

/// <summary>The command line: its options, what is said when something is wrong, and the run from the device's making to its end.</summary>
internal static class TunnelCommand
{
    /// <summary>Ended as asked.</summary>
    public const int Success = 0;

    /// <summary>The machine did not allow it, or something broke.</summary>
    public const int Failure = 1;

    /// <summary>The arguments are wrong.</summary>
    public const int UsageError = 2;

    private const string Examples =
        """
        Examples:
          sudo tun2socks --tun tun0 --address 10.77.0.1/24 --socks 192.168.1.9:1080
              Makes the device tun0. What is routed there leaves through the proxy:
              sudo ip route add 203.0.113.0/24 dev tun0
              curl http://203.0.113.10/
          sudo tun2socks --tun tun0 --address 10.77.0.1/24 --socks proxy.example:1080 --user me --password secret --verbose
              For a proxy that wants to know who asks, with a line for each flow.
          sudo tun2socks --tun tun0 --address 10.77.0.1/24 --socks 127.0.0.1:9050 --max-flows 200 --refuse silence
              At most 200 connections at a time; who is over it is kept waiting instead of refused.

        To route everything, first give the proxy, and the DNS server, a route that does not lead into the tunnel:
              sudo ip route add 192.168.1.9 via GATEWAY
              sudo ip route add default dev tun0 metric 1

        Carries TCP over IPv4. Everything else that is routed to the device, DNS over UDP for instance, is dropped.
        """;

    private static readonly Option<string> s_tun = new("--tun") { HelpName = "NAME", Description = "The TUN device to make, as in tun0.", Required = true };

    private static readonly Option<InterfaceAddress> s_address = new("--address")
    {
        HelpName = "CIDR",
        Description = "This machine's address on the device, with a network of at least two addresses that nothing else uses, as in 10.77.0.1/24.",
        Required = true,
        CustomParser = result => Parse(
            result,
            (string text, out InterfaceAddress value) =>
                InterfaceAddress.TryParse(text, out value!) && IsHost(value),
            "Write a host's IPv4 address with its prefix, as in 10.77.0.1/24."),
    };

    private static readonly Option<DnsEndPoint> s_socks = new("--socks")
    {
        HelpName = "HOST:PORT",
        Description = "The SOCKS5 proxy through which connections leave.",
        Required = true,
        CustomParser = result => Parse<DnsEndPoint>(result, TryParseEndPoint, "Write a host and a port, as in 192.168.1.9:1080."),
    };

    private static readonly Option<string?> s_user = new("--user") { HelpName = "NAME", Description = "User name for the proxy." };

    private static readonly Option<string?> s_password = new("--password")
    {
        HelpName = "WORD",
        Description = $"Password for the proxy. Others on this machine can see it; {PasswordVariable} in the environment hides it.",
    };

    private static readonly Option<int> s_maxHalfOpen = Number("--max-half-open", 256, "Connections that may be opening at the same time.");

    private static readonly Option<int> s_maxFlows = Number("--max-flows", 4096, "Connections that may be open at the same time.");

    private static readonly Option<TcpRefusal> s_refuse = new("--refuse")
    {
        HelpName = "reset|silence",
        Description = "What a connection sees that is over a limit or that the proxy does not open: a reset at once, or nothing, so that it tries again. [default: reset]",
        CustomParser = result => Parse(
            result,
            (string text, out TcpRefusal value) => Enum.TryParse(text, ignoreCase: true, out value) && Enum.IsDefined(value) && !char.IsAsciiDigit(text[0]),
            "Write reset or silence."),
    };

    private static readonly Option<int> s_timeout = Number("--timeout", 10, "Seconds that the proxy may take to open a connection.", most: 120);

    private static readonly Option<bool> s_verbose = new("--verbose") { Description = "Prints a line when a flow is connected, refused or over." };

    private const string PasswordVariable = "TUN2SOCKS_PASSWORD";

    private delegate bool TryParse<T>(string text, out T value);

    /// <summary>Runs one command line to its end. Facts go to <paramref name="output"/>, what goes wrong to <paramref name="error"/>.</summary>
    public static async Task<int> InvokeAsync(string[] arguments, TextWriter output, TextWriter error, CancellationToken stop)
    {
        ParseResult parsed = Build().Parse(arguments);
        if (parsed.Errors.Count > 0 && parsed.Action is not (HelpAction or ExamplesHelp))
        {
            await error.WriteLineAsync($"tun2socks: {parsed.Errors[0].Message.TrimEnd('.')}. See 'tun2socks --help'.");
            return UsageError;
        }

        try
        {
            // Signals are the caller's.
            var configuration = new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
            return await parsed.InvokeAsync(configuration, stop);
        }
        catch (TunnelFailure failure)
        {
            await error.WriteLineAsync($"tun2socks: {failure.Message}");
            return failure.ExitCode;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return Success;
        }
    }

    private static RootCommand Build()
    {
        var root = new RootCommand("Sends the TCP connections that are routed to a TUN device out through a SOCKS5 proxy.")
        {
            s_tun, s_address, s_socks, s_user, s_password, s_maxHalfOpen, s_maxFlows, s_refuse, s_timeout, s_verbose,
        };
        foreach (Option option in root.Options)
        {
            if (option is HelpOption { Action: HelpAction help } found)
            {
                found.Action = new ExamplesHelp(help);
            }
        }

        root.SetAction(RunAsync);
        return root;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken stop)
    {
        TextWriter output = TextWriter.Synchronized(parsed.InvocationConfiguration.Output);
        TextWriter error = TextWriter.Synchronized(parsed.InvocationConfiguration.Error);
        NetworkCredential? credential = Credential(parsed);
        DnsEndPoint socks = parsed.GetRequiredValue(s_socks);
        var options = new TunnelOptions
        {
            Proxy = await ResolveAsync(socks, stop),
            Credential = credential,
            MaxHalfOpen = parsed.GetValue(s_maxHalfOpen),
            MaxFlows = parsed.GetValue(s_maxFlows),
            Refusal = parsed.GetValue(s_refuse),
            ConnectTimeout = TimeSpan.FromSeconds(parsed.GetValue(s_timeout)),
        };
        await ProbeAsync(options, stop);

        InterfaceAddress host = parsed.GetRequiredValue(s_address);
        TunLink device = Open(parsed.GetRequiredValue(s_tun), host);
        var tunnel = new Tunnel(
            device, Neighbor(host), options, text => error.WriteLine($"tun2socks: {text}"), parsed.GetValue(s_verbose) ? output.WriteLine : null);
        await using (tunnel)
        {
            output.WriteLine($"Device  {device.Name}, this machine is {host}");
            output.WriteLine($"Proxy   {options.Proxy}, SOCKS5");
            output.WriteLine($"Limits  {options.MaxHalfOpen} opening, {options.MaxFlows} open; beyond them {(options.Refusal == TcpRefusal.Reset ? "a reset" : "silence")}");
            output.WriteLine($"Next    ip route add NETWORK dev {device.Name}");
            output.WriteLine("Stop    Ctrl-C");
            output.Flush();
            try
            {
                await tunnel.RunAsync(stop);
            }
            catch (IOException failure)
            {
                throw new TunnelFailure($"{failure.Message.TrimEnd('.')}. {Summary(tunnel)}. Start it again.", Failure, failure);
            }

            int open = tunnel.FlowsAtStop;
            output.WriteLine($"Stopped {(open == 0 ? "with no flow open" : $"and reset {Count(open, "flow")} that {(open == 1 ? "was" : "were")} open")}. {Summary(tunnel)}.");
        }

        return Success;
    }

    private static string Summary(Tunnel tunnel) => string.Create(
        CultureInfo.InvariantCulture, $"{Count(tunnel.Relayed, "flow")} connected, {tunnel.Refused} refused, {tunnel.Up} bytes out, {tunnel.Down} back");

    private static string Count(long number, string what) => number == 1 ? $"1 {what}" : $"{number} {what}s";

    private static NetworkCredential? Credential(ParseResult parsed)
    {
        string? user = parsed.GetValue(s_user);
        string? password = parsed.GetValue(s_password) ?? (user is null ? null : Environment.GetEnvironmentVariable(PasswordVariable));
        if (user is null && password is null)
        {
            return null;
        }

        if (user is null || password is null)
        {
            throw new TunnelFailure(
                user is null ? "--password needs a user name. Add --user NAME." : $"--user needs a password. Add --password WORD, or set {PasswordVariable}.", UsageError);
        }

        foreach ((string name, string value) in (ReadOnlySpan<(string, string)>)[("--user", user), ("--password", password)])
        {
            // RFC 1929 has one byte for the length.
            if (Encoding.UTF8.GetByteCount(value) is 0 or > 255)
            {
                throw new TunnelFailure($"{name} takes 1 to 255 bytes.", UsageError);
            }
        }

        return new NetworkCredential(user, password);
    }

    /// <summary>Once, before anything is routed into the tunnel: later the question itself might go there.</summary>
    private static async Task<IPEndPoint> ResolveAsync(DnsEndPoint socks, CancellationToken stop)
    {
        try
        {
            IPAddress[] found = await Dns.GetHostAddressesAsync(socks.Host, stop);
            return new IPEndPoint(found[0], socks.Port);
        }
        catch (SocketException failure)
        {
            throw new TunnelFailure($"--socks {socks.Host}: {failure.Message}. Check the name, or write the proxy's address.", Failure, failure);
        }
    }

    private static async Task ProbeAsync(TunnelOptions options, CancellationToken stop)
    {
        try
        {
            await new Socks5Client(options.Proxy, options.Credential, options.ConnectTimeout).ProbeAsync(stop);
        }
        catch (Socks5Exception failure)
        {
            throw new TunnelFailure(
                $"{failure.Message}. Start the proxy there first (for a try: microsocks -p {options.Proxy.Port}), or name another with --socks.", Failure, failure);
        }
    }

    private static TunLink Open(string name, InterfaceAddress host)
    {
        try
        {
            return TunLink.Open(name, new TunOptions { HostAddress = host });
        }
        catch (ArgumentException failure)
        {
            throw new TunnelFailure($"--tun {name}: {failure.Message}", UsageError, failure);
        }
        catch (UnauthorizedAccessException failure)
        {
            throw new TunnelFailure($"{failure.Message} Run it with sudo.", Failure, failure);
        }
        catch (Exception failure) when (failure is IOException or PlatformNotSupportedException)
        {
            throw new TunnelFailure(failure.Message, Failure, failure);
        }
    }

    private static bool IsHost(InterfaceAddress address)
    {
        if (address.Address.AddressFamily != AddressFamily.InterNetwork || address.PrefixLength is 0 or 32)
        {
            return false;
        }

        uint last = (1u << (32 - address.PrefixLength)) - 1;
        uint own = BinaryPrimitives.ReadUInt32BigEndian(address.Address.GetAddressBytes()) & last;
        return address.PrefixLength == 31 || (own != 0 && own != last);
    }

    /// <summary>An address for the stack: the host's in the same network that is next to the machine's.</summary>
    private static InterfaceAddress Neighbor(InterfaceAddress host)
    {
        byte[] bytes = host.Address.GetAddressBytes();
        uint own = BinaryPrimitives.ReadUInt32BigEndian(bytes);
        uint last = (1u << (32 - host.PrefixLength)) - 1;
        uint next = (own & last) + 1;

        // Neither the broadcast address nor that of the network, where there are such (RFC 3021).
        next = next < last || host.PrefixLength == 31 ? next & last : (own & last) - 1;
        BinaryPrimitives.WriteUInt32BigEndian(bytes, (own & ~last) | next);
        return new InterfaceAddress(new IPAddress(bytes), host.PrefixLength);
    }

    private static Option<int> Number(string name, int value, string description, int most = 1_000_000) => new(name)
    {
        HelpName = "N",
        Description = description,
        DefaultValueFactory = _ => value,
        CustomParser = result => Parse(
            result,
            (string text, out int number) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number >= 1 && number <= most,
            $"Write a number between 1 and {most}."),
    };

    private static bool TryParseEndPoint(string text, out DnsEndPoint value)
    {
        int colon = text.LastIndexOf(':');
        value = null!;
        if (colon < 1 || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) || port == 0)
        {
            return false;
        }

        value = new DnsEndPoint(text[..colon].Trim('[', ']'), port);
        return true;
    }

    private static T Parse<T>(ArgumentResult result, TryParse<T> parse, string form)
    {
        string text = result.Tokens[0].Value;
        if (!parse(text, out T value))
        {
            result.AddError($"{(result.Parent as OptionResult)?.Option.Name} '{text}' is not understood. {form}");
        }

        return value;
    }

    private sealed class ExamplesHelp(HelpAction inner) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            int code = inner.Invoke(parseResult);
            parseResult.InvocationConfiguration.Output.WriteLine(Examples);
            return code;
        }
    }
}

/// <summary>Something that the user can do something about: one line that says what.</summary>
internal sealed class TunnelFailure(string message, int exitCode, Exception? inner = null) : Exception(message, inner)
{
    public int ExitCode { get; } = exitCode;
}
