using Penstock.Ip;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// SYN cookies (RFC 4987 3.6, in Bernstein's layout): the initial sequence number carries 5 bits of time, 3 bits of MSS and 24 bits of a keyed hash, so that no memory is needed for a request. With
/// timestamps, the low bits of our timestamp carry window scale, SACK and ECN.
/// </summary>
internal sealed class SynCookies(SipHash hash)
{
    private const int OptionBits = 6;
    private const uint OptionMask = (1u << OptionBits) - 1;
    private const uint NoScale = 0xF;
    private const uint SackBit = 0x10;
    private const uint EcnBit = 0x20;

    /// <summary>How long a cookie is good, in periods of 64 s: this one and the last (Linux: two minutes).</summary>
    private const uint LifetimePeriods = 1;

    /// <summary>What nearly all peers have (Linux has the same four).</summary>
    private static ReadOnlySpan<ushort> MssTable => [536, 1300, 1440, 1460];

    public SequenceNumber Make(in FlowKey key, SequenceNumber irs, int mss, long now)
    {
        uint index = 0;
        for (uint i = 0; i < MssTable.Length && MssTable[(int)i] <= mss; i++)
        {
            index = i;
        }

        uint period = Period(now);
        return new SequenceNumber((period & 31) << 27 | index << 24 | Mac(key, irs, period, index));
    }

    /// <summary>The MSS that a cookie stands for, or 0 when it is none of ours or too old.</summary>
    public int Check(in FlowKey key, SequenceNumber irs, SequenceNumber iss, long now)
    {
        uint value = iss.Value;
        uint index = (value >> 24) & 7;
        uint period = Period(now);
        uint age = (period - (value >> 27)) & 31;
        if (index >= MssTable.Length || age > LifetimePeriods || (value & 0xFFFFFF) != Mac(key, irs, period - age, index))
        {
            return 0;
        }

        return MssTable[(int)index];
    }

    /// <summary>Puts what a request negotiated into the low bits of a timestamp that does not lie in the future.</summary>
    public static uint EncodeOptions(uint ticks, SynReceivedEntry request)
    {
        uint bits = request.WindowScalingOk ? request.PeerWindowScale : NoScale;
        if (request.SackOk)
        {
            bits |= SackBit;
        }

        if (request.EcnOk)
        {
            bits |= EcnBit;
        }

        uint stamped = (ticks & ~OptionMask) | bits;
        return stamped > ticks ? stamped - (OptionMask + 1) : stamped;
    }

    public static void DecodeOptions(uint echoed, SynReceivedEntry request, TcpSettings settings)
    {
        uint bits = echoed & OptionMask;
        uint scale = bits & 0xF;
        request.SackOk = (bits & SackBit) != 0 && settings.Sack;
        request.EcnOk = (bits & EcnBit) != 0 && settings.Ecn != 0;
        request.WindowScalingOk = scale != NoScale && settings.WindowScaling;
        request.PeerWindowScale = request.WindowScalingOk ? (byte)scale : (byte)0;
    }

    private static uint Period(long now) => (uint)(now / (64 * Nanos.PerSecond));

    private uint Mac(in FlowKey key, SequenceNumber irs, uint period, uint index) =>
        (uint)hash.Of(
            key.Local.High ^ ((ulong)period << 32), key.Local.Low, key.Remote.High ^ index, key.Remote.Low,
            ((ulong)irs.Value << 32) | ((ulong)key.LocalPort << 16) | key.RemotePort) & 0xFFFFFF;
}
