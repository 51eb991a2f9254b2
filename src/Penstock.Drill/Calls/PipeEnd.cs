namespace Penstock.Drill;

/// <summary>The buffer of a pipe: 16 pages, as Linux's.</summary>
internal sealed class PipeBuffer
{
    private const int Capacity = 65536;

    private readonly Queue<byte> _bytes = new();

    public int Count => _bytes.Count;

    public int Room => Capacity - _bytes.Count;

    public bool HasReader { get; set; } = true;

    public bool HasWriter { get; set; } = true;

    public int Write(ReadOnlySpan<byte> data)
    {
        int count = Math.Min(data.Length, Room);
        foreach (byte value in data[..count])
        {
            _bytes.Enqueue(value);
        }

        return count;
    }

    /// <summary>The first bytes, without taking them.</summary>
    public byte[] Peek(int most)
    {
        byte[] data = new byte[Math.Min(most, _bytes.Count)];
        int i = 0;
        foreach (byte value in _bytes)
        {
            if (i == data.Length)
            {
                break;
            }

            data[i++] = value;
        }

        return data;
    }

    public void Drop(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _bytes.Dequeue();
        }
    }
}

/// <summary>One end of a pipe.</summary>
internal sealed class PipeEnd(PipeBuffer pipe, bool reads) : OpenFile
{
    public PipeBuffer Pipe => pipe;

    public bool Reads => reads;

    public override long Poll() => reads
        ? (pipe.Count > 0 ? PollEvents.In | PollEvents.ReadNormal : 0) | (pipe.HasWriter ? 0 : PollEvents.HangUp)
        : (pipe.Room > 0 ? PollEvents.Out | PollEvents.WriteNormal : 0) | (pipe.HasReader ? 0 : PollEvents.Error);

    public override void Close()
    {
        if (reads)
        {
            pipe.HasReader = false;
        }
        else
        {
            pipe.HasWriter = false;
        }
    }
}
