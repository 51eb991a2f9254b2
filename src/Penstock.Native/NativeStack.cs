using System.Net;
using Penstock.Bsd;
using Penstock.Time;

namespace Penstock.Native;

/// <summary>One stack of a C program: the stack, its clock and its link.</summary>
internal sealed class NativeStack
{
    private readonly VirtualTime? _virtualTime;
    private readonly VirtualPace? _virtualPace;
    private readonly Dictionary<string, string> _kernelSettings = [];
    private readonly bool _readsProcfs;

    private NativeStack(StackText text)
    {
        if (text.IsVirtual)
        {
            if (text.Tun is not null)
            {
                throw new ArgumentException("A TUN device lives in real time: leave time=virtual out, or use link=packets.");
            }

            _virtualTime = new VirtualTime();
            _virtualPace = new VirtualPace(_virtualTime);
        }

        Pace = (Pace?)_virtualPace ?? new RealPace();
        var options = new NetworkStackOptions { Name = text.Name, Seed = text.Seed ?? (text.IsVirtual ? 1 : null), Driver = _virtualTime };
        if (text.Memory is { } memory)
        {
            options.MemoryLimit = memory;
        }

        Stack = new NetworkStack(options);
        Patience = text.Patience;
        _readsProcfs = text.ReadsProcfs;
        foreach ((string key, string value) in text.Settings)
        {
            Stack.Sysctl.Set(key, value);
        }

        if (text.Addresses.Count == 0)
        {
            throw new ArgumentException("The stack needs an address: address=10.77.0.2/24, for one.");
        }

        Link link = text.Tun is { } device
            ? TunLink.Open(device, new TunOptions { Mtu = text.Mtu, HostAddress = text.Host, Offloads = text.Offloads })
            : Wire = new PacketWire(text.Mtu, Pace);
        Stack.AddInterface(link, [.. text.Addresses]);
        foreach (IPNetwork route in text.Routes)
        {
            Stack.AddRoute(route, link);
        }
    }

    public NetworkStack Stack { get; }

    public Pace Pace { get; }

    public bool IsVirtual => _virtualTime is not null;

    /// <summary>The other end of the link, when it is the caller's.</summary>
    public PacketWire? Wire { get; }

    public TimeSpan Patience { get; }

    public static NativeStack Open(string text) => new(StackText.Parse(text));

    public SocketFile MakeSocket(bool nonBlocking)
    {
        if (_readsProcfs)
        {
            ReadKernelSettings();
        }

        return new SocketFile(Stack, Pace) { NonBlocking = nonBlocking };
    }

    /// <summary>The time, as gettimeofday would tell it.</summary>
    public long ReadClock() => _virtualPace?.ReadClock() ?? Pace.NowNanos;

    /// <summary>Waits for a packet that the stack sends; false when none came in time, in virtual time also when nothing is left that could send one.</summary>
    public bool Receive(long timeoutNanos, out byte[] bytes, out long nanos)
    {
        if (Wire is not { } wire)
        {
            (bytes, nanos) = ([], 0);
            return false;
        }

        if (_virtualPace is { } pace)
        {
            pace.RunUntil(() => wire.HasPackets, Pace.NowNanos + timeoutNanos);
        }
        else
        {
            wire.WaitForPacket(TimeSpan.FromTicks(timeoutNanos / 100));
        }

        return wire.TryTake(out bytes, out nanos);
    }

    public void Close()
    {
        if (_virtualTime is { } time)
        {
            Pace.Enter();
            try
            {
                time.Run(async () => await Stack.DisposeAsync().ConfigureAwait(true), TimeSpan.FromHours(1));
            }
            finally
            {
                Pace.Exit();
            }
        }
        else
        {
            Stack.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    /// <summary>
    /// Takes over what the kernel's settings of these names are now, in the network namespace of this process: scripts for the kernel set them there. What the stack does not take
    /// stays as it is.
    /// </summary>
    private void ReadKernelSettings()
    {
        foreach (string key in Stack.Sysctl.Keys)
        {
            if (!key.StartsWith("net.", StringComparison.Ordinal) || key == "net.ipv4.tcp_mem")
            {
                continue;
            }

            try
            {
                string value = File.ReadAllText("/proc/sys/" + key.Replace('.', '/')).Trim();
                if (_kernelSettings.GetValueOrDefault(key) != value)
                {
                    _kernelSettings[key] = value;
                    Stack.Sysctl.Set(key, value);
                }
            }
            catch (Exception wrong) when (wrong is IOException or UnauthorizedAccessException or ArgumentException or InvalidOperationException)
            {
                Errors.Log($"{key}: {wrong.Message}");
            }
        }
    }
}
