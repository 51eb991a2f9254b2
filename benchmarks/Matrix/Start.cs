namespace Penstock.Benchmarks.Matrix;

/// <summary>Lets transfers that run at once begin at once: none while another is still being prepared, which takes a processor.</summary>
internal sealed class Start(int count)
{
    private readonly TaskCompletionSource _all = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _missing = count;

    /// <summary>One more is ready; completes when all are.</summary>
    public Task ArriveAsync(CancellationToken stop)
    {
        if (Interlocked.Decrement(ref _missing) == 0)
        {
            _all.SetResult();
        }

        return _all.Task.WaitAsync(stop);
    }
}
