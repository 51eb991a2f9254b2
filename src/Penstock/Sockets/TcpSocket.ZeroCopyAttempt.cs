using System.Buffers;
using System.Net.Sockets;
using Penstock.Tcp;
using Penstock.Tcp.ZeroCopy;

namespace Penstock;

public sealed partial class TcpSocket
{
    /// <summary>One zero-copy send for callers that wait in their own way (native callers, drills): tried until it is done or given up, then ended. One id, however often it is tried.</summary>
    internal sealed class ZeroCopyAttempt(TcpSocket socket, ReadOnlySequence<byte> data)
    {
        private readonly TcpConnection _connection = socket._connection;
        private ZeroCopyCall? _call;
        private long _queued;

        /// <summary>Bytes queued so far.</summary>
        public long Queued => _queued;

        /// <summary>False while another zero-copy send of this socket waits for room in the middle of its bytes.</summary>
        public bool HasTurn => _call is not null;

        /// <summary>Everything is queued.</summary>
        public bool IsDone { get; private set; }

        /// <summary>Queues what fits. True: all is queued. False with <see cref="SocketError.Success"/>: wait for room and try again; else it failed.</summary>
        public bool Try(TcpSendFlags flags, out SocketError error)
        {
            error = SocketError.Success;
            if (_call is null)
            {
                // Another send that waits in the middle of its bytes has the turn.
                if (!_connection.TryTakeTurn())
                {
                    return false;
                }

                _call = _connection.ZeroCopy.RentCall(data, null);
            }

            var source = new ZeroCopySource(_call);
            _connection.Own();
            SendStatus status = _connection.RunSend(ref source, flags, ref _queued);
            if (status == SendStatus.Failed)
            {
                error = _queued == 0 ? socket.TakeSendError() : _connection.SendError;
            }

            _connection.Release();
            IsDone = status == SendStatus.Done;
            return IsDone;
        }

        /// <summary>No more will be tried: the call is closed, and its memory is given back when nothing refers to it.</summary>
        public void End()
        {
            if (_call is not { } call)
            {
                return;
            }

            _call = null;
            var source = new ZeroCopySource(call);
            socket.GiveTurn(ref source);
            call.HandOut((int)_queued);
        }
    }
}
