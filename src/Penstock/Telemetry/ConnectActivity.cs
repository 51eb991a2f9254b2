using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Penstock.Telemetry;

/// <summary>The span of one connect, for distributed tracing. Exists only while somebody listens to the source "Penstock".</summary>
internal static class ConnectActivity
{
    private static readonly ActivitySource Source = new("Penstock");

    /// <summary>Starts the span; null when nobody wants it. Names follow OpenTelemetry's conventions.</summary>
    public static Activity? Start(NetworkStack stack, EndPoint remote)
    {
        if (!Source.HasListeners() || Source.StartActivity("penstock.tcp.connect", ActivityKind.Client) is not { } activity)
        {
            return null;
        }

        activity.SetTag("penstock.stack", stack.Name);
        activity.SetTag("network.transport", "tcp");
        switch (remote)
        {
            case IPEndPoint literal:
                activity.SetTag("server.address", literal.Address.ToString());
                activity.SetTag("server.port", literal.Port);
                break;
            case DnsEndPoint name:
                activity.SetTag("server.address", name.Host);
                activity.SetTag("server.port", name.Port);
                break;
        }

        return activity;
    }

    public static void Connected(this Activity activity, TcpSocket socket)
    {
        activity.SetTag("network.type", "ipv4");
        activity.SetTag("network.peer.address", socket.RemoteEndPoint.Address.ToString());
        activity.SetTag("network.peer.port", socket.RemoteEndPoint.Port);
    }

    public static void Failed(this Activity activity, Exception reason)
    {
        activity.SetTag("error.type", reason is SocketException socket ? StackMeter.SnakeCase(socket.SocketErrorCode.ToString()) : reason.GetType().FullName);
        activity.SetStatus(ActivityStatusCode.Error, reason.Message);
    }
}
