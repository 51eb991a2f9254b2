using System.Net.Http.Json;
using Penstock;
using Penstock.Testing;

namespace Shop.Tests;

/// <summary>An ASP.NET Core application whose client sits on the other side of a bad cable.</summary>
public class ShopTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_item_is_found_over_a_bad_cable()
    {
        await using var net = new VirtualNetwork(seed: 42);
        var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(50), Loss = 0.02 });
        using HttpClient http = client.CreateHttpClient(new Uri("http://server"));

        await using var shop = new ShopFactory(server);
        shop.StartServer();
        Item? item = await http.GetFromJsonAsync<Item>("/items/valve", Stop);
        Assert.Equal(new Item("valve", 50), item);
    }

    [Fact]
    public async Task A_large_order_arrives_whole_although_the_cable_loses_and_reorders()
    {
        await using var net = new VirtualNetwork(seed: 42);
        net.CaptureTo(Path.Combine(Path.GetTempPath(), "penstock-shop", "order.pcapng"), onlyOnFailure: true);
        var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(5), Loss = 0.02, Reorder = 0.05 });
        await using var shop = new ShopFactory(server);
        shop.StartServer();

        using HttpClient http = client.CreateHttpClient(new Uri("http://server"));
        using HttpResponseMessage response = await http.PostAsync("/orders", new ByteArrayContent(new byte[300_000]), Stop);
        Assert.Equal("ordered 300000 bytes", await response.Content.ReadAsStringAsync(Stop));
        net.Passed();
    }

    [Fact]
    public async Task A_request_that_is_cut_off_ends_with_the_timeout_of_its_client()
    {
        await using var net = new VirtualNetwork(seed: 42);
        var (client, server) = net.CreatePair();
        await using var shop = new ShopFactory(server);
        shop.StartServer();

        using HttpClient http = client.CreateHttpClient(new Uri("http://server"));
        http.Timeout = TimeSpan.FromMilliseconds(300);
        net.CableBetween(client, server).Partition();
        TaskCanceledException error = await Assert.ThrowsAsync<TaskCanceledException>(() => http.GetAsync("/items/valve", Stop));
        Assert.IsType<TimeoutException>(error.InnerException);
    }

    private sealed record Item(string Name, int Price);
}
