using System.Runtime.CompilerServices;

namespace Penstock.Buffers;

/// <summary>
/// A one-word lock for regions of tens of nanoseconds: links of a list, a few counters. Never held across a copy,
/// a system call, a callback or another lock. A mutable struct: keep it in a field, never copy it.
/// </summary>
internal struct SpinGate
{
    private int _held;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Enter()
    {
        if (Interlocked.CompareExchange(ref _held, 1, 0) != 0)
        {
            EnterContended();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Exit() => Volatile.Write(ref _held, 0);

    private void EnterContended()
    {
        var spinner = default(SpinWait);
        do
        {
            // SpinWait yields the processor after a few rounds, so a preempted holder gets its turn on few cores.
            spinner.SpinOnce(sleep1Threshold: -1);
        }
        while (Volatile.Read(ref _held) != 0 || Interlocked.CompareExchange(ref _held, 1, 0) != 0);
    }
}
