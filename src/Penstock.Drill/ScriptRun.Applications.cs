using System.Diagnostics.CodeAnalysis;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>The caller's own code in a run: checks, and applications that use the stack beside the script.</summary>
internal sealed partial class ScriptRun
{
    private readonly List<(Task Task, SourcePosition At)> _applications = [];
    private readonly CancellationTokenSource _stop = new();

    /// <summary>The connection that assertions look at: the one that a call of the script last made, else the newest of an application.</summary>
    private TcpConnection? Watched => _calls.Watched ?? (_applications.Count > 0 ? _calls.Connections().LastOrDefault() : null);

    [SuppressMessage("Design", "CA1031", Justification = "Whatever the caller's code throws is its verdict, told with the place in the script.")]
    private void RunCheck(Check check)
    {
        if (Watched is not { } connection)
        {
            throw DrillStop.Failed("there is no connection to check yet");
        }

        try
        {
            check.Look(connection.Snapshot());
        }
        catch (Exception verdict)
        {
            throw DrillStop.Failed($"the check failed: {verdict.Message}");
        }
    }

    private void StartApplication(ApplicationStart start)
    {
        var application = new DrillApplication(_stack, _time, _startNanos, _stop.Token);
        
        // Wrapped, so that what it throws at once is its task's too.
        _applications.Add((_time.Start(async () => await start.Body(application).ConfigureAwait(true)), start.At));
    }

    /// <summary>An application that failed ends the run, at the place where it began.</summary>
    private void LookAtApplications()
    {
        foreach ((Task task, SourcePosition at) in _applications)
        {
            if (task.IsFaulted)
            {
                throw new DrillStop(DrillOutcome.Failed, at, $"the application failed at {TimingTolerance.Seconds(ElapsedNanos)} s: {task.Exception!.InnerException}");
            }
        }
    }

    /// <summary>Asks applications to end. What they throw from here on is no fault of theirs: the stack is being taken away.</summary>
    private void EndApplications()
    {
        _stop.Cancel();
        _time.RunReady();
        foreach ((Task task, _) in _applications)
        {
            _ = task.Exception;
        }
    }
}
