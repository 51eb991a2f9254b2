using System.Diagnostics.Tracing;
using System.Net;
using System.Net.Sockets;
using Penstock.Ip;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Telemetry;

/// <summary>
/// What happens to connections, listeners, links and memory, for tracing tools. One for the process, as event sources are; each event names its stack. Called
/// by owners of a socket but never under a gate or the inner word. Nothing is formatted unless somebody listens.
/// </summary>
[EventSource(Name = "Penstock")]
internal sealed class PenstockEventSource : EventSource
{
    public static readonly PenstockEventSource Log = new();

    private PenstockEventSource()
    {
    }

    /// <summary>Groups of events to listen to.</summary>
    public static class Keywords
    {
        public const EventKeywords Connection = (EventKeywords)1;
        public const EventKeywords Listener = (EventKeywords)2;
        public const EventKeywords Loss = (EventKeywords)4;
        public const EventKeywords Memory = (EventKeywords)8;
        public const EventKeywords Link = (EventKeywords)16;
    }

    [NonEvent]
    public void OnEstablished(NetworkStack stack, in FlowKey key, bool passive)
    {
        if (IsEnabled(EventLevel.Informational, Keywords.Connection))
        {
            ConnectionEstablished(stack.Name, Local(key), Remote(key), passive);
        }
    }

    [NonEvent]
    public void OnClosedWithError(NetworkStack stack, in FlowKey key, TcpConnectionState state, SocketError error)
    {
        if (IsEnabled(EventLevel.Informational, Keywords.Connection))
        {
            ConnectionClosedWithError(stack.Name, Local(key), Remote(key), state.ToString(), error.ToString());
        }
    }

    [NonEvent]
    public void OnTimeout(NetworkStack stack, in FlowKey key, int retransmits, long timeoutNanos)
    {
        if (IsEnabled(EventLevel.Informational, Keywords.Loss))
        {
            RetransmissionTimeout(stack.Name, Local(key), Remote(key), retransmits, timeoutNanos / 1e6);
        }
    }

    [NonEvent]
    public void OnListenerStarted(ListenSocket listener)
    {
        if (IsEnabled(EventLevel.Informational, Keywords.Listener))
        {
            ListenerStarted(listener.Stack.Name, EndPoint(listener.Address, listener.Port), listener.Backlog);
        }
    }

    [NonEvent]
    public void OnListenerStopped(ListenSocket listener)
    {
        if (IsEnabled(EventLevel.Informational, Keywords.Listener))
        {
            ListenerStopped(listener.Stack.Name, EndPoint(listener.Address, listener.Port));
        }
    }

    [NonEvent]
    public void OnSynCookies(ListenSocket listener)
    {
        if (IsEnabled(EventLevel.Warning, Keywords.Listener))
        {
            SynCookiesSent(listener.Stack.Name, EndPoint(listener.Address, listener.Port), listener.Requests);
        }
    }

    [NonEvent]
    public void OnLinkFailed(NetworkStack stack, string link, Exception reason)
    {
        if (IsEnabled(EventLevel.Error, Keywords.Link))
        {
            LinkFailed(stack.Name, link, reason.Message);
        }
    }

    [NonEvent]
    public void OnMemoryPressure(NetworkStack stack, long allocatedBytes, long limitBytes)
    {
        if (IsEnabled(EventLevel.Warning, Keywords.Memory))
        {
            MemoryPressureEntered(stack.Name, allocatedBytes, limitBytes);
        }
    }

    [Event(1, Level = EventLevel.Informational, Keywords = Keywords.Connection, Message = "{0}: {1} - {2} established")]
    private void ConnectionEstablished(string stack, string local, string remote, bool passive) => WriteEvent(1, stack, local, remote, passive);

    [Event(2, Level = EventLevel.Informational, Keywords = Keywords.Connection, Message = "{0}: {1} - {2} closed in {3}: {4}")]
    private void ConnectionClosedWithError(string stack, string local, string remote, string state, string error) =>
        WriteEvent(2, stack, local, remote, state, error);

    [Event(3, Level = EventLevel.Informational, Keywords = Keywords.Listener, Message = "{0}: listening on {1}")]
    private void ListenerStarted(string stack, string endPoint, int backlog) => WriteEvent(3, stack, endPoint, backlog);

    [Event(4, Level = EventLevel.Informational, Keywords = Keywords.Listener, Message = "{0}: no longer listening on {1}")]
    private void ListenerStopped(string stack, string endPoint) => WriteEvent(4, stack, endPoint);

    [Event(5, Level = EventLevel.Informational, Keywords = Keywords.Loss, Message = "{0}: {1} - {2} timed out, retransmission {3}")]
    private void RetransmissionTimeout(string stack, string local, string remote, int retransmits, double timeoutMilliseconds) =>
        WriteEvent(5, stack, local, remote, retransmits, timeoutMilliseconds);

    [Event(6, Level = EventLevel.Error, Keywords = Keywords.Link, Message = "{0}: link {1} failed: {2}")]
    private void LinkFailed(string stack, string link, string reason) => WriteEvent(6, stack, link, reason);

    [Event(7, Level = EventLevel.Warning, Keywords = Keywords.Memory, Message = "{0}: TCP is under memory pressure, {1} of {2} bytes")]
    private void MemoryPressureEntered(string stack, long allocatedBytes, long limitBytes) => WriteEvent(7, stack, allocatedBytes, limitBytes);

    [Event(8, Level = EventLevel.Warning, Keywords = Keywords.Listener, Message = "{0}: sending SYN cookies on {1}, perhaps a SYN flood")]
    private void SynCookiesSent(string stack, string endPoint, int waiting) => WriteEvent(8, stack, endPoint, waiting);

    [NonEvent]
    private static string Local(in FlowKey key) => EndPoint(key.Local, key.LocalPort);

    [NonEvent]
    private static string Remote(in FlowKey key) => EndPoint(key.Remote, key.RemotePort);

    [NonEvent]
    private static string EndPoint(IpAddress address, ushort port) => new IPEndPoint(address.ToIPAddress(), port).ToString();
}
