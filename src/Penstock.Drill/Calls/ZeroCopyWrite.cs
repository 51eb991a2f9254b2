using System.Buffers;
using System.Net.Sockets;
using Penstock.Sockets;
using Penstock.Tcp;
using Penstock.Tcp.ZeroCopy;

namespace Penstock.Drill;

/// <summary>One send with MSG_ZEROCOPY, step by step: each piece of its vector is a run of memory of its own, which the stack refers to until it is acknowledged.</summary>
internal sealed class ZeroCopyWrite
{
    private readonly TcpSocket _socket;
    private readonly ZeroCopyCall _call;

    public ZeroCopyWrite(TcpSocket socket, byte[] data, int[] lengths)
    {
        _socket = socket;
        Run? first = null, last = null;
        int offset = 0;
        foreach (int length in lengths)
        {
            // Memory of its own for each piece: two that lie side by side would be one to the stack.
            if (length > 0)
            {
                var next = new Run(data.AsSpan(offset, length).ToArray(), offset);
                last?.Follow(next);
                first ??= next;
                last = next;
            }

            offset += length;
        }

        ReadOnlySequence<byte> sequence = first is null ? ReadOnlySequence<byte>.Empty : new ReadOnlySequence<byte>(first, 0, last!, last!.Memory.Length);
        _call = socket.Connection.ZeroCopy.RentCall(sequence, null);
    }

    public int Queued { get; private set; }

    /// <summary>Queues what fits; as <see cref="TcpSocket.TrySend"/>.</summary>
    public int Try(TcpSendFlags flags, out SocketError error)
    {
        var source = new ZeroCopySource(_call);
        int sent = _socket.TrySend(ref source, flags, out error);
        Queued += Math.Max(0, sent);
        return sent;
    }

    /// <summary>The call is over: what was queued keeps the memory, and a call that queued nothing leaves no trace.</summary>
    public void End()
    {
        if (_call.Close())
        {
            _call.ReleaseUnused();
        }

        _call.HandOut(Queued);
    }

    private sealed class Run : ReadOnlySequenceSegment<byte>
    {
        public Run(byte[] bytes, long runningIndex)
        {
            Memory = bytes;
            RunningIndex = runningIndex;
        }

        public void Follow(Run next) => Next = next;
    }
}
