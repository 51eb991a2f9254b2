using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Penstock.SystemCalls;
using Penstock.Wire;

namespace Penstock;

/// <summary>
/// Makes a TUN device and configures the operating system's side of it, by ioctls only: no other program is run. A setting that is as
/// wanted already is not written, so that a device prepared by root can be used without privileges.
/// </summary>
internal static unsafe class TunDevice
{
    /// <summary>IFNAMSIZ: the name with its closing zero.</summary>
    private const int NameSize = 16;

    /// <summary>sizeof(struct ifreq): the name and a union of 24 bytes.</summary>
    private const int RequestSize = 40;

    private const int DefaultQueueLength = 1000;

    /// <summary>Opens every queue of the device, brings it into shape and returns the name that the kernel gave it.</summary>
    public static (string Name, SafeFileHandle[] Queues) Open(string name, TunOptions options, bool offloads)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (Encoding.UTF8.GetByteCount(name) >= NameSize)
        {
            throw new ArgumentException($"The device name '{name}' is too long: Linux allows {NameSize - 1} bytes.", nameof(name));
        }

        var queues = new SafeFileHandle[options.Queues];
        try
        {
            for (int i = 0; i < queues.Length; i++)
            {
                queues[i] = OpenQueue(ref name, offloads, multiQueue: queues.Length > 1);
            }

            if (options.Persist && Control(queues[0], Constants.TunSetPersist, 1) is var error and not 0)
            {
                throw TunErrors.ConfigureFailed(name, "persistence", error);
            }

            Configure(name, options);
            return (name, queues);
        }
        catch
        {
            foreach (SafeFileHandle? queue in queues)
            {
                queue?.Dispose();
            }

            throw;
        }
    }

    /// <summary>A read or write on the descriptor returns at once from here on.</summary>
    public static void SetNonBlocking(SafeFileHandle handle)
    {
        int descriptor = (int)handle.DangerousGetHandle();
        int flags = LibC.FileControl(descriptor, Constants.FileGetFlags, 0);
        if (flags < 0 || LibC.FileControl(descriptor, Constants.FileSetFlags, flags | Constants.OpenNonBlocking) < 0)
        {
            throw new IOException($"The descriptor cannot be set to non-blocking: {TunErrors.Text(Marshal.GetLastSystemError())}.");
        }
    }

    private static SafeFileHandle OpenQueue(ref string name, bool offloads, bool multiQueue)
    {
        int descriptor;
        fixed (byte* path = "/dev/net/tun"u8)
        {
            descriptor = LibC.Open(path, Constants.OpenReadWrite | Constants.OpenNonBlocking | Constants.OpenCloseOnExec);
        }

        if (descriptor < 0)
        {
            throw TunErrors.OpenFailed(Marshal.GetLastSystemError());
        }

        var handle = new SafeFileHandle(descriptor, ownsHandle: true);
        try
        {
            byte* request = stackalloc byte[RequestSize];
            var bytes = new Span<byte>(request, RequestSize);
            BeginRequest(bytes, name);
            short flags = Constants.InterfaceTun | Constants.InterfaceNoPacketInformation;
            flags |= offloads ? Constants.InterfaceVirtioHeader : (short)0;
            flags |= multiQueue ? Constants.InterfaceMultiQueue : (short)0;
            *(short*)(request + NameSize) = flags;
            int error = Control(handle, Constants.TunSetInterface, request);
            if (error != 0)
            {
                throw TunErrors.CreateFailed(name, multiQueue, error);
            }

            // The kernel has put the number in for a %d.
            int end = bytes[..NameSize].IndexOf((byte)0);
            name = Encoding.UTF8.GetString(bytes[..(end < 0 ? NameSize : end)]);
            SetOffloads(handle, name, offloads);
            return handle;
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    private static void SetOffloads(SafeFileHandle handle, string name, bool offloads)
    {
        int error = 0;
        if (offloads)
        {
            // A persistent device remembers what its last user set: say both anew.
            int size = VirtioHeader.Size;
            error = Control(handle, Constants.TunSetHeaderSize, &size);
        }

        if (error == 0)
        {
            error = Control(handle, Constants.TunSetOffload, offloads ? Constants.OffloadChecksum | Constants.OffloadTcp4 : 0);
        }

        if (error != 0)
        {
            throw TunErrors.ConfigureFailed(name, "offloads", error);
        }
    }

    private static void Configure(string name, TunOptions options)
    {
        int descriptor = LibC.Socket(Constants.FamilyInternet, Constants.SocketDatagramCloseOnExec, 0);
        if (descriptor < 0)
        {
            throw TunErrors.ConfigureFailed(name, "addresses", Marshal.GetLastSystemError());
        }

        using var socket = new SafeFileHandle(descriptor, ownsHandle: true);
        int error = SetNumber(socket, name, Constants.GetInterfaceMtu, Constants.SetInterfaceMtu, options.Mtu);
        if (error != 0)
        {
            throw TunErrors.ConfigureFailed(name, "MTU", error);
        }

        int length = options.TxQueueLength ?? DefaultQueueLength;
        error = SetNumber(socket, name, Constants.GetInterfaceQueueLength, Constants.SetInterfaceQueueLength, length);
        if (error != 0 && options.TxQueueLength is not null)
        {
            throw TunErrors.ConfigureFailed(name, "queue length", error);
        }

        if (options.HostAddress is { } host)
        {
            uint mask = host.PrefixLength == 0 ? 0 : uint.MaxValue << (32 - host.PrefixLength);
            uint address = IpAddress.From(host.Address).IPv4Value;
            SetAddress(socket, name, "address", Constants.GetInterfaceAddress, Constants.SetInterfaceAddress, address);
            SetAddress(socket, name, "netmask", Constants.GetInterfaceNetmask, Constants.SetInterfaceNetmask, mask);
            BringUp(socket, name);
        }
    }

    private static int SetNumber(SafeFileHandle socket, string name, nuint get, nuint set, int value)
    {
        byte* request = stackalloc byte[RequestSize];
        BeginRequest(new Span<byte>(request, RequestSize), name);
        int* number = (int*)(request + NameSize);
        if (Control(socket, get, request) == 0 && *number == value)
        {
            return 0;
        }

        *number = value;
        return Control(socket, set, request);
    }

    private static void SetAddress(SafeFileHandle socket, string name, string what, nuint get, nuint set, uint value)
    {
        // struct sockaddr_in: family, port, address in network order.
        byte* request = stackalloc byte[RequestSize];
        var bytes = new Span<byte>(request, RequestSize);
        BeginRequest(bytes, name);
        Span<byte> address = bytes.Slice(NameSize + 4, 4);
        if (Control(socket, get, request) == 0 && BinaryPrimitives.ReadUInt32BigEndian(address) == value)
        {
            return;
        }

        BeginRequest(bytes, name);
        *(ushort*)(request + NameSize) = Constants.FamilyInternet;
        BinaryPrimitives.WriteUInt32BigEndian(address, value);
        Apply(socket, name, what, set, request);
    }

    private static void BringUp(SafeFileHandle socket, string name)
    {
        byte* request = stackalloc byte[RequestSize];
        BeginRequest(new Span<byte>(request, RequestSize), name);
        short* flags = (short*)(request + NameSize);
        Apply(socket, name, "state", Constants.GetInterfaceFlags, request);
        if ((*flags & Constants.InterfaceUp) == 0)
        {
            *flags |= Constants.InterfaceUp;
            Apply(socket, name, "state", Constants.SetInterfaceFlags, request);
        }
    }

    private static void BeginRequest(Span<byte> request, string name)
    {
        request.Clear();
        Encoding.UTF8.GetBytes(name, request[..(NameSize - 1)]);
    }

    private static void Apply(SafeFileHandle socket, string name, string what, nuint code, byte* request)
    {
        int error = Control(socket, code, request);
        if (error != 0)
        {
            throw TunErrors.ConfigureFailed(name, what, error);
        }
    }

    private static int Control(SafeFileHandle handle, nuint code, void* argument) =>
        LibC.IoControl((int)handle.DangerousGetHandle(), code, argument) < 0 ? Marshal.GetLastSystemError() : 0;

    private static int Control(SafeFileHandle handle, nuint code, nuint argument) =>
        LibC.IoControl((int)handle.DangerousGetHandle(), code, argument) < 0 ? Marshal.GetLastSystemError() : 0;
}
