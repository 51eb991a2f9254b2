using Penstock.Buffers;
using Penstock.Tcp.Congestion;
using Penstock.Tcp.LossRecovery;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Packetization-layer path MTU discovery (RFC 4821; Linux: tcp_mtu_probing): from time to time one segment is larger than the others. If it arrives all may be as large; if it alone is lost the path does not take it,
/// and no router had to say so. With routers that drop in silence (RFC 2923 2.1) repeated timeouts are a reason to try smaller segments.
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>A probe counts as two segments, and what follows it has to reveal its loss (Linux).</summary>
    private const int SmallestWindowToProbe = 11;

    private const int OnBlackHole = 1, Always = 2;

    private MtuProbing? _mtuProbing;

    /// <summary>Bytes of a packet that are not payload.</summary>
    private int PacketOverhead => IPv4Header.MinLength + TcpHeader.MinLength + (_timestampsOk ? TcpOptionsWriter.TimestampsLength : 0);

    /// <summary>The connection is established. A client's first segments are of the base size, see <see cref="MtuProbing.IsBounding"/>.</summary>
    private void BeginMtuProbing(bool passive)
    {
        if (_tcp.Settings.MtuProbing != Always)
        {
            return;
        }

        StartMtuSearch();
        if (!passive)
        {
            BoundByProbing();
        }
    }

    private void StartMtuSearch()
    {
        _mtuProbing = new MtuProbing();
        _mtuProbing.Begin(_tcp.Settings.BaseMss + PacketOverhead, Math.Min(_peerMss + IPv4Header.MinLength + TcpHeader.MinLength, _pathMtu), Now);
    }

    private void BoundByProbing()
    {
        _mtuProbing!.Bound();
        InvalidateRoute();
        RefreshRoute();
    }

    /// <summary>
    /// Sends a probe if it is time and there is enough to send. Null: go on as without it; false: nothing else may go until what is in flight has drained; true: it was sent.
    /// </summary>
    private bool? TryProbeMtu(MtuProbing probing, int mss)
    {
        if (probing.ProbeSize > 0 || Recovery.State != CongestionState.Open || Cwnd.Window < SmallestWindowToProbe || _outOfOrder is { SackCount: > 0 } || FirstToSend is not { } head
            || !Keeps(Omission.MtuProbeSent))
        {
            return null;
        }

        int size = probing.NextSize - PacketOverhead;
        int needed = size + ((_reordering + 1) * mss);
        if (probing.NextSize > probing.High || probing.Interval < Math.Max(1, _tcp.Settings.MtuProbeThreshold))
        {
            SearchAgain(probing);
            return null;
        }

        // Behind the probe as much as shows its loss without a timeout.
        if (_writeSeq.Since(_sndNxt) < needed || _sndWnd < needed)
        {
            return null;
        }

        if ((_sndNxt + needed).After(_sndUna + (int)_sndWnd))
        {
            return false;
        }

        if (PacketsInFlight + 2 > Cwnd.Window)
        {
            return PacketsInFlight == 0 ? null : false;
        }

        return GatherUnsent(head, size) && SendMtuProbe(probing, head, size, mss) ? true : null;
    }

    private bool SendMtuProbe(MtuProbing probing, PacketBuffer head, int size, int mss)
    {
        if ((head.Length > size && !Split(head, size, mss, inRetransmitQueue: false)) || IsDeviceFull())
        {
            return false;
        }

        // One segment, whatever the others' size.
        head.SegmentCount = 1;
        head.GsoSize = 0;
        if (!Transmit(head))
        {
            return false;
        }

        // It takes the room of two.
        Cwnd.Window--;
        OnNewDataSent(head);
        probing.OnSent(head.Length + PacketOverhead, head.Sequence, head.EndSequence);
        return true;
    }

    /// <summary>Something was acknowledged: the probe too?</summary>
    private void CheckMtuProbe(MtuProbing probing)
    {
        if (probing.ProbeSize <= 0 || probing.ProbeEnd.After(_sndUna))
        {
            return;
        }

        // The same bytes in fewer segments.
        Cwnd.Window = Math.Max(1, (int)((long)Cwnd.Window * (SegmentPayload() + PacketOverhead) / probing.ProbeSize));
        Cwnd.Counter = 0;
        Cwnd.StampNanos = Now;
        if (!Recovery.IsReducing)
        {
            Cwnd.Threshold = Math.Max(Cwnd.Threshold, (Cwnd.Window >> 1) + (Cwnd.Window >> 2));
        }

        probing.OnArrived();
        BoundByProbing();
        _stack.Counters.Add(StackCounter.TcpMtupSuccess);
    }

    /// <summary>A loss was found; when it is the probe that is missing it says something of the path's MTU and nothing of congestion. True: it was, and is sent again in pieces.</summary>
    private bool IsMtuProbeLost()
    {
        if (_mtuProbing is not { ProbeSize: > 0 } probing || Recovery.State >= CongestionState.Reducing || _sndUna != probing.ProbeStart)
        {
            return false;
        }

        probing.OnLost();
        BoundByProbing();
        Cwnd.Window++;
        _stack.Counters.Add(StackCounter.TcpMtupFail);
        RetransmitAfterPathMtu();
        return true;
    }

    /// <summary>Timeouts have followed each other for long: perhaps the path has become narrower and says nothing (RFC 4821 7.7).</summary>
    private void OnPossibleBlackHole()
    {
        TcpSettings settings = _tcp.Settings;
        if (settings.MtuProbing < OnBlackHole)
        {
            return;
        }

        if (_mtuProbing is not { } probing)
        {
            StartMtuSearch();
        }
        else
        {
            int payload = Math.Min(settings.BaseMss, (probing.Low - PacketOverhead) >> 1);
            probing.Lower(Math.Max(Math.Max(payload, settings.MtuProbeFloor), settings.MinSendMss) + PacketOverhead);
        }

        BoundByProbing();
    }

    /// <summary>The path may have become wider since the search ended (RFC 4821 7.8).</summary>
    private void SearchAgain(MtuProbing probing)
    {
        long now = Now;
        if (now - probing.SinceNanos >= _tcp.Settings.MtuProbeInterval * Nanos.PerSecond)
        {
            probing.Begin(SegmentPayload() + PacketOverhead, _peerMss + IPv4Header.MinLength + TcpHeader.MinLength, now);
            probing.BoundHigh(_pathMtu);
        }
    }
}
