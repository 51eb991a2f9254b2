namespace Penstock.Tool.Demo.Lab;

/// <summary>How one transfer went: the time until all had arrived, and what the sending side counted.</summary>
internal readonly record struct TransferResult(double Seconds, long InnerLocks, long ClockReads, int Flushes);

/// <summary>
/// Sends of warm memory over an in-process cable in real time, one connection for all of them: its windows are open and its pools are warm, and a policy is a setting that holds from the next send on.
/// </summary>
internal sealed class Transfer : IAsyncDisposable
{
    private readonly LivePair _pair;
    private readonly byte[] _message;
    private readonly TcpSendFlags _flags;

    public Transfer(DemoSettings settings, int bytes)
    {
        _pair = LivePair.Connect(new PairOptions { Flush = FlushPolicy.Adaptive }, settings);
        _message = new byte[bytes];
        _message.AsSpan().Fill(1);
        _flags = settings.EndOfRecord ? TcpSendFlags.EndOfRecord : TcpSendFlags.None;
    }

    public TransferResult Run(FlushPolicy policy)
    {
        policy.ApplyTo(_pair.Near);
        var reader = new Thread(ReadAll);
        reader.Start();
        Tcp.TcpConnection connection = _pair.Sender.Connection;
        TcpInfo before = _pair.Sender.GetInfo();
        long inner = connection.InnerEntries, begin = TimeProvider.System.GetTimestamp();
        _pair.Sender.Send(_message, _flags);
        reader.Join();
        double seconds = TimeProvider.System.GetElapsedTime(begin).TotalSeconds;

        // The last acknowledgments are still on their way; the next run should not find them.
        while (connection.UnacknowledgedBytes > 0)
        {
            Thread.Yield();
        }

        TcpInfo after = _pair.Sender.GetInfo();
        return new TransferResult(
            seconds, connection.InnerEntries - inner, after.FlushClockReads - before.FlushClockReads, after.BacklogFlushes - before.BacklogFlushes);
    }

    public ValueTask DisposeAsync() => _pair.DisposeAsync();

    private void ReadAll()
    {
        byte[] buffer = new byte[1 << 18];
        for (int left = _message.Length; left > 0;)
        {
            left -= _pair.Peer.Receive(buffer.AsSpan(0, Math.Min(left, buffer.Length)));
        }
    }
}
