using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>What a peer may send, at random, for the audits of the ledgers.</summary>
internal static class RandomArrival
{
    /// <summary>
    /// Has something arrive: acknowledgments whole, partial and selective, data in and out of order, windows. Returns what it was. <paramref name="wholeBuffers"/>: SACKs end where buffers do, so
    /// that these are merged.
    /// </summary>
    public static string Deliver(HandPeer peer, Random random, bool wholeBuffers = false)
    {
        string last;
        uint end = peer.SentEnd;
        int flight = Math.Max(0, (int)(end - peer.Acked));
        if (random.Next(10) == 0)
        {
            peer.Window = (uint)(random.Next(4) == 0 ? random.Next(0, 3) : random.Next(10, 65535));
        }

        switch (random.Next(9))
        {
            case 0:
            case 1:
                last = "ack all";
                peer.Ack(end);
                break;
            case 2:
            case 3:
                last = "ack some";
                peer.Ack(peer.Acked + (uint)(random.Next(2) == 0 ? random.Next(flight + 1) : flight / HandPeer.Mss / 2 * HandPeer.Mss));
                break;
            case 4:
            case 5:
                last = "sack";
                var options = default(TcpOptions);
                for (int i = random.Next(1, 4); i > 0 && flight > 2; i--)
                {
                    int from = random.Next(1, flight), to = random.Next(from, flight) + 1;
                    if (wholeBuffers)
                    {
                        (from, to) = BetweenBuffers(peer, from, to);
                    }
                    else if (random.Next(2) == 0)
                    {
                        from = Math.Max(1, from / HandPeer.Mss) * HandPeer.Mss;
                        to = Math.Max(from + 1, to / HandPeer.Mss * HandPeer.Mss);
                    }

                    if (to <= flight)
                    {
                        options.AddSackBlock(new SackBlock(new SequenceNumber(peer.Acked + (uint)from), new SequenceNumber(peer.Acked + (uint)to)));
                    }
                }

                peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked, options: options);
                break;
            case 6:
                last = "data";
                peer.Data(random.Next(1, 1461));
                break;
            case 7:
                last = "data out of order";
                peer.Deliver(TcpFlags.Ack, peer.Next + (uint)random.Next(1, 40_000), peer.Acked, random.Next(1, 1461));
                break;
            default:
                last = "old data";
                peer.Deliver(TcpFlags.Ack, peer.Next - (uint)random.Next(1, 2000), peer.Acked, random.Next(1, 1461));
                break;
        }

        return last;
    }

    /// <summary>Moves the edges of a SACK block out to those of the buffers it touches: what a receiver of whole segments reports.</summary>
    private static (int From, int To) BetweenBuffers(HandPeer peer, int from, int to)
    {
        foreach (QueuedBuffer buffer in peer.Connection.QueuedBuffers())
        {
            int start = (int)(buffer.Sequence - peer.Acked), end = start + buffer.Length;
            from = start > 0 && start <= from && from < end ? start : from;
            to = start < to && to <= end ? end : to;
        }

        return (from, to);
    }
}
