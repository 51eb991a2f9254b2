using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.SystemCalls;
using Penstock.Time;

namespace Penstock;

/// <summary>
/// A Linux TUN device as a link: the operating system's own network stack, and through it the network, is at the other end. One thread
/// per queue reads the device and runs the stack's protocol processing; writes happen on whichever thread sends.
/// </summary>
/// <remarks>
/// Thread-safe. Disposing the link, or the stack that owns it, closes the device, which then vanishes unless
/// <see cref="TunOptions.Persist"/> was set. When the device is removed or fails while in use, the stack drops the routes that lead to it.
/// </remarks>
public sealed class TunLink : Link
{
    private readonly SafeFileHandle[] _queues;
    private readonly TunDriver?[] _drivers;
    private readonly FlowQueues? _flows;
    private readonly bool _offloads;
    private readonly int _mtu;
    private ILinkClient? _client;
    private long _transmitDrops;
    private int _failed;
    private int _disposed;

    private TunLink(string name, SafeFileHandle[] queues, int mtu, bool offloads)
        : base(name)
    {
        _queues = queues;
        _drivers = new TunDriver?[queues.Length];
        _flows = queues.Length > 1 ? new FlowQueues(queues.Length) : null;
        _mtu = mtu;
        _offloads = offloads;
    }

    /// <summary>True where <see cref="Open"/> can work: on Linux with <c>/dev/net/tun</c> present. Says nothing about permission.</summary>
    public static bool IsSupported => OperatingSystem.IsLinux() && File.Exists(TunErrors.DevicePath);

    /// <summary>The device's MTU in bytes, as in <see cref="TunOptions.Mtu"/>.</summary>
    public override int Mtu => _mtu;

    internal override LinkOffloads Offloads => _offloads
        ? LinkOffloads.Checksum | LinkOffloads.TcpSegmentation | LinkOffloads.ScatterGather
        : LinkOffloads.ScatterGather;

    internal override int QueueCount => _queues.Length;

    /// <summary>Packets that the device did not take: it was down or full, or refused them as malformed.</summary>
    internal long TransmitDrops => Interlocked.Read(ref _transmitDrops);

    internal override bool LetsGoAtOnce => true;

    internal bool HasOffloads => _offloads;

    internal bool IsDisposed => Volatile.Read(ref _disposed) != 0;

    /// <summary>True once the device is of no more use: it failed, or the link was disposed.</summary>
    internal bool IsGone => Volatile.Read(ref _failed) != 0 || IsDisposed;

    internal ILinkClient? Client => Volatile.Read(ref _client);

    /// <summary>
    /// Creates a TUN device, or attaches to a persistent one of that name, in the network namespace of the calling thread, and configures
    /// the operating system's side of it as the options say. Needs root or <c>CAP_NET_ADMIN</c>, unless the device was made for this user
    /// in advance.
    /// </summary>
    /// <param name="name">
    /// The device's name, at most 15 bytes; <c>%d</c> in it stands for the next free number, and <see cref="Link.Name"/> tells the outcome.
    /// </param>
    /// <param name="options">Null for the defaults.</param>
    /// <exception cref="PlatformNotSupportedException">Not Linux.</exception>
    /// <exception cref="FileNotFoundException"><c>/dev/net/tun</c> is missing.</exception>
    /// <exception cref="UnauthorizedAccessException">No permission for the device or a setting of it (EPERM, EACCES).</exception>
    /// <exception cref="IOException">The name is in use (EBUSY) or belongs to a device of another kind, or the kernel refused a
    /// setting.</exception>
    /// <exception cref="ArgumentException">The name is empty or too long, or an option is out of its range.</exception>
    public static TunLink Open(string name, TunOptions? options = null)
    {
        options ??= new TunOptions();
        options.Validate();
        if (!OperatingSystem.IsLinux())
        {
            throw new PlatformNotSupportedException(
                "TUN devices are opened on Linux only. "
                + "Elsewhere use FromDescriptor with a descriptor of the platform's VPN interface, or a PacketLink.");
        }

        bool offloads = options.Offloads ?? true;
        (string given, SafeFileHandle[] queues) = TunDevice.Open(name, options, offloads);
        return new TunLink(given, queues, options.Mtu, offloads);
    }

    /// <summary>
    /// Makes a link of a descriptor that somebody else has opened and configured, such as a mobile system's VPN interface hands out: each
    /// read and write is one IP packet. No ioctl is made on it; it is set to non-blocking. Of the options, <see cref="TunOptions.Mtu"/>
    /// and <see cref="TunOptions.Offloads"/> count.
    /// </summary>
    /// <param name="descriptor">The descriptor; the link owns it from here on and closes it.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <exception cref="PlatformNotSupportedException">Neither Linux nor Android.</exception>
    /// <exception cref="ArgumentException">The handle is closed or invalid, or an option is out of its range.</exception>
    /// <exception cref="IOException">The descriptor cannot be set to non-blocking; it stays the caller's.</exception>
    public static TunLink FromDescriptor(SafeFileHandle descriptor, TunOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        options ??= new TunOptions();
        options.Validate();
        if (!OperatingSystem.IsLinux() && !OperatingSystem.IsAndroid())
        {
            throw new PlatformNotSupportedException(
                "A link over a descriptor works on Linux and Android only. Elsewhere use a PacketLink.");
        }

        if (descriptor.IsInvalid || descriptor.IsClosed)
        {
            throw new ArgumentException("The descriptor is invalid or closed.", nameof(descriptor));
        }

        if (options.Queues != 1)
        {
            throw new ArgumentException("A link over a descriptor has one queue.", nameof(options));
        }

        TunDevice.SetNonBlocking(descriptor);
        return new TunLink($"fd{descriptor.DangerousGetHandle()}", [descriptor], options.Mtu, options.Offloads ?? false);
    }

    /// <inheritdoc cref="FromDescriptor(SafeFileHandle, TunOptions?)"/>
    public static TunLink FromDescriptor(int descriptor, TunOptions? options = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(descriptor);
        var handle = new SafeFileHandle(descriptor, ownsHandle: true);
        try
        {
            return FromDescriptor(handle, options);
        }
        catch
        {
            // The number stays the caller's to close.
            handle.SetHandleAsInvalid();
            throw;
        }
    }

    internal override Driver? CreateDriver(int queue)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        var driver = new TunDriver(this, queue, _queues[queue]);
        if (Interlocked.CompareExchange(ref _drivers[queue], driver, null) is not null)
        {
            throw new InvalidOperationException($"Link '{Name}' belongs to a stack already.");
        }

        return driver;
    }

    internal override void Attach(ILinkClient client)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        Volatile.Write(ref _client, client);
        WakeDrivers();
    }

    internal override bool Transmit(PacketBuffer packet)
    {
        if (!IsGone)
        {
            SafeFileHandle queue = _queues[_flows is null ? 0 : _flows.QueueOf(packet.Head)];
            bool held = false;
            try
            {
                // Held across the call, so that a number which was closed and given out anew is never written to.
                queue.DangerousAddRef(ref held);
                Write((int)queue.DangerousGetHandle(), packet);
            }
            catch (ObjectDisposedException)
            {
                Interlocked.Increment(ref _transmitDrops);
            }
            finally
            {
                if (held)
                {
                    queue.DangerousRelease();
                }
            }
        }

        packet.Free();
        return true;
    }

    internal void NoteRead(ReadOnlySpan<byte> packet, int queue) => _flows?.OnRead(packet, queue);

    /// <summary>The device is gone: tells the client, the first time.</summary>
    internal void Fail(Exception reason)
    {
        if (Interlocked.Exchange(ref _failed, 1) == 0)
        {
            Client?.OnFailed(reason);
            WakeDrivers();
        }
    }

    private protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        // A driver that still waits on a queue holds it open until it has noticed.
        WakeDrivers();
        foreach (SafeFileHandle queue in _queues)
        {
            queue.Dispose();
        }
    }

    private void WakeDrivers()
    {
        foreach (TunDriver? driver in _drivers)
        {
            driver?.Wake();
        }
    }

    [SkipLocalsInit]
    private unsafe void Write(int descriptor, PacketBuffer packet)
    {
        IoVector* vectors = stackalloc IoVector[PacketBuffer.MaximumFragments + 2];
        VirtioHeader header;
        int count = 0;
        if (_offloads)
        {
            header = VirtioHeader.Describe(packet);
            vectors[count++] = new IoVector { Address = &header, Length = VirtioHeader.Size };
        }

        if (packet.HeadLength > 0)
        {
            vectors[count++] = new IoVector { Address = packet.HeadAddress, Length = (nuint)packet.HeadLength };
        }

        for (int i = 0; i < packet.FragmentCount; i++)
        {
            ref Fragment fragment = ref packet.FragmentAt(i);
            vectors[count++] = new IoVector { Address = fragment.Address, Length = (nuint)fragment.Length };
        }

        int error;
        do
        {
            error = LibC.WriteVector(descriptor, vectors, count) < 0 ? Marshal.GetLastSystemError() : 0;
        }
        while (error == ErrorNumber.Interrupted);
        if (error != 0)
        {
            OnWriteError(error);
        }
    }

    private void OnWriteError(int error)
    {
        Interlocked.Increment(ref _transmitDrops);
        switch (error)
        {
            case ErrorNumber.BadDescriptorState:
            case ErrorNumber.BadDescriptor:
            case ErrorNumber.NoDevice:
            case ErrorNumber.NoSuchAddress:
            case ErrorNumber.BrokenPipe:
            case ErrorNumber.NotConnected:
            case ErrorNumber.ConnectionReset:
            case ErrorNumber.ConnectionRefused:
                Fail(TunErrors.DeviceGone(Name, error));
                break;
            default:
                // A device that is down (EIO), out of memory or full, or that finds the packet malformed, is as a wire that loses a packet.
                break;
        }
    }
}
