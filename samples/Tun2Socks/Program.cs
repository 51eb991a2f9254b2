using System.Runtime.InteropServices;
using Tun2Socks;

// The first Ctrl-C or SIGTERM asks for an orderly end; the second takes the system's default, which ends the process at once.
using var stop = new CancellationTokenSource();
using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
return await TunnelCommand.InvokeAsync(args, Console.Out, Console.Error, stop.Token);

void OnSignal(PosixSignalContext context)
{
    if (!stop.IsCancellationRequested)
    {
        context.Cancel = true;
        stop.Cancel();
    }
}
