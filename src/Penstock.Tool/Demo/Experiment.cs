namespace Penstock.Tool.Demo;

/// <summary>One question about the stack, answered by runs that differ in one switch. A file for each; <see cref="DemoCatalog"/> says which demo it belongs to.</summary>
internal abstract class Experiment
{
    /// <summary>E1, E2, ...</summary>
    public abstract string Id { get; }

    public abstract string Title { get; }

    /// <summary>What is done, with its parameters, and what is measured.</summary>
    public abstract string Setup { get; }

    /// <summary>The one thing in which the cases differ.</summary>
    public abstract string Switch { get; }

    /// <summary>The case that must look bad, or the figure would prove nothing.</summary>
    public abstract string Control { get; }

    /// <summary>True: measures real time, so the figures differ from run to run.</summary>
    public virtual bool RealTime => false;

    /// <summary>True: there is a form of it that runs in real time (<c>--live</c>).</summary>
    public virtual bool HasLive => false;

    /// <summary><see cref="Setup"/> of that form.</summary>
    public virtual string LiveSetup => Setup;

    /// <summary>Runs every case and reports through <paramref name="report"/>.</summary>
    public abstract void Run(DemoSettings settings, ExperimentReport report);
}
