using System.Diagnostics.Metrics;
using System.Net;
using Penstock.Time;

namespace Penstock;

/// <summary>
/// How a <see cref="NetworkStack"/> is made. Validated and copied when the stack is created; changes made later have no effect.
/// </summary>
public sealed class NetworkStackOptions
{
    /// <summary>A name for threads, metrics and captures.</summary>
    public string Name { get; set; } = "penstock";

    /// <summary>
    /// Where time comes from. <see cref="TimeProvider.System"/>, the default, gives the stack a thread of its own (or the device's); any other
    /// provider is asked for one timer.
    /// </summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    /// <summary>
    /// A seed for all of the stack's random choices (sequence numbers, ports, hash keys), for tests that must repeat. Null, the default, takes
    /// the operating system's randomness, which is what anything reachable from a network needs.
    /// </summary>
    public ulong? Seed { get; set; }

    /// <summary>Makes the stack's <see cref="Meter"/>; null makes one directly. The meter is named <c>Penstock</c>, tagged with the stack's name and disposed with it.</summary>
    public IMeterFactory? MeterFactory { get; set; }

    /// <summary>How long <see cref="NetworkStack.DisposeAsync"/> lets closing connections finish before it resets them. 5 seconds by default; zero resets at once.</summary>
    public TimeSpan CloseTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Hard limit on the memory that the stack holds for packets, bytes: slabs rented and kept, receive rings, buffers. At least 1 MiB;
    /// 1 GiB by default. It is never passed. Linux's soft limits (<c>net.ipv4.tcp_mem</c>) are derived from it.
    /// </summary>
    public long MemoryLimit { get; set; } = 1L << 30;

    /// <summary>
    /// How much of the application's memory all zero-copy sends of the stack may hold at a time, in bytes of whole pages (Linux: RLIMIT_MEMLOCK); a send beyond it throws
    /// <see cref="System.Net.Sockets.SocketError.NoBufferSpaceAvailable"/>. At least 64 KiB; without limit by default, as each socket's send buffer limits it too. It is not part of <see cref="MemoryLimit"/>.
    /// </summary>
    public long PinnedMemoryLimit { get; set; } = long.MaxValue;

    /// <summary>
    /// The group that the memory of sockets is charged to when their own options name none; null, the default, for no group. Several stacks may have the same one. Independent of
    /// <see cref="MemoryLimit"/>, which bounds what exists, not what sockets are granted.
    /// </summary>
    public MemoryGroup? MemoryGroup { get; set; }

    /// <summary>
    /// Turns a name into addresses for <c>ConnectTcpAsync</c> and the HTTP handler. By default literals and
    /// <see cref="NetworkStack.Hosts"/>; the system's resolver only when asked for here, because it does not use this stack.
    /// </summary>
    public Func<string, CancellationToken, ValueTask<IPAddress[]>>? Resolver { get; set; }

    /// <summary>Drives the stack's own worker; null: chosen from <see cref="TimeProvider"/>.</summary>
    internal Driver? Driver { get; set; }

    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(Name);
        ArgumentNullException.ThrowIfNull(TimeProvider);
        ArgumentOutOfRangeException.ThrowIfLessThan(MemoryLimit, 1L << 20);
        ArgumentOutOfRangeException.ThrowIfLessThan(PinnedMemoryLimit, 1L << 16);
        if (CloseTimeout < TimeSpan.Zero && CloseTimeout != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentOutOfRangeException(nameof(CloseTimeout), CloseTimeout, "The close timeout is zero, positive or infinite.");
        }
    }
}
