using System.Collections.Concurrent;
using Grpc.Core;

namespace Shop;

public sealed class StockService : Stock.StockBase
{
    private static readonly ConcurrentDictionary<string, int> s_counts = new() { ["valve"] = 40, ["turbine"] = 2 };

    public override Task<CountReply> Count(CountRequest request, ServerCallContext context) =>
        Task.FromResult(new CountReply { Count = s_counts.GetValueOrDefault(request.Item) });

    public override async Task Watch(CountRequest request, IServerStreamWriter<CountReply> responseStream, ServerCallContext context)
    {
        for (int sold = 0; sold < 20; sold++)
        {
            await responseStream.WriteAsync(new CountReply { Count = s_counts.GetValueOrDefault(request.Item) - sold }, context.CancellationToken);
        }
    }
}
