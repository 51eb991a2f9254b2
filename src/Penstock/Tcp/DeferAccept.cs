namespace Penstock.Tcp;

/// <summary>
/// TCP_DEFER_ACCEPT: a listener that wants no connection without data. Its requests ignore the bare ACK that ends the handshake, as if it had been lost, until data comes or the time is up; the time is counted in
/// timeouts of the SYN-ACK, which double from one second (Linux).
/// </summary>
internal static class DeferAccept
{
    private const int FirstTimeout = 1, LongestTimeout = 120, MostTimeouts = 255;

    /// <summary>The least number of timeouts that take as long as this.</summary>
    public static int Timeouts(TimeSpan wait)
    {
        double seconds = wait.TotalSeconds;
        int count = 1, timeout = FirstTimeout;
        for (long period = timeout; seconds > period && count < MostTimeouts; period += timeout)
        {
            count++;
            timeout = Math.Min(timeout * 2, LongestTimeout);
        }

        return count;
    }

    /// <summary>The time that so many timeouts take: what reading the option back tells.</summary>
    public static TimeSpan Time(int timeouts)
    {
        long period = 0;
        for (int i = 0, timeout = FirstTimeout; i < timeouts; i++)
        {
            period += timeout;
            timeout = Math.Min(timeout * 2, LongestTimeout);
        }

        return TimeSpan.FromSeconds(period);
    }

    /// <summary>Whether a segment that would end the handshake is to be ignored.</summary>
    public static bool Ignores(SynReceivedEntry request, bool carriesSomething) =>
        !carriesSomething && request.Timeouts < request.Listener.DeferredTimeouts;

    /// <summary>No SYN-ACK goes to a peer that has acknowledged it, except a last one at the end of the wait: its ACK then makes the connection.</summary>
    public static bool Resends(SynReceivedEntry request) =>
        !request.IsAcknowledged || request.Timeouts >= request.Listener.DeferredTimeouts - 1;

    /// <summary>A request of a listener that waits lives as long as the wait, be it longer than the retries.</summary>
    public static bool KeepsWaiting(SynReceivedEntry request) =>
        request.IsAcknowledged && request.Timeouts < request.Listener.DeferredTimeouts;
}
