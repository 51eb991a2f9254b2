using System.Runtime.InteropServices;
using Penstock.Benchmarks.Matrix;

// What a run makes is nameless and goes with the process; a signal ends the transfers in an orderly way all the same.
using var stop = new CancellationTokenSource();
PosixSignalRegistration[] signals =
[
    .. ((PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP]).Select(signal => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        stop.Cancel();
    })),
];
try
{
    return await MatrixCommand.InvokeAsync(args, Console.Out, Console.Error, stop.Token);
}
finally
{
    foreach (PosixSignalRegistration signal in signals)
    {
        signal.Dispose();
    }
}
