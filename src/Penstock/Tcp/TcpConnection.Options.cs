using Penstock.Time;

namespace Penstock.Tcp;

/// <summary>Socket options (Linux: tcp(7), socket(7)). The caller owns the connection, or has just made it.</summary>
internal sealed partial class TcpConnection
{
    /// <summary>TCP_NODELAY. Switching it on sends what was waiting.</summary>
    public bool NoDelay
    {
        get => (_nagle & NagleMode.Off) != 0;
        set
        {
            if (value)
            {
                _nagle |= NagleMode.Off;
                PushIfOpen(NagleMode.Off | NagleMode.Push);
            }
            else
            {
                _nagle &= ~NagleMode.Off;
            }
        }
    }

    /// <summary>TCP_CORK. Pulling it sends what was waiting.</summary>
    public bool Cork
    {
        get => (_nagle & NagleMode.Cork) != 0;
        set
        {
            if (value)
            {
                _nagle |= NagleMode.Cork;
            }
            else
            {
                _nagle &= ~NagleMode.Cork;
                PushIfOpen((_nagle & NagleMode.Off) != 0 ? NagleMode.Off | NagleMode.Push : _nagle);
            }
        }
    }

    /// <summary>TCP_QUICKACK: on, ACKs go at once for a while; off, they ride along.</summary>
    public bool QuickAck
    {
        get => !IsInteractive;
        set
        {
            if (value)
            {
                _pingPong = 0;
                if (State is TcpConnectionState.Established or TcpConnectionState.CloseWait && _ackScheduled)
                {
                    SendAckNow();
                }
            }
            else
            {
                _pingPong = 3;
            }
        }
    }

    /// <summary>SO_OOBINLINE.</summary>
    public bool UrgentInline
    {
        get => _urgentInline;
        set => _urgentInline = value;
    }

    /// <summary>TCP_USER_TIMEOUT (RFC 5482); 0 for the system's limits.</summary>
    public long UserTimeoutNanos
    {
        get => _userTimeoutNanos;
        set => _userTimeoutNanos = value;
    }

    /// <summary>TCP_LINGER2: how long an orphan waits in FIN-WAIT-2; 0 for the stack's setting.</summary>
    public long LingerTwoNanos
    {
        get => _lingerTwoNanos;
        set => _lingerTwoNanos = value;
    }

    /// <summary>TCP_MAXSEG: an upper bound for both directions, set before the handshake; 0 for none.</summary>
    public int MaximumSegment
    {
        get => _userMss;
        set => _userMss = value;
    }

    /// <summary>SO_SNDBUF: fixed by the application; doubled for overhead as Linux does.</summary>
    public void SetSendBuffer(int bytes)
    {
        Memory.SendBufferLocked = true;
        Memory.SendBuffer = _tcp.Settings.FixedSendBuffer(bytes);
        CheckSendSpace();
    }

    /// <summary>SO_RCVBUF.</summary>
    public void SetReceiveBuffer(int bytes)
    {
        Memory.ReceiveBufferLocked = true;
        Memory.ReceiveBuffer = _tcp.Settings.FixedReceiveBuffer(bytes);
    }

    public byte TypeOfService
    {
        get => _tos;
        set => _tos = value;
    }

    public byte TimeToLive
    {
        get => _timeToLive;
        set => _timeToLive = value;
    }

    public bool SetCongestionControl(string name)
    {
        if (Congestion.Name == name)
        {
            return true;
        }

        if (Penstock.Tcp.Congestion.CongestionControl.Create(name, Cwnd) is not { } next)
        {
            return false;
        }

        Congestion = next;
        return true;
    }

    private void PushIfOpen(NagleMode nagle)
    {
        if (_writeQueue.First is not null && IsSynchronized)
        {
            PushPending(CurrentMss(), nagle);
        }
    }
}
