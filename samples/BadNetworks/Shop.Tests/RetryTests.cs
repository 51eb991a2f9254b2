using Penstock;
using Penstock.Testing;
using Polly;
using Polly.Retry;
using Polly.Timeout;

namespace Shop.Tests;

/// <summary>A retry policy tested against a network that has parted.</summary>
public class RetryTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_policy_tries_until_the_network_is_whole_again()
    {
        await using var net = new VirtualNetwork(seed: 7);
        var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        await using var shop = new ShopFactory(server);
        shop.StartServer();
        using HttpClient http = client.CreateHttpClient(new Uri("http://server"));
        await http.GetStringAsync("/items/valve", Stop);

        NetworkCable cable = net.CableBetween(client, server);
        cable.Partition();
        int tries = 0;
        ResiliencePipeline policy = Policy(onRetry: () =>
        {
            // The third try finds the network whole.
            if (++tries == 2)
            {
                cable.Heal();
            }
        });
        string item = await policy.ExecuteAsync(async cancel => await http.GetStringAsync("/items/valve", cancel), Stop);
        Assert.Contains("valve", item, StringComparison.Ordinal);
        Assert.True(tries >= 2);
    }

    [Fact]
    public async Task The_policy_gives_up_when_the_network_stays_parted()
    {
        await using var net = new VirtualNetwork(seed: 7);
        var (client, server) = net.CreatePair();
        await using var shop = new ShopFactory(server);
        shop.StartServer();
        using HttpClient http = client.CreateHttpClient(new Uri("http://server"));
        server.Partition();
        int tries = 0;
        await Assert.ThrowsAsync<TimeoutRejectedException>(
            () => Policy(onRetry: () => tries++).ExecuteAsync(async cancel => await http.GetStringAsync("/items/valve", cancel), Stop).AsTask());
        Assert.Equal(5, tries);
    }

    /// <summary>What is tested: a try may take half a second, then it is made again, five times at most.</summary>
    private static ResiliencePipeline Policy(Action onRetry) => new ResiliencePipelineBuilder()
        .AddRetry(new RetryStrategyOptions
        {
            MaxRetryAttempts = 5,
            Delay = TimeSpan.FromMilliseconds(20),
            ShouldHandle = new PredicateBuilder().Handle<HttpRequestException>().Handle<TimeoutRejectedException>(),
            OnRetry = _ =>
            {
                onRetry();
                return default;
            },
        })
        .AddTimeout(TimeSpan.FromMilliseconds(500))
        .Build();
}
