using Penstock.Time;

namespace Penstock;

/// <summary>
/// When a long send works off what has arrived meanwhile, its backlog: acknowledgments, data, resets. While the send copies the socket is its own, so without a flush they wait for its end. Each flush costs
/// a little throughput; each wait makes the peer's round trip longer.
/// </summary>
/// <remarks>Immutable, and so thread-safe. The stack's own policy is in <see cref="Sysctl"/>: <c>penstock.tcp_backlog_flush_buffers</c> and <c>penstock.tcp_backlog_flush_budget_us</c>.</remarks>
public sealed record TcpFlushPolicy
{
    private const int LinuxBuffers = 16;

    private TcpFlushPolicy(int buffers, TimeSpan budget)
    {
        Buffers = buffers;
        Budget = budget;
    }

    /// <summary>Never: what arrives waits for the end of the call, as in Linux before 4.7.</summary>
    public static TcpFlushPolicy Off { get; } = new(0, TimeSpan.Zero);

    /// <summary>
    /// The default: as soon as a millisecond would pass since the last look, also in the middle of a buffer, and at the latest after 16 new buffers. Chunks of the copy shrink from 32 KiB to a page while the source is slow. It
    /// has the throughput of <c>Every(16)</c> and waits shorter than those of <c>Every(1)</c>.
    /// </summary>
    public static TcpFlushPolicy Adaptive { get; } = AdaptiveWithin(TimeSpan.FromMilliseconds(1));

    /// <summary>New buffers, of up to 64 KiB, between two looks at the backlog; 0 when the policy is <see cref="Off"/>.</summary>
    public int Buffers { get; }

    /// <summary>The time between two looks at the backlog, as far as chunks of a page allow it; zero when the policy has no budget of time.</summary>
    public TimeSpan Budget { get; }

    internal long BudgetNanos => Nanos.From(Budget);

    /// <summary>Before each <paramref name="buffers"/>th new buffer, whatever time passes: 16 is Linux today, 1 Linux 4.7.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive; for never there is <see cref="Off"/>.</exception>
    public static TcpFlushPolicy Every(int buffers)
    {
        if (buffers <= 0)
        {
            throw new ArgumentOutOfRangeException(nameof(buffers), buffers, "A flush comes every so many buffers, 1 or more. Use TcpFlushPolicy.Off for never.");
        }

        return new TcpFlushPolicy(buffers, TimeSpan.Zero);
    }

    /// <summary><see cref="Adaptive"/> with another budget of time: more than zero, at most a second.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Out of that range.</exception>
    public static TcpFlushPolicy AdaptiveWithin(TimeSpan budget)
    {
        if (budget <= TimeSpan.Zero || budget > TimeSpan.FromSeconds(1))
        {
            throw new ArgumentOutOfRangeException(nameof(budget), budget, "The budget is more than zero and at most a second. Use TcpFlushPolicy.Every to look after so many buffers only.");
        }

        return new TcpFlushPolicy(LinuxBuffers, budget);
    }

    /// <summary>The policy in words, as <c>off</c>, <c>every 16 buffers</c> or <c>adaptive within 1 ms</c>.</summary>
    public override string ToString() =>
        Buffers == 0 ? "off"
        : Budget == TimeSpan.Zero ? Buffers == 1 ? "every buffer" : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"every {Buffers} buffers")
        : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"adaptive within {Budget.TotalMilliseconds} ms");

    /// <summary>The policy that a stack's settings make.</summary>
    internal static TcpFlushPolicy Of(int buffers, long budgetNanos) =>
        buffers == 0 ? Off : new TcpFlushPolicy(buffers, TimeSpan.FromTicks(budgetNanos / 100));
}
