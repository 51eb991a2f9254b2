using System.Net;
using Penstock;

namespace Snippets;

/// <summary>docs/memory.md</summary>
public class MemoryPage
{
    [Fact]
    public async Task Groups_limit_what_a_tenant_holds()
    {
        await using var stack = new NetworkStack();
        var endPoint = new IPEndPoint(IPAddress.Loopback, 7);
        IPEndPoint remote = endPoint;

        var house = new MemoryGroup("house", limit: 512 << 20);
        var tenant = new MemoryGroup("tenant-7", limit: 16 << 20, parent: house);

        stack.ListenTcp(new TcpListenOptions(endPoint) { MemoryGroup = tenant });            // and everything accepted there
        await stack.ConnectTcpAsync(remote, new TcpConnectOptions { MemoryGroup = tenant });
        var own = new NetworkStack(new NetworkStackOptions { MemoryGroup = tenant });        // everything that names no other
        tenant.Limit = 32 << 20;                                                             // at any time

        await own.DisposeAsync();
        Assert.Contains(stack.GetConnections(), connection => connection.MemoryGroup == "tenant-7");
        Assert.Equal(32 << 20, tenant.Limit);
    }
}
