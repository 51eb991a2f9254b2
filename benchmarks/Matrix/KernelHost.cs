using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
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

    private KernelHost(TunLink device, Socket socket)
    {
        Device = device;
        Socket = socket;
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
        return new KernelHost(device, socket);
    }

    [LibraryImport("libc", EntryPoint = "unshare", SetLastError = true)]
    private static partial int Unshare(int flags);
}
