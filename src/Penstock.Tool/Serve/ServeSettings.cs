using System.Net;

namespace Penstock.Tool.Serve;

/// <summary>What <c>serve</c> was asked to do, checked and complete.</summary>
internal sealed record ServeSettings
{
    /// <summary>The folder, as a full path; null serves the built-in page.</summary>
    public string? Root { get; init; }

    /// <summary>Whether PUT may write into the folder.</summary>
    public bool Writable { get; init; }

    /// <summary>The TCP port that Kestrel listens on inside the stack.</summary>
    public int Port { get; init; } = 80;

    /// <summary>Where the pcapng file goes; null captures nothing.</summary>
    public string? Capture { get; init; }

    /// <summary>The link's MTU, bytes.</summary>
    public int Mtu { get; init; } = 1500;

    /// <summary>Whether super-segments and checksums may be left to the link.</summary>
    public bool Offloads { get; init; } = true;

    /// <summary>Without a device: the kernel's end point that is bridged to the stack.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 8080);

    /// <summary>One way, each direction.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>Share of the packets lost, each direction.</summary>
    public double Loss { get; init; }

    /// <summary>Bits a second, each direction; null is without limit.</summary>
    public long? Rate { get; init; }

    /// <summary>The TUN device; null serves on the embedded network.</summary>
    public string? Tun { get; init; }

    /// <summary>With a device: the stack's own address.</summary>
    public InterfaceAddress? Address { get; init; }

    /// <summary>With a device: the kernel's address on it.</summary>
    public InterfaceAddress? HostAddress { get; init; }
}
