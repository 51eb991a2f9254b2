using Penstock.Tcp;

namespace Penstock.Tests.Seeds;

/// <summary>
/// What <c>eng/prove-tests</c> takes away: the environment variable PENSTOCK_PROVE names one <see cref="Omission"/>, or one of the switches below, that the stacks of these
/// tests then do without. Only here is it read; the stack itself reads no environment.
/// </summary>
internal static class Proof
{
    private static readonly string s_missing = Environment.GetEnvironmentVariable("PENSTOCK_PROVE") ?? "";

    public static Omission Omitted { get; } = typeof(Omission).GetProperty(s_missing, typeof(Omission)) is { } rule ? (Omission)rule.GetValue(null)! : Omission.None;

    /// <summary>Devices take no fragments, so that a stack copies what it would refer to.</summary>
    public static bool NoScatterGather => s_missing == "ScatterGather";

    /// <summary>Takes the rule from a stack whose settings a test has just chosen.</summary>
    public static NetworkStack Apply(NetworkStack stack)
    {
        stack.Omitted = Omitted;
        TcpSettings settings = stack.Tcp.Settings;
        switch (s_missing)
        {
            case "Flush":
                settings.BacklogFlushBuffers = 0;
                break;
            case "ReleaseCallback":
                settings.BacklogReleaseCallback = false;
                break;
            case "AckDefer":
                settings.BacklogAckDefer = false;
                break;
            case "Coalesce":
                settings.BacklogCoalesce = false;
                break;
            case "PureZeroCopy":
                settings.PureZeroCopy = false;
                break;
            case "ScheduleSpans":
                settings.ScheduleSpans = false;
                break;
        }

        return stack;
    }
}
