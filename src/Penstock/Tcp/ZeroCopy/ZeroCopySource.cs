namespace Penstock.Tcp.ZeroCopy;

/// <summary>A zero-copy call as a source of the send loop, which knows this type and attaches its pages; <see cref="Fill"/> serves a link that cannot take them.</summary>
internal readonly struct ZeroCopySource(ZeroCopyCall call) : ISendSource
{
    public ZeroCopyCall Call => call;

    public long Remaining => call.Remaining;

    public void Fill(Span<byte> destination) => call.CopyTo(destination);
}
