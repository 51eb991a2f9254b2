using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Penstock.Benchmarks.Compare;

namespace Penstock.Benchmarks.Matrix;

/// <summary>
/// A host on the kernel's TCP: a network namespace without a name, which goes with the last thing in it, with a TUN device and a socket.
/// </summary>
internal sealed partial class KernelHost : IDisposable
{
    private const int NewNetwork = 0x4000_0000;
    private const int TcpCongestion = 13;
    private const int QueueLength = 20_000;

    private const int TcpInfo = 11;
    private readonly SafeFileHandle _statistics;
    private readonly SafeFileHandle _errors;

    private KernelHost(TunLink device, Socket socket, SafeFileHandle statistics, SafeFileHandle errors)
    {
        Device = device;
        Socket = socket;
        _statistics = statistics;
        _errors = errors;
    }

    public TunLink Device { get; }

    public Socket Socket { get; }

    /// <exception cref="RunFailure">No permission, or a setting that this kernel does not have.</exception>
    public static KernelHost Make(IPAddress address)
    {
        KernelHost? made = null;
        Exception? failed = null;

        // A namespace belongs to a thread, so it is one of our own, which ends in it.
        var thread = new Thread(() =>
        {
            try
            {
                made = MakeHere(address);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or SocketException or RunFailure)
            {
                failed = failure;
            }
        });
        thread.Start();
        thread.Join();
        return made ?? throw new RunFailure(failed is RunFailure ? failed.Message : $"No host on the kernel's TCP could be made: {failed?.Message}");
    }

    public void Dispose()
    {
        Socket.Dispose();
        Device.Dispose();
        _statistics.Dispose();
        _errors.Dispose();
    }

    /// <summary>What the kernel tells of the socket (struct tcp_info, include/uapi/linux/tcp.h) and of the namespace, which has no other.</summary>
    public SenderCounts Look()
    {
        const int TotalRetransmits = 100, DuplicatesReported = 216;
        Span<byte> info = stackalloc byte[256];
        info.Clear();
        _ = Socket.GetRawSocketOption((int)SocketOptionLevel.Tcp, TcpInfo, info);
        long[] counts = Counters(_statistics, "TcpExt:", "TCPTimeouts", "TCPFastRetrans", "TCPLossProbes");
        return new SenderCounts(
            BinaryPrimitives.ReadUInt32LittleEndian(info[TotalRetransmits..]), counts[0], BinaryPrimitives.ReadUInt32LittleEndian(info[DuplicatesReported..]), counts[1], counts[2]);
    }

    /// <summary>What has reached this host and was thrown away: for want of room, or because it is damaged.</summary>
    public long LookDrops() =>
        Counters(_statistics, "TcpExt:", "TCPBacklogDrop", "TCPRcvQDrop", "TCPOFODrop", "RcvPruned", "OfoPruned", "TCPZeroWindowDrop").Sum()
        + Counters(_errors, "Ip:", "InHdrErrors", "InAddrErrors", "InDiscards").Sum() + Counters(_errors, "Tcp:", "InErrs")[0];

    /// <summary>Counters of a file that has a line of names and one of values, each begun by the same word.</summary>
    private static long[] Counters(SafeFileHandle file, string group, params string[] wanted)
    {
        byte[] text = new byte[1 << 14];
        string[][] lines = [.. Encoding.ASCII.GetString(text, 0, RandomAccess.Read(file, text, 0)).Split('\n').Where(line => line.StartsWith(group, StringComparison.Ordinal)).Select(line => line.Split(' '))];
        string[] names = lines[0], values = lines[1];
        return Array.ConvertAll(wanted, name => long.Parse(values[Array.IndexOf(names, name)], CultureInfo.InvariantCulture));
    }

    private static KernelHost MakeHere(IPAddress address)
    {
        if (Unshare(NewNetwork) != 0)
        {
            throw new RunFailure($"A network namespace could not be made (error {Marshal.GetLastPInvokeError()}): this needs root.");
        }

        // Router solicitations would use up random choices that were meant for the transfer.
        if (File.Exists("/proc/sys/net/ipv6/conf/default/disable_ipv6"))
        {
            File.WriteAllText("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        }

        TunLink device = TunLink.Open("path0", new TunOptions { HostAddress = new InterfaceAddress(address, 24), Offloads = false, TxQueueLength = QueueLength });
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, TcpCongestion, "cubic"u8);

        // An open file of /proc/net tells about the namespace that it was opened in.
        return new KernelHost(device, socket, File.OpenHandle("/proc/thread-self/net/netstat"), File.OpenHandle("/proc/thread-self/net/snmp"));
    }

    [LibraryImport("libc", EntryPoint = "unshare", SetLastError = true)]
    private static partial int Unshare(int flags);
}
