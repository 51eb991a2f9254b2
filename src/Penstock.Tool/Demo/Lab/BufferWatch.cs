using Penstock.Tcp;

namespace Penstock.Tool.Demo.Lab;

/// <summary>Notes how far each buffer of the write queue was filled before the send went on to the next one.</summary>
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
        uint start = connection.QueuedBuffers()[^1].Sequence;
        if (_any && start != _start)
        {
            _lengths.Add(start - _start);
        }

        _start = start;
        _any = true;
    }
}
