using System.Net.Sockets;

namespace Penstock;

/// <summary>
/// How a <see cref="TunLink"/> is opened. Validated and copied when the link is made; changes made later have no effect.
/// </summary>
public sealed class TunOptions
{
    /// <summary>The least MTU that IPv4 allows (RFC 791).</summary>
    private const int MinimumMtu = 68;

    /// <summary>Linux's MAX_TAP_QUEUES.</summary>
    private const int MaximumQueues = 256;

    private const int MaximumQueueLength = 65536;

    /// <summary>
    /// Whether packets cross with a virtio header in front (Linux: <c>IFF_VNET_HDR</c>), so that neither side computes TCP checksums and
    /// TCP over IPv4 crosses in super-segments of up to 64 KiB. Worth an order of magnitude in bulk. Null, the default, is true for
    /// <see cref="TunLink.Open"/> and false for a descriptor that somebody else has opened; there it says what that descriptor carries.
    /// </summary>
    public bool? Offloads { get; set; }

    /// <summary>
    /// The largest IP packet on the link in bytes, header included: 68 to 65535, by default 1500. The device is set to it.
    /// </summary>
    public int Mtu { get; set; } = 1500;

    /// <summary>
    /// Queues of the device (Linux: <c>IFF_MULTI_QUEUE</c>), each served by a thread of its own: 1, the default, to 256. More than one
    /// pays only with many flows and idle processors.
    /// </summary>
    public int Queues { get; set; } = 1;

    /// <summary>
    /// The IPv4 address that the operating system's side of the device gets, with the prefix of the network behind it. Null, the default,
    /// leaves addresses, and bringing the device up, to others.
    /// </summary>
    public InterfaceAddress? HostAddress { get; set; }

    /// <summary>
    /// Packets that the operating system queues towards the stack before it drops (Linux: <c>txqueuelen</c>): 1 to 65536. Null, the
    /// default, asks for 1000 and makes do with the kernel's 500 in a user namespace, where Linux lets nobody change it this way.
    /// </summary>
    public int? TxQueueLength { get; set; }

    /// <summary>
    /// Whether the device stays, with its addresses and routes, when the link is disposed (Linux: <c>TUNSETPERSIST</c>). False by
    /// default: a device that the link has made vanishes with it. One that was persistent before stays so either way.
    /// </summary>
    public bool Persist { get; set; }

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(Mtu, MinimumMtu);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Mtu, ushort.MaxValue);
        ArgumentOutOfRangeException.ThrowIfLessThan(Queues, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Queues, MaximumQueues);
        if (TxQueueLength is < 1 or > MaximumQueueLength)
        {
            throw new ArgumentOutOfRangeException(
                nameof(TxQueueLength), TxQueueLength, $"The queue length is between 1 and {MaximumQueueLength} packets.");
        }

        if (HostAddress is { Address.AddressFamily: not AddressFamily.InterNetwork })
        {
            throw new ArgumentException(
                $"The host address {HostAddress} is not an IPv4 address; IPv6 is not supported yet.", nameof(HostAddress));
        }
    }
}
