using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>The fields of Linux's tcp_info by their names, with Linux's units and numbers.</summary>
internal static class InfoVariables
{
    /// <summary>The field's value now; null when there is no such field, or no connection to ask.</summary>
    public static long? Find(string name, TcpConnection? connection) =>
        connection is null || !name.StartsWith("tcpi_", StringComparison.Ordinal) ? null : TcpInfoLayout.Read(name, connection.Snapshot());
}
