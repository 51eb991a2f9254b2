using System.Diagnostics.Metrics;
using Penstock.Telemetry;

namespace Penstock;

/// <summary>The stack's meter, made and disposed with it.</summary>
public sealed partial class NetworkStack
{
    private StackMeter? _meter;

    internal StackMeter? Meter => _meter;

    private void StartTelemetry(IMeterFactory? factory) => _meter = new StackMeter(this, factory);

    private void StopTelemetry() => _meter?.Dispose();
}
