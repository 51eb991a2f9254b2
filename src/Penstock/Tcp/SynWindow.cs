using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>The window of a SYN or SYN-ACK and the scale that goes with it (RFC 7323 2.3): one rule for both sides.</summary>
internal static class SynWindow
{
    /// <summary>256ths of receive memory that count as window before real segments were measured (tcp_adv_win_scale).</summary>
    public static int ScalingRatio(TcpSettings settings) =>
        settings.AdvertisedWindowScale is > 0 and < 8 ? 256 - (256 >> settings.AdvertisedWindowScale) : 128;

    /// <summary>
    /// The window may be more than the field of a SYN holds, which then says 65,535 (Linux). Whole segments, within the clamp; a buffer that the application chose bounds the scale too.
    /// </summary>
    public static (uint Window, byte Scale) Choose(TcpSettings settings, int receiveBuffer, bool locked, int mss, bool scaling, int clamp)
    {
        long space = Math.Min((long)receiveBuffer * ScalingRatio(settings) >> 8, clamp);
        long window = space > mss ? space - (space % mss) : space;
        byte scale = 0;
        if (scaling)
        {
            long largest = locked ? space : Math.Min(Math.Max(space, Math.Max(settings.ReceiveBufferMax, settings.CoreReceiveMax)), clamp);
            while (largest > 65535 && scale < TcpOptions.MaxWindowScale)
            {
                largest >>= 1;
                scale++;
            }
        }

        return ((uint)window, scale);
    }
}
