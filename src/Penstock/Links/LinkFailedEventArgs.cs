namespace Penstock;

/// <summary>A link that failed while it was in use; see <see cref="NetworkStack.LinkFailed"/>.</summary>
public sealed class LinkFailedEventArgs : EventArgs
{
    internal LinkFailedEventArgs(Link link, Exception reason)
    {
        Link = link;
        Reason = reason;
    }

    /// <summary>The link.</summary>
    public Link Link { get; }

    /// <summary>Why; its message says what to do.</summary>
    public Exception Reason { get; }
}
