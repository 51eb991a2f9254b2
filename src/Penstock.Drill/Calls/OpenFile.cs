namespace Penstock.Drill;

/// <summary>What a descriptor of a script stands for: a socket, an epoll instance, one end of a pipe, or a file.</summary>
internal abstract class OpenFile
{
    public bool NonBlocking { get; set; }

    /// <summary>What poll(2) would report now, by Linux's bits.</summary>
    public abstract long Poll();

    /// <summary>The last reference is gone.</summary>
    public abstract void Close();

    /// <summary>As <see cref="Close"/>, but at the end of a run: nothing is sent any more that would have to be answered.</summary>
    public virtual void Abort() => Close();
}

/// <summary>A file that the script made, open for reading; all its bytes are zero.</summary>
internal sealed class ZeroFile(long size) : OpenFile
{
    public long Position { get; set; }

    public override long Poll() => PollEvents.In | PollEvents.Out;

    public override void Close()
    {
    }

    /// <summary>How many bytes are left behind <paramref name="offset"/>.</summary>
    public int CountFrom(long offset, long wanted) => (int)Math.Clamp(size - offset, 0, wanted);
}
