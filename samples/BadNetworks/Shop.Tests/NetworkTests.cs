using System.Text;
using Penstock;
using Penstock.Testing;

namespace Shop.Tests;

/// <summary>More of what virtual networks can do, without an application.</summary>
public class NetworkTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Sockets_and_streams_work_as_well_as_http()
    {
        await using var net = new VirtualNetwork(seed: 42);
        var (client, server) = net.CreatePair();

        await using TcpSocketListener listener = server.Listen(port: 7);
        await using TcpSocket near = await client.ConnectAsync("server", 7, cancellationToken: Stop);
        await using TcpSocket far = await listener.AcceptAsync(Stop);
        await using Stream stream = near.GetStream();
        await stream.WriteAsync("hello"u8.ToArray(), Stop);

        byte[] buffer = new byte[10];
        int received = await far.ReceiveAsync(buffer, Stop);
        Assert.Equal("hello", Encoding.UTF8.GetString(buffer, 0, received));
    }

    [Fact]
    public async Task Networks_may_have_many_hosts_and_routers()
    {
        await using var net = new VirtualNetwork(seed: 42);
        VirtualHost phone = net.AddHost("phone");
        VirtualHost shop = net.AddHost("shop");
        VirtualHost bank = net.AddHost("bank", options => options.MemoryLimit = 16 << 20);
        VirtualRouter internet = net.AddRouter("internet");
        net.Connect(phone, internet, new CableOptions { Delay = TimeSpan.FromMilliseconds(40), Loss = 0.03, Rate = 5_000_000 });
        net.Connect(shop, internet, new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        net.Connect(bank, internet, new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });

        await using TcpSocketListener listener = bank.Listen(443);
        await using TcpSocket fromShop = await shop.ConnectAsync("bank", 443, cancellationToken: Stop);
        await using TcpSocket fromPhone = await phone.ConnectAsync("bank", 443, cancellationToken: Stop);
        Assert.NotEqual(0, internet.ForwardedPackets);
    }

    [Fact]
    public async Task Impairments_change_while_a_test_runs()
    {
        await using var net = new VirtualNetwork(seed: 42);
        var (client, server) = net.CreatePair();
        NetworkCable cable = net.CableBetween(client, server);

        cable.Update(options => options.Loss = 0.3);            // from now on, in both directions
        cable.Update(server, options => options.Rate = 64_000); // only what the server sends
        cable.Partition();                                      // everything is lost, nobody is told
        cable.Heal();
        cable.Partition(from: client);                          // one direction only
        cable.Heal();
        cable.Freeze();                                         // everything waits, and arrives when healed
        cable.Heal();
        net.Partition(server);                                  // cuts every cable between the named hosts and the others
        net.Heal();

        CableCounters counters = cable.CountersFrom(client);
        Assert.Equal(0, counters.Sent);
    }
}
