using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace Penstock.AspNetCore.Internal;

/// <summary>What Kestrel and its middleware ask of a connection.</summary>
internal sealed partial class PenstockConnection :
    IConnectionIdFeature,
    IConnectionTransportFeature,
    IConnectionItemsFeature,
    IConnectionEndPointFeature,
    IConnectionLifetimeFeature,
    IMemoryPoolFeature,
    IConnectionPenstockFeature
{
    private readonly FeatureCollection _features = new(initialCapacity: 16);
    private IDictionary<object, object?>? _items;
    private string? _connectionId;

    public override IFeatureCollection Features => _features;

    public override string ConnectionId
    {
        get => _connectionId ??= _settings.NextConnectionId();
        set => _connectionId = value;
    }

    public override IDictionary<object, object?> Items
    {
        get => _items ??= new ConnectionItems();
        set => _items = value;
    }

    public override IDuplexPipe Transport { get; set; }

    public override CancellationToken ConnectionClosed { get; set; }

    public override EndPoint? LocalEndPoint { get; set; }

    public override EndPoint? RemoteEndPoint { get; set; }

    public MemoryPool<byte> MemoryPool => _settings.Pool;

    public TcpSocket Socket => _socket;

    private void SetFeatures()
    {
        _features.Set<IConnectionIdFeature>(this);
        _features.Set<IConnectionTransportFeature>(this);
        _features.Set<IConnectionItemsFeature>(this);
        _features.Set<IConnectionEndPointFeature>(this);
        _features.Set<IConnectionLifetimeFeature>(this);
        _features.Set<IMemoryPoolFeature>(this);
        _features.Set<IConnectionPenstockFeature>(this);
    }
}
