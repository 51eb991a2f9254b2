namespace Penstock.Drill;

/// <summary>How a time is written: from the script's start, from the event before, or not at all.</summary>
internal enum TimeKind
{
    /// <summary><c>1.5</c>: that long after the script's start.</summary>
    Absolute,

    /// <summary><c>+.1</c>: that long after the event before.</summary>
    Relative,

    /// <summary><c>*</c>: whenever the packet comes.</summary>
    Any,

    /// <summary><c>1~1.5</c>: between two times after the script's start.</summary>
    AbsoluteRange,

    /// <summary><c>+.1~+.2</c>: between two times after the event before.</summary>
    RelativeRange,
}

/// <summary>
/// When an event happens, in nanoseconds. <see cref="EndNanos"/> equals <see cref="StartNanos"/> unless the time is a range;
/// <see cref="CallEndNanos"/> is when a blocking call returns (<c>0...0.1 connect(...)</c>), counted from the same origin.
/// </summary>
internal readonly record struct TimeSpec(TimeKind Kind, long StartNanos, long EndNanos, long? CallEndNanos = null)
{
    public static TimeSpec Relative(long nanos) => new(TimeKind.Relative, nanos, nanos);

    public static TimeSpec Absolute(long nanos) => new(TimeKind.Absolute, nanos, nanos);

    public static TimeSpec Any => new(TimeKind.Any, 0, 0);

    public bool IsRelative => Kind is TimeKind.Relative or TimeKind.RelativeRange;

    public bool IsRange => Kind is TimeKind.AbsoluteRange or TimeKind.RelativeRange;

    /// <summary>The same time counted from the script's start.</summary>
    /// <param name="origin">When the event that a relative time counts from happened, in nanoseconds after the script's start.</param>
    public TimeSpec Resolve(long origin) => Kind switch
    {
        TimeKind.Relative => new(TimeKind.Absolute, origin + StartNanos, origin + EndNanos, origin + CallEndNanos),
        TimeKind.RelativeRange => new(TimeKind.AbsoluteRange, origin + StartNanos, origin + EndNanos, origin + CallEndNanos),
        _ => this,
    };
}
