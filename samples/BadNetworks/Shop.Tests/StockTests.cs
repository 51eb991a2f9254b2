using Grpc.Core;
using Grpc.Net.Client;
using Penstock;
using Penstock.Testing;

namespace Shop.Tests;

/// <summary>gRPC over a bad cable.</summary>
public class StockTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Calls_and_streams_cross_a_bad_cable()
    {
        await using var net = new VirtualNetwork(seed: 3);
        var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(20), Loss = 0.02 });
        await using var shop = new ShopFactory(server);
        shop.StartServer();

        using GrpcChannel channel = GrpcChannel.ForAddress("http://server:81", new GrpcChannelOptions { HttpHandler = client.CreateHttpHandler(), DisposeHttpClient = true });
        var stock = new Stock.StockClient(channel);
        CountReply reply = await stock.CountAsync(new CountRequest { Item = "valve" }, cancellationToken: Stop);
        Assert.Equal(40, reply.Count);

        var counts = new List<int>();
        using AsyncServerStreamingCall<CountReply> watch = stock.Watch(new CountRequest { Item = "valve" }, cancellationToken: Stop);
        await foreach (CountReply next in watch.ResponseStream.ReadAllAsync(Stop))
        {
            counts.Add(next.Count);
        }

        Assert.Equal(Enumerable.Range(0, 20).Select(sold => 40 - sold), counts);
    }

    [Fact]
    public async Task A_deadline_ends_a_call_whose_answer_is_cut_off()
    {
        await using var net = new VirtualNetwork(seed: 3);
        var (client, server) = net.CreatePair();
        await using var shop = new ShopFactory(server);
        shop.StartServer();

        using GrpcChannel channel = GrpcChannel.ForAddress("http://server:81", new GrpcChannelOptions { HttpHandler = client.CreateHttpHandler(), DisposeHttpClient = true });
        var stock = new Stock.StockClient(channel);
        await stock.CountAsync(new CountRequest { Item = "valve" }, cancellationToken: Stop);
        net.CableBetween(client, server).Partition(from: server);
        RpcException error = await Assert.ThrowsAsync<RpcException>(
            () => stock.CountAsync(new CountRequest { Item = "valve" }, deadline: DateTime.UtcNow.AddMilliseconds(300), cancellationToken: Stop).ResponseAsync);
        Assert.Equal(StatusCode.DeadlineExceeded, error.StatusCode);
    }
}
