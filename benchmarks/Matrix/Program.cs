using System.Runtime.InteropServices;
using Penstock.Benchmarks.Matrix;

const int PoolThreads = 64;

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
// A thread of the pool that waits for a namespace must not keep a transfer from running.
ThreadPool.SetMinThreads(PoolThreads, PoolThreads);
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
