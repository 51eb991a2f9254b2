using System.Runtime.CompilerServices;
using Penstock.Ip;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>Where this connection's packets leave, and how large they may be (RFC 1191, RFC 9293 3.7.1). Looked up again when routes or path MTUs changed.</summary>
internal sealed partial class TcpConnection
{
    private StackInterface? _egress;
    private int _routeGeneration = -1;
    private int _pathGeneration = -1;
    private int _pathMss = 536;
    private int _pathMtu;
    private int _userMss;
    private byte _timeToLive;
    private byte _tos;
    private uint _reportedMtuSequence;
    private int _reportedMtu;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void RefreshRoute()
    {
        IpLayer ip = _stack.Ip;
        if (_routeGeneration != ip.Routes.Generation || _pathGeneration != ip.PathMtus.Generation)
        {
            LookUpRoute(ip);
        }
    }

    private void LookUpRoute(IpLayer ip)
    {
        _routeGeneration = ip.Routes.Generation;
        _pathGeneration = ip.PathMtus.Generation;
        _egress = ip.Routes.Find(Key.Remote)?.Interface;
        if (_egress is null)
        {
            return;
        }

        int mtu = ip.PathMtus.Find(Key.Remote, _egress.Mtu, Now);
        _pathMtu = mtu;
        if (_mtuProbing is { } probing)
        {
            probing.BoundHigh(mtu);
            mtu = probing.IsBounding ? Math.Min(mtu, probing.Low) : mtu;
        }

        int most = Math.Max(mtu - IPv4Header.MinLength - TcpHeader.MinLength, _tcp.Settings.MinSendMss);
        _pathMss = Math.Min(most, _peerMss);
        if (_advertisedMss == 0)
        {
            _advertisedMss = Math.Min(_egress.Mtu - IPv4Header.MinLength - TcpHeader.MinLength, _userMss > 0 ? _userMss : ushort.MaxValue);
        }
    }

    private bool DontFragment => _rare is null || _rare.PathMtuDiscovery is PathMtuDiscovery.Want or PathMtuDiscovery.Do;

    private void InvalidateRoute() => _routeGeneration = -1;

    /// <summary>
    /// A router said that a packet of ours was too big. Believed only when the quoted sequence number is in flight (RFC 5927 7.2); acted upon by the owner.
    /// </summary>
    internal void OnPathMtuReport(SequenceNumber quoted, int mtu, Time.Worker worker)
    {
        if (IsOwned && (Omitted & Omission.PathMtuKept) != Omission.None)
        {
            return;
        }

        Volatile.Write(ref _reportedMtuSequence, quoted.Value);
        Volatile.Write(ref _reportedMtu, mtu);
        RunOrDefer(Ownership.DeferredWork.PathMtu, worker);
    }

    private void ApplyPathMtu()
    {
        var quoted = new SequenceNumber(Volatile.Read(ref _reportedMtuSequence));
        int mtu = Volatile.Read(ref _reportedMtu);
        if (State is TcpConnectionState.Closed or TcpConnectionState.Listen)
        {
            return;
        }

        if (!quoted.Between(_sndUna, _sndNxt))
        {
            _stack.Counters.Add(StackCounter.OutOfWindowIcmps);
            return;
        }

        RefreshRoute();
        int before = _pathMss;
        if (_egress is null || PathMtuDiscovery >= PathMtuDiscovery.Interface || mtu >= before + IPv4Header.MinLength + TcpHeader.MinLength)
        {
            return;
        }

        _stack.Ip.PathMtus.Lower(Key.Remote, mtu, Now);
        RefreshRoute();
        if (_pathMss < before && State != TcpConnectionState.SynSent)
        {
            // What was too big is lost for sure: send it again in the new size, without touching the congestion window (RFC 1191 6.5).
            RetransmitAfterPathMtu();
        }
    }
}
