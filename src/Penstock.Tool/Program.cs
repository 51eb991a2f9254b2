using System.Runtime.InteropServices;

namespace Penstock.Tool;

/// <summary>The process: hands the arguments on and turns signals into a graceful end.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] arguments)
    {
        // The first Ctrl-C or SIGTERM asks for a graceful end, the second one takes the system's default: it ends the process.
        using var stop = new CancellationTokenSource();
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        return await PenstockCommand.InvokeAsync(arguments, Console.Out, Console.Error, stop.Token).ConfigureAwait(false);

        void OnSignal(PosixSignalContext context)
        {
            if (!stop.IsCancellationRequested)
            {
                context.Cancel = true;
                stop.Cancel();
            }
        }
    }
}
