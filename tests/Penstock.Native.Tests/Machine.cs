using System.Buffers.Binary;
using System.Net;
using Penstock.Bsd;
using Penstock.Sockets;
using Penstock.Time;

namespace Penstock.Native.Tests;

/// <summary>A stack with nothing but its loopback, in virtual time, and the socket calls over it as a program would make them.</summary>
internal sealed unsafe class Machine
{
    public const int LevelSocket = 1, LevelTcp = 6, LevelIp = 0;
    private int _next = 3;

    public Machine()
    {
        Time = new VirtualTime();
        Pace = new VirtualPace(Time);
        Stack = new NetworkStack(new NetworkStackOptions { Driver = Time, Seed = 1 });
        Files = new DescriptorTable(() => _next++, descriptor => Closed.Add(descriptor));
    }

    public VirtualTime Time { get; }

    public VirtualPace Pace { get; }

    public NetworkStack Stack { get; }

    public DescriptorTable Files { get; }

    /// <summary>Descriptors that were given back to the operating system.</summary>
    public List<int> Closed { get; } = [];

    public double Seconds => (Time.NowNanos - 1_000_000_000) / 1e9;

    public static IPEndPoint At(int port) => new(IPAddress.Loopback, port);

    public SocketFile Socket() => new(Stack, Pace);

    public SocketFile Listener(int port)
    {
        SocketFile socket = Socket();
        Assert.Equal(0, Call(() => socket.Bind(At(port))));
        Assert.Equal(0, Call(() => socket.Listen(10)));
        return socket;
    }

    public (SocketFile Client, SocketFile Server) Pair(Action<SocketFile>? listener = null)
    {
        SocketFile listening = Listener(80);
        listener?.Invoke(listening);
        SocketFile client = Socket();
        Assert.Equal(0, Call(() => client.Connect(At(80))));
        SocketFile? server = null;
        Assert.Equal(0, Call(() => listening.Accept(false, out server)));
        return (client, server!);
    }

    /// <summary>One call, as a program makes it.</summary>
    public int Call(Func<int> call)
    {
        Pace.Enter();
        try
        {
            return call();
        }
        finally
        {
            Pace.Exit();
        }
    }

    public int Send(SocketFile socket, int count, int flags = 0, byte value = 7) => Call(() =>
    {
        byte[] data = new byte[count];
        data.AsSpan().Fill(value);
        fixed (byte* address = data)
        {
            var vector = new IoVector(address, (nuint)count);
            return socket.Send(new IoVectors(&vector, 1), flags);
        }
    });

    public int Receive(SocketFile socket, int count, int flags = 0) => Call(() =>
    {
        byte[] data = new byte[count];
        fixed (byte* address = data)
        {
            var vector = new IoVector(address, (nuint)count);
            return socket.Receive(new IoVectors(&vector, 1), flags);
        }
    });

    public int Set(SocketFile socket, int level, int name, int value)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
        return Call(() => socket.SetOption(level, name, bytes));
    }

    public int Get(SocketFile socket, int level, int name)
    {
        byte[] bytes = new byte[4];
        int result = Call(() => socket.GetOption(level, name, bytes));
        return result < 0 ? result : BinaryPrimitives.ReadInt32LittleEndian(bytes);
    }

    public int Poll(OpenFile? file, PollMask events, int milliseconds, out PollMask found)
    {
        var entries = new PollEntry[] { new(file, events) };
        int result = Call(() => Polling.Poll(Pace, entries, milliseconds));
        found = entries[0].Found;
        return result;
    }

    public List<(PollMask Events, ulong Data)> Wait(EpollFile epoll, int milliseconds = 0)
    {
        List<(PollMask, ulong)> found = [];
        int count = Call(() => epoll.Wait(10, milliseconds, (_, events, data) => found.Add(((PollMask)events, data))));
        Assert.Equal(found.Count, count);
        return found;
    }

    public int Control(EpollFile epoll, int operation, OpenFile file, uint events, int descriptor = 4) =>
        Call(() => epoll.Control(operation, descriptor, file, events, (ulong)descriptor));

    public static int Error(Errno error) => -(int)error;
}
