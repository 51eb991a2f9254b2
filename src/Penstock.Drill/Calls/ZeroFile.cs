using Penstock.Bsd;

namespace Penstock.Drill;

/// <summary>A file that the script made, open for reading; all its bytes are zero.</summary>
internal sealed class ZeroFile(Pace pace, long size) : OpenFile(pace)
{
    /// <summary>Where the next read begins.</summary>
    public long Position { get; set; }

    public override bool CanBeWatched => false;

    protected override int AccessMode => 0;

    public override PollMask Poll() => PollMask.In | PollMask.ReadNormal | PollMask.Out | PollMask.WriteNormal;

    public override int Read(Span<byte> buffer)
    {
        int count = ReadAt(buffer, Position);
        Position += count;
        return count;
    }

    public int ReadAt(Span<byte> buffer, long position)
    {
        int count = (int)Math.Clamp(size - position, 0, buffer.Length);
        buffer[..count].Clear();
        return count;
    }

    public override int Write(ReadOnlySpan<byte> data) => Bsd.Result.Fail(Sockets.Errno.EBADF);

    protected override int OnClose() => 0;
}
