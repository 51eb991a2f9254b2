using System.Net;
using System.Net.Sockets;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>A socket of the script, before, while and after it is connected or listening.</summary>
internal sealed class Descriptor : OpenFile
{
    private readonly List<Action<TcpConnection>> _prepared = [];

    public IPEndPoint? Bound { get; set; }

    public TcpSocket? Socket { get; set; }

    public TcpSocketListener? Listener { get; set; }

    /// <summary>A connect has begun and nobody has been told how it ended.</summary>
    public bool IsConnecting { get; set; }

    public bool WasConnected { get; set; }

    public LingerOption? Linger { get; set; }

    /// <summary>Options as they were set, for reading them back where the stack has no such option before it connects.</summary>
    public Dictionary<(long Level, long Name), long> Set { get; } = [];

    public TcpConnection? Connection => Socket?.Connection;

    /// <summary>SO_ZEROCOPY: without it MSG_ZEROCOPY is not heard.</summary>
    public bool ZeroCopy { get; set; }

    /// <summary>TCP_INQ: receives tell how much more there is.</summary>
    public bool TellsQueue { get; set; }

    public override long Poll() => PollEvents.Of(this);

    public override void Close()
    {
        Listener?.Dispose();
        Socket?.Dispose();
    }

    public override void Abort()
    {
        Listener?.Dispose();
        Socket?.Abort();
    }

    /// <summary>Changes an option now, or when there is a connection to change it on.</summary>
    public void Change(Action<TcpConnection> change)
    {
        _prepared.Add(change);
        if (Connection is { } connection)
        {
            connection.Own();
            change(connection);
            connection.Release();
        }
    }

    /// <summary>What was set before there was a connection; a listener's children get it too.</summary>
    public void ApplyTo(TcpConnection connection)
    {
        foreach (Action<TcpConnection> change in _prepared)
        {
            change(connection);
        }
    }

    /// <summary>Accepted sockets begin with the listener's settings.</summary>
    public void InheritFrom(Descriptor listener)
    {
        _prepared.AddRange(listener._prepared);
        foreach (((long, long) name, long value) in listener.Set)
        {
            Set[name] = value;
        }

        Linger = listener.Linger;
        ZeroCopy = listener.ZeroCopy;
        TellsQueue = listener.TellsQueue;
        if (Socket is not null)
        {
            Socket.LingerState = Linger;
        }
    }
}
