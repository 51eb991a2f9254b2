using Penstock.Tcp;

namespace Penstock.Tool.Demo.Lab;

/// <summary>
/// Notes how far each buffer at the tail of the write queue was filled before the send went on to another one: a new one, or the rest of one whose first part has left.
/// </summary>
internal sealed class BufferWatch(TcpConnection connection)
{
    private readonly List<double> _lengths = [];
    private uint _start;
    private bool _any;

    /// <summary>Bytes of each finished buffer.</summary>
    public IReadOnlyList<double> Lengths => _lengths;

    /// <summary>Looks at the tail; call it before each chunk is copied.</summary>
    public void Look()
    {
        QueuedBuffer tail = connection.QueuedBuffers()[^1];
        if (_any && tail.Sequence != _start)
        {
            _lengths.Add(tail.Sequence + (uint)tail.Length - _start);
        }

        _start = tail.Sequence;
        _any = true;
    }
}
