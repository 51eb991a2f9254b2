namespace Penstock.Tool.Serve;

/// <summary>
/// What the served bytes travel over: the stack that Kestrel listens on and everything between it and the kernel. Owns its stacks, links and sockets; knows
/// nothing of HTTP. Dispose it after the server.
/// </summary>
internal abstract class ServeNetwork : IAsyncDisposable
{
    /// <summary>The stack that Kestrel listens on.</summary>
    public abstract NetworkStack Server { get; }

    /// <summary>Every stack, the server's first.</summary>
    public abstract IReadOnlyList<NetworkStack> Stacks { get; }

    /// <summary>The cable between the stacks, if there is one.</summary>
    public virtual VirtualCable? Cable => null;

    /// <summary>The capture of the server's link, if one was asked for.</summary>
    public CaptureLink? Capture { get; private protected set; }

    /// <summary>Where a client reaches the server, without a path.</summary>
    public abstract string Url { get; }

    /// <summary>The stations between a client and Kestrel, in order.</summary>
    public abstract IReadOnlyList<string> Path { get; }

    /// <summary>Lets clients in; called once the server listens.</summary>
    public virtual void Open()
    {
    }

    /// <summary>Takes no new clients; those that are connected stay.</summary>
    public virtual void Close()
    {
    }

    public abstract ValueTask DisposeAsync();

    /// <summary>Puts the capture around <paramref name="link"/> when one was asked for.</summary>
    /// <exception cref="ToolFailure">The file cannot be written; the link is disposed.</exception>
    private protected Link WithCapture(Link link, ServeSettings settings)
    {
        if (settings.Capture is null)
        {
            return link;
        }

        try
        {
            return Capture = CaptureLink.ToFile(link, settings.Capture);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            link.Dispose();
            throw ToolFailure.Environment($"Cannot write '{settings.Capture}' ({failure.Message.TrimEnd('.')}). Name another file with --capture.", failure);
        }
    }
}
