using System.Runtime.InteropServices;
using Penstock.Benchmarks.Compare;

// Ctrl-C, SIGTERM and SIGHUP end the runs; what was started and made is taken away before the process ends, so further signals find nothing left to do.
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
    return await CompareCommand.InvokeAsync(args, Console.Out, Console.Error, stop.Token);
}
finally
{
    foreach (PosixSignalRegistration signal in signals)
    {
        signal.Dispose();
    }
}
