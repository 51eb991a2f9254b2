namespace Penstock.Tool.Demo.Lab;

/// <summary>How one transfer went: the time until all had arrived, and what the sending side counted.</summary>
internal readonly record struct TransferResult(double Seconds, long InnerLocks, long ClockReads, int Flushes);

/// <summary>One send of warm memory over an in-process cable in real time, read by a thread of the peer.</summary>
internal static class Transfer
{
    public static TransferResult Run(FlushPolicy policy, DemoSettings settings, int bytes)
    {
        byte[] message = new byte[bytes];
        message.AsSpan().Fill(1);
        LivePair pair = LivePair.Connect(new PairOptions { Flush = policy }, settings);
        try
        {
            var reader = new Thread(() =>
            {
                byte[] buffer = new byte[1 << 18];
                for (int left = bytes; left > 0;)
                {
                    left -= pair.Peer.Receive(buffer);
                }
            });
            reader.Start();
            long inner = pair.Sender.Connection.InnerEntries, clock = pair.NearDriver.Reads, begin = TimeProvider.System.GetTimestamp();
            pair.Sender.Send(message, settings.EndOfRecord ? TcpSendFlags.EndOfRecord : TcpSendFlags.None);
            clock = pair.NearDriver.Reads - clock;
            reader.Join();
            return new TransferResult(
                TimeProvider.System.GetElapsedTime(begin).TotalSeconds, pair.Sender.Connection.InnerEntries - inner, clock, pair.Sender.GetInfo().BacklogFlushes);
        }
        finally
        {
            pair.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }
}
