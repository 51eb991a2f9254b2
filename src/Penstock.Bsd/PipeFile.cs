using Penstock.Sockets;

namespace Penstock.Bsd;

/// <summary>One end of a pipe inside this process: what splice(2) moves a socket's bytes through. 64 KiB, as Linux's.</summary>
internal sealed class PipeFile : OpenFile
{
    private const int Capacity = 65536;

    /// <summary>PIPE_BUF: a write of no more is never split.</summary>
    private const int Atomic = 4096;

    private readonly Ring _ring;
    private readonly bool _reads;

    private PipeFile(Pace pace, Ring ring, bool reads)
        : base(pace)
    {
        _ring = ring;
        _reads = reads;
    }

    private PipeFile Other => _reads ? _ring.Writer! : _ring.Reader!;

    public bool IsReader => _reads;

    /// <summary>Held while bytes go through this end, so that of two users neither sees what the other takes; before the pipe's own lock, and before a socket is owned.</summary>
    public object Turn { get; } = new();

    protected override int AccessMode => _reads ? 0 : 1;

    public static (PipeFile Reader, PipeFile Writer) Make(Pace pace)
    {
        var ring = new Ring();
        ring.Reader = new PipeFile(pace, ring, reads: true);
        ring.Writer = new PipeFile(pace, ring, reads: false);
        return (ring.Reader, ring.Writer);
    }

    /// <summary>The other end is closed: writing is an error, reading comes to the end.</summary>
    public bool IsBroken
    {
        get
        {
            lock (_ring)
            {
                return _reads ? _ring.WriterGone : _ring.ReaderGone;
            }
        }
    }

    public int Room
    {
        get
        {
            lock (_ring)
            {
                return Capacity - _ring.Count;
            }
        }
    }

    public override PollMask Poll()
    {
        lock (_ring)
        {
            return _reads
                ? (_ring.Count > 0 ? PollMask.In | PollMask.ReadNormal : 0) | (_ring.WriterGone ? PollMask.HangUp : 0)
                : (Capacity - _ring.Count >= Atomic ? PollMask.Out | PollMask.WriteNormal : 0) | (_ring.ReaderGone ? PollMask.Error : 0);
        }
    }

    /// <summary>splice(2) without offsets: between a socket and a pipe, either way. What either file is ready for, at least a byte; 0 at the end.</summary>
    public static int Splice(OpenFile source, OpenFile target, int most, uint flags)
    {
        const uint Move = 1, NonBlock = 2, More = 4, Gift = 8;
        if ((flags & ~(Move | NonBlock | More | Gift)) != 0)
        {
            return Result.Fail(Errno.EINVAL);
        }

        if (source.Pace != target.Pace)
        {
            // Of two stacks: neither could wait for the other.
            return Result.Fail(Errno.EINVAL);
        }

        bool waits = (flags & NonBlock) == 0;
        return (source, target) switch
        {
            (SocketFile socket, PipeFile { IsReader: false } pipe) => socket.SpliceTo(pipe, most, waits && !pipe.NonBlocking),
            (PipeFile { IsReader: true } pipe, SocketFile socket) => socket.SpliceFrom(pipe, most, (flags & More) != 0, waits && !pipe.NonBlocking),
            _ => Result.Fail(Errno.EINVAL),
        };
    }

    public override int Control(ulong request, ref int value)
    {
        if (request != 0x541B)
        {
            return base.Control(request, ref value);
        }

        lock (_ring)
        {
            value = _ring.Count; // FIONREAD
        }

        return 0;
    }

    public override int Read(Span<byte> buffer)
    {
        if (!_reads)
        {
            return Result.Fail(Errno.EBADF);
        }

        if (buffer.IsEmpty)
        {
            return 0;
        }

        var wait = new Blocking(this, !NonBlocking);
        try
        {
            int count;
            do
            {
                count = TryRead(buffer);
            }
            while (count == Result.WouldBlock && wait.Again());

            return count;
        }
        finally
        {
            wait.End();
        }
    }

    public override int Write(ReadOnlySpan<byte> data)
    {
        if (_reads)
        {
            return Result.Fail(Errno.EBADF);
        }

        var wait = new Blocking(this, !NonBlocking);
        int done = 0;
        try
        {
            while (done < data.Length)
            {
                int count = TryWrite(data[done..]);
                if (count > 0)
                {
                    done += count;
                }
                else if (count != Result.WouldBlock || !wait.Again())
                {
                    return done > 0 ? done : count;
                }
            }

            return done;
        }
        finally
        {
            wait.End();
        }
    }

    /// <summary>Takes what is there; 0 at the end, -EAGAIN when nothing has come yet.</summary>
    public int TryRead(Span<byte> buffer)
    {
        int count;
        lock (Turn)
        {
            lock (_ring)
            {
                count = _ring.Take(buffer);
                if (count == 0)
                {
                    return _ring.WriterGone ? 0 : Result.WouldBlock;
                }
            }
        }

        Other.Notify(PollMask.WakeWritable);
        return count;
    }

    /// <summary>Writes what fits.</summary>
    public int TryWrite(ReadOnlySpan<byte> data)
    {
        int count;
        lock (Turn)
        {
            lock (_ring)
            {
                if (_ring.ReaderGone)
                {
                    return Result.Fail(Errno.EPIPE);
                }

                int room = Capacity - _ring.Count;
                if (room == 0 || (data.Length <= Atomic && room < data.Length))
                {
                    return Result.WouldBlock;
                }

                count = _ring.Put(data[..Math.Min(room, data.Length)]);
            }
        }

        Other.Notify(PollMask.WakeReadable);
        return count;
    }

    /// <summary>Looks at bytes without taking them.</summary>
    public int Peek(Span<byte> buffer)
    {
        lock (_ring)
        {
            return _ring.Peek(buffer);
        }
    }

    /// <summary>Takes bytes that were looked at.</summary>
    public void Skip(int count)
    {
        lock (_ring)
        {
            _ring.Skip(count);
        }

        Other.Notify(PollMask.WakeWritable);
    }

    protected override int OnClose()
    {
        // A splice that has seen the reader, and has taken bytes for it, comes first.
        lock (Other.Turn)
        {
            lock (_ring)
            {
                if (_reads)
                {
                    _ring.ReaderGone = true;
                }
                else
                {
                    _ring.WriterGone = true;
                }
            }
        }

        Other.Notify(PollMask.Any);
        return 0;
    }

    /// <summary>The bytes of a pipe, and its two ends.</summary>
    private sealed class Ring
    {
        private readonly byte[] _bytes = new byte[Capacity];
        private int _start;

        public PipeFile? Reader { get; set; }

        public PipeFile? Writer { get; set; }

        public bool ReaderGone { get; set; }

        public bool WriterGone { get; set; }

        public int Count { get; private set; }

        public int Take(Span<byte> destination)
        {
            int count = Peek(destination);
            Skip(count);
            return count;
        }

        public int Peek(Span<byte> destination)
        {
            int count = Math.Min(destination.Length, Count);
            int first = Math.Min(count, Capacity - _start);
            _bytes.AsSpan(_start, first).CopyTo(destination);
            _bytes.AsSpan(0, count - first).CopyTo(destination[first..]);
            return count;
        }

        public void Skip(int count)
        {
            _start = (_start + count) % Capacity;
            Count -= count;
        }

        public int Put(ReadOnlySpan<byte> source)
        {
            int at = (_start + Count) % Capacity;
            int first = Math.Min(source.Length, Capacity - at);
            source[..first].CopyTo(_bytes.AsSpan(at));
            source[first..].CopyTo(_bytes);
            Count += source.Length;
            return source.Length;
        }
    }
}
