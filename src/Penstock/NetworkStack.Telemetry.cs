using System.Diagnostics.Metrics;

namespace Penstock;

public sealed partial class NetworkStack
{
    private Meter? _meter;

    private void StartTelemetry(IMeterFactory? factory)
    {
        var options = new MeterOptions("Penstock") { Tags = [new KeyValuePair<string, object?>("penstock.stack", Name)] };
        _meter = factory is null ? new Meter(options) : factory.Create(options);
    }

    private void StopTelemetry() => _meter?.Dispose();
}
