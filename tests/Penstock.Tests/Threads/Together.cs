using System.Runtime.ExceptionServices;

namespace Penstock.Tests.Threads;

/// <summary>Runs the same on several real threads that begin at once.</summary>
internal static class Together
{
    public static void Run(int threads, Action<int> body)
    {
        using var start = new Barrier(threads);
        Exception? failure = null;
        Thread[] all = [.. Enumerable.Range(0, threads).Select(i => new Thread(() =>
        {
            start.SignalAndWait();
            try
            {
                body(i);
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref failure, e, null);
            }
        }))];
        foreach (Thread thread in all)
        {
            thread.Start();
        }

        foreach (Thread thread in all)
        {
            thread.Join();
        }

        if (failure is not null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }
}
