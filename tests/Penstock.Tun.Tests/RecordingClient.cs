using System.Collections.Concurrent;
using System.Net;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tun.Tests;

/// <summary>What a link delivered: the bytes and what the link noted on them.</summary>
internal sealed record Arrival(byte[] Bytes, int Queue, ChecksumState Checksum, int GsoSize, int SegmentCount, int TrueSize, long ArrivalNanos)
{
    public byte Version => (byte)(Bytes[0] >> 4);

    public IPv4Header Ip
    {
        get
        {
            Assert.True(IPv4Header.TryParse(Bytes, out IPv4Header header, out _));
            return header;
        }
    }

    public TcpSegmentHeader Tcp
    {
        get
        {
            Assert.True(TcpHeader.TryParse(Bytes.AsSpan(Ip.HeaderLength), out TcpSegmentHeader header, out _));
            return header;
        }
    }
}

/// <summary>Stands where a stack's interface would, above a link: records what is delivered and sends packets made by hand.</summary>
internal sealed unsafe class RecordingClient : ILinkClient, IReceiver, IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly Link _link;
    private readonly Worker[] _workers;
    private readonly BlockingCollection<Arrival> _arrivals = [];
    private readonly TaskCompletionSource<Exception> _failure = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _dropped;
    private int _failures;

    public RecordingClient(Link link, long memoryLimit = 16 << 20)
    {
        _link = link;
        Pool = new PacketPool(memoryLimit);
        _workers = new Worker[link.QueueCount];
        for (int i = 0; i < _workers.Length; i++)
        {
            Driver driver = link.CreateDriver(i)!;
            _workers[i] = new Worker(driver, i);
            driver.Start(_workers[i]);
        }

        link.Attach(this);
    }

    public PacketPool Pool { get; }

    public int Dropped => Volatile.Read(ref _dropped);

    public int Failures => Volatile.Read(ref _failures);

    public Worker WorkerOf(int queue) => _workers[queue];

    public void Deliver(PacketBuffer packet, int queue)
    {
        packet.Ingress = this;
        packet.SourcePort = (ushort)queue;
        _workers[queue].Post(packet);
    }

    public void Receive(PacketBuffer packet, Worker worker)
    {
        _arrivals.Add(new Arrival(
            packet.FirstSpan.ToArray(), packet.SourcePort, packet.Checksum, packet.GsoSize, packet.SegmentCount, packet.TrueSize, packet.ArrivalNanos));
        packet.Free();
    }

    public void OnSpace()
    {
    }

    public void OnFailed(Exception reason)
    {
        Interlocked.Increment(ref _failures);
        _failure.TrySetResult(reason);
    }

    public void OnReceiveDropped() => Interlocked.Increment(ref _dropped);

    /// <summary>
    /// The next packet that satisfies <paramref name="condition"/>; others, such as the kernel's IPv6 chatter, are passed over.
    /// </summary>
    public Arrival Next(Func<Arrival, bool> condition)
    {
        while (_arrivals.TryTake(out Arrival? arrival, (int)Patience.TotalMilliseconds, TestContext.Current.CancellationToken))
        {
            if (condition(arrival))
            {
                return arrival;
            }
        }

        Assert.Fail("No such packet came.");
        return null!;
    }

    public Exception NextFailure()
    {
        Assert.True(_failure.Task.Wait(Patience, TestContext.Current.CancellationToken), "The link did not report a failure.");
        return _failure.Task.Result;
    }

    /// <summary>
    /// Sends a TCP segment with a partial checksum; its payload is cut into <paramref name="fragments"/> pieces of equal size.
    /// </summary>
    public void SendTcp(
        IPEndPoint from, IPEndPoint to, TcpFlags flags, uint sequence, uint acknowledgment, byte[] payload, int segmentSize = 0, int fragments = 1,
        byte[]? options = null)
    {
        options ??= [];
        IpAddress source = IpAddress.From(from.Address), destination = IpAddress.From(to.Address);
        int headerLength = TcpHeader.MinLength + options.Length;
        PacketBuffer packet = Pool.RentBuffer()!;
        Assert.True(packet.TryRentHead());
        for (int i = 0; i < fragments && payload.Length > 0; i++)
        {
            ReadOnlySpan<byte> piece = payload.AsSpan((payload.Length * i / fragments)..(payload.Length * (i + 1) / fragments));
            Slab slab = Pool.RentSlab(piece.Length)!;
            piece.CopyTo(slab.Array);
            packet.Append(slab, slab.Address, piece.Length);
        }

        Span<byte> tcp = packet.PushHead(headerLength);
        options.CopyTo(tcp[TcpHeader.MinLength..]);
        TcpHeader.Write(tcp, new TcpSegmentHeader
        {
            SourcePort = (ushort)from.Port,
            DestinationPort = (ushort)to.Port,
            Sequence = new SequenceNumber(sequence),
            Acknowledgment = new SequenceNumber(acknowledgment),
            Flags = flags,
            Window = 65535,
            HeaderLength = (byte)headerLength,
        });
        uint pseudo = Checksum.PseudoHeader(source, destination, IpProtocol.Tcp, (uint)(headerLength + payload.Length));
        TcpHeader.WriteChecksum(tcp, Checksum.ToNetwork(pseudo));
        packet.Checksum = ChecksumState.Partial;
        packet.ChecksumStart = IPv4Header.MinLength;
        packet.GsoSize = segmentSize;
        packet.SegmentCount = segmentSize == 0 ? 1 : (payload.Length + segmentSize - 1) / segmentSize;
        new IPv4Header
        {
            Source = source,
            Destination = destination,
            Protocol = IpProtocol.Tcp,
            TimeToLive = 64,
            TotalLength = (ushort)(IPv4Header.MinLength + headerLength + payload.Length),
        }.Write(packet.PushHead(IPv4Header.MinLength));
        Assert.True(LinkOutput.Transmit(_link, packet, out _));
    }

    /// <summary>Stops the workers, closes the link and finds that every buffer and slab came back.</summary>
    public void Dispose()
    {
        foreach (Worker worker in _workers)
        {
            worker.Driver.Stop(worker);
        }

        _link.Dispose();
        foreach (Worker worker in _workers)
        {
            worker.Close();
        }

        _arrivals.Dispose();
        Assert.Equal(0, Pool.RentedBuffers);
        Assert.Equal(0, Pool.RentedSlabs);
    }
}
