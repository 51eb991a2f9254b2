using System.Net;
using System.Net.Sockets;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Fuzz;

/// <summary>
/// Two stacks whose packets pass through the input's hands: passed on, lost, repeated, held back, changed with the checksum put right. Where nothing was changed, every byte that was sent arrives in
/// the end; in any case the invariants hold after each step and nothing is left.
/// </summary>
internal sealed class PairTarget : IDisposable
{
    /// <summary>
    /// The soonest that a connection is given up is 240 s after its first retransmission (a shut window and no answer, twice the longest timeout). The timer that ends it may be armed up
    /// to 120 s before: until now this wire may have lost what it sent.
    /// </summary>
    private const long EnoughToGiveUpNanos = 120 * Nanos.PerSecond;

    private static readonly IPEndPoint Server = new(IPAddress.Parse("10.1.0.2"), 80);
    private readonly ChoiceReader _choices;
    private readonly VirtualTime _time = new();
    private readonly NetworkStack[] _stacks = new NetworkStack[2];
    private readonly PacketLink[] _links = new PacketLink[2];
    private readonly Application[] _applications = new Application[2];
    private readonly List<byte[]>[] _wires = [[], []];
    private readonly byte[] _packet = new byte[65535];
    private bool _changed;

    private PairTarget(ChoiceReader choices)
    {
        _choices = choices;
        byte settings = choices.Byte();
        for (int i = 0; i < 2; i++)
        {
            _stacks[i] = new NetworkStack(new NetworkStackOptions { Driver = _time, Seed = (ulong)(settings + i) });
            Tcp.TcpSettings tcp = _stacks[i].Tcp.Settings;
            tcp.Sack = (settings & 1) == 0;
            tcp.Timestamps = (settings & 2) == 0;
            tcp.WindowScaling = (settings & 4) == 0;
            tcp.CongestionControl = (settings & 8) == 0 ? "cubic" : "reno";
            tcp.EarlyRetrans = (settings & 16) == 0 ? 3 : 0;
            tcp.Recovery = (settings & 32) == 0 ? 1 : 0;
            if ((settings & 64) != 0)
            {
                tcp.ReceiveBufferDefault = 8192;
                tcp.ReceiveBufferMax = 16384;
            }

            _links[i] = new PacketLink(new PacketLinkOptions { Mtu = (settings & 128) == 0 ? 1500 : 576, MergeReceived = (settings & 1) == 0 });
            _stacks[i].AddInterface(_links[i], new InterfaceAddress(IPAddress.Parse($"10.1.0.{i + 1}"), 24));
            _applications[i] = new Application(_stacks[i]);
        }
    }

    public static void Run(byte[] input)
    {
        using var pair = new PairTarget(new ChoiceReader(input));
        pair.Go();
    }

    public void Dispose()
    {
        foreach (Application application in _applications)
        {
            application.Dispose();
        }
    }

    private void Go()
    {
        using TcpSocketListener listener = _stacks[1].ListenTcp(Server);
        TcpSocket client = _stacks[0].BeginConnectTcp(Server, new TcpConnectOptions());
        Settle();
        PassAll(TimeSpan.FromSeconds(1));
        TcpSocket server = listener.TryAccept() ?? throw new FuzzFailureException("no connection over a perfect wire");
        var up = new Transfer(client, server, 1 + (_choices.UInt16() * 4));
        var down = new Transfer(server, client, 1 + (_choices.Byte() * 64));
        Task all = Task.WhenAll(up.RunAsync(), down.RunAsync());
        bool wild = _choices.OneIn(4);
        if (wild)
        {
            _applications[0].Add(client);
            _applications[1].Add(server);
        }

        long began = _time.NowNanos;
        for (int step = 0; step < 600 && !_choices.IsAtEnd; step++)
        {
            Step(wild);
            Settle();
        }

        foreach (Application application in _applications)
        {
            application.Release();
        }

        long took = _time.NowNanos - began;
        if (!wild && !_changed)
        {
            PassAll(TimeSpan.FromMinutes(30), all);

            // A wire that was bad for so long may have hidden every answer from one end, which then gives up with reason; what arrived is right all the same.
            if (took >= EnoughToGiveUpNanos && (HasTimedOut(client) || HasTimedOut(server)))
            {
                up.CheckBytes();
                down.CheckBytes();
            }
            else
            {
                FuzzFailureException.Unless(all.IsCompleted, $"a transfer hangs at {up} up and {down} down: {client.GetInfo()}, {server.GetInfo()}");
                all.GetAwaiter().GetResult();
                up.Check();
                down.Check();
            }
        }

        client.Dispose();
        server.Dispose();
        PassAll(TimeSpan.FromSeconds(70));
        foreach (NetworkStack stack in _stacks)
        {
            _time.Run(() => stack.DisposeAsync().AsTask(), TimeSpan.FromMinutes(10));
        }

        _time.RunReady();
        FuzzFailureException.Unless(all.IsCompleted, "a transfer waits for a stack that is gone");
        for (int i = 0; i < 2; i++)
        {
            _applications[i].CheckNothingWaits();
            Cleanliness.Check(_stacks[i]);
        }
    }

    private static bool HasTimedOut(TcpSocket socket) => socket.Connection.FinalError == SocketError.TimedOut;

    private void Step(bool wild)
    {
        int from = _choices.Below(2);
        List<byte[]> wire = _wires[from];
        int choice = _choices.Below(16);
        if (wire.Count == 0 && choice < 12)
        {
            choice = 12;
        }

        switch (choice)
        {
            case 0 or 1 or 2 or 3 or 4 or 5:
                Deliver(from, Take(wire, 0));
                break;
            case 6 or 7:
                Take(wire, 0);
                break;
            case 8:
                Deliver(from, wire[0]);
                break;
            case 9 or 10:
                Deliver(from, Take(wire, _choices.Below(wire.Count)));
                break;
            case 11:
                if (wild)
                {
                    Deliver(from, Change(Take(wire, 0)));
                }
                else
                {
                    byte[] broken = (byte[])Take(wire, 0).Clone();
                    broken[_choices.Below(Math.Min(broken.Length, 256))] ^= (byte)(1 << _choices.Below(8));
                    Deliver(from, broken);
                }

                break;
            case 12 or 13:
                ReadOnlySpan<long> milliseconds = [0, 1, 10, 41, 201, 1000, 5000];
                _time.RunUntil(_time.NowNanos + (_choices.Pick(milliseconds) * Nanos.PerMillisecond));
                break;
            case 14:
                for (int i = _choices.Byte(); i > 0 && wire.Count > 0; i--)
                {
                    Deliver(from, Take(wire, 0));
                    Collect();
                }

                break;
            default:
                if (wild)
                {
                    _applications[from].Act(_choices);
                }

                break;
        }
    }

    private byte[] Change(byte[] original)
    {
        _changed = true;
        byte[] packet = (byte[])original.Clone();
        int fields = 1 + _choices.Below(3);
        for (int i = 0; i < fields; i++)
        {
            packet[_choices.Pick<int>([21, 24, 25, 26, 27, 28, 29, 30, 31, 33, 33, 34, 35, 38, 39, 33]) % packet.Length] ^= _choices.Byte();
        }

        if (packet.Length > 60)
        {
            packet[40 + _choices.Below(20)] ^= _choices.Byte();
        }

        RawSegment.Repair(packet);
        return packet;
    }

    private static byte[] Take(List<byte[]> wire, int index)
    {
        byte[] packet = wire[index];
        wire.RemoveAt(index);
        return packet;
    }

    private void Deliver(int from, byte[] packet)
    {
        _links[1 - from].Inject(packet);
        _time.RunReady();
    }

    private void Collect()
    {
        for (int i = 0; i < 2; i++)
        {
            while (_links[i].TryRead(_packet, out int length))
            {
                _wires[i].Add(_packet.AsSpan(0, length).ToArray());
                if (_links[i].QueuedPackets == 0)
                {
                    _time.RunReady();
                }
            }
        }
    }

    private void Settle()
    {
        _time.RunReady();
        Collect();
        _applications[0].CheckInvariants();
        _applications[1].CheckInvariants();
    }

    /// <summary>A perfect wire for some time, or until something has ended.</summary>
    private void PassAll(TimeSpan limit, Task? until = null)
    {
        long end = _time.NowNanos + Nanos.From(limit);
        while (until is not { IsCompleted: true })
        {
            Settle();
            bool any = false;
            for (int i = 0; i < 2; i++)
            {
                foreach (byte[] packet in _wires[i])
                {
                    _links[1 - i].Inject(packet);
                    any = true;
                }

                _wires[i].Clear();
            }

            if (any)
            {
                continue;
            }

            long next = _time.NextEventNanos;
            if (next > end)
            {
                return;
            }

            _time.RunUntil(next);
        }
    }

    /// <summary>One direction: so many bytes of a known stream, then the end.</summary>
    private sealed class Transfer(TcpSocket from, TcpSocket to, int bytes)
    {
        private int _sent;
        private int _received;
        private bool _wrong;

        public async Task RunAsync()
        {
            try
            {
                await Task.WhenAll(SendAsync(), ReceiveAsync()).ConfigureAwait(false);
            }
            catch (Exception error) when (Application.IsExpected(error))
            {
            }
        }

        public override string ToString() => $"{_received} of {_sent} of {bytes}";

        private async Task SendAsync()
        {
            byte[] chunk = new byte[10_000];
            while (_sent < bytes)
            {
                int length = Math.Min(chunk.Length, bytes - _sent);
                for (int i = 0; i < length; i++)
                {
                    chunk[i] = ByteAt(_sent + i);
                }

                _sent += await from.SendAsync(chunk.AsMemory(0, length)).ConfigureAwait(false);
            }

            await from.ShutdownAsync(SocketShutdown.Send).ConfigureAwait(false);
        }

        private async Task ReceiveAsync()
        {
            byte[] chunk = new byte[7_000];
            while (true)
            {
                int length = await to.ReceiveAsync(chunk).ConfigureAwait(false);
                if (length == 0)
                {
                    break;
                }

                for (int i = 0; i < length; i++)
                {
                    _wrong |= chunk[i] != ByteAt(_received + i);
                }

                _received += length;
            }
        }

        public void CheckBytes() => FuzzFailureException.Unless(!_wrong, "wrong bytes arrived");

        public void Check()
        {
            CheckBytes();
            FuzzFailureException.Unless(_received == bytes, $"not all bytes arrived: {this}");
        }

        private static byte ByteAt(int position) => (byte)((position * 31) ^ (position >> 8));
    }
}
