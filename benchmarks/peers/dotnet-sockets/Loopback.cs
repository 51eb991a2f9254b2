using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Penstock.Benchmarks.Sockets;

/// <summary>Both ends in this process over the loopback device, with the sizes and the checks of <c>penstock perf pipe</c>. Each test warms up for half of its time.</summary>
internal static class Loopback
{
    private const int SendSize = 64 << 10;
    private const int ReceiveSize = 256 << 10;
    private const int Period = 131_071;
    private const int Message = 64;
    private const int Batch = 64;
    private const int Clients = 16;

    /// <summary>Gbit/s of one connection in one direction; what arrives is compared with what must stand at its place.</summary>
    public static async Task<double> BulkAsync(double seconds)
    {
        byte[] pattern = GC.AllocateUninitializedArray<byte>(Period + ReceiveSize, pinned: true);
        new Random(7).NextBytes(pattern.AsSpan(0, Period));
        for (int i = Period; i < pattern.Length; i++)
        {
            pattern[i] = pattern[i - Period];
        }

        (Socket near, Socket far) = await PairAsync();
        using Socket ownedNear = near, ownedFar = far;
        Task sending = Task.Run(async () =>
        {
            try
            {
                for (int at = 0; ; at = (at + SendSize) % Period)
                {
                    await near.SendAsync(pattern.AsMemory(at, SendSize));
                }
            }
            catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
            {
                // The receiver has seen enough.
            }
        });
        byte[] buffer = GC.AllocateUninitializedArray<byte>(ReceiveSize, pinned: true);
        long received = 0;
        await ReceiveForAsync(seconds / 2);
        long before = received, begin = Stopwatch.GetTimestamp();
        await ReceiveForAsync(seconds);
        double result = (received - before) * 8 / 1e9 / Stopwatch.GetElapsedTime(begin).TotalSeconds;
        Reset(far);
        await sending;
        return result;

        async Task ReceiveForAsync(double time)
        {
            long from = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(from).TotalSeconds < time)
            {
                int length = await far.ReceiveAsync(buffer);
                if (length == 0 || !buffer.AsSpan(0, length).SequenceEqual(pattern.AsSpan((int)(received % Period), length)))
                {
                    throw new InvalidOperationException($"What arrived behind byte {received} is not what was sent.");
                }

                received += length;
            }
        }
    }

    /// <summary>Round trips a second of 64 bytes, one after the other.</summary>
    public static async Task<double> RoundTripsAsync(double seconds)
    {
        (Socket near, Socket far) = await PairAsync();
        using Socket ownedNear = near, ownedFar = far;
        Task echo = Task.Run(() => Server.EchoAsync(far));
        byte[] message = GC.AllocateArray<byte>(Message, pinned: true);
        await TripsForAsync(seconds / 2);
        long begin = Stopwatch.GetTimestamp();
        long trips = await TripsForAsync(seconds);
        double result = trips / Stopwatch.GetElapsedTime(begin).TotalSeconds;
        near.Dispose();
        await echo;
        return result;

        async Task<long> TripsForAsync(double time)
        {
            long from = Stopwatch.GetTimestamp(), done = 0;
            while (Stopwatch.GetElapsedTime(from).TotalSeconds < time)
            {
                for (int i = 0; i < Batch; i++, done++)
                {
                    await near.SendAsync(message);
                    for (int got = 0; got < Message;)
                    {
                        got += await near.ReceiveAsync(message.AsMemory(got));
                    }
                }
            }

            return done;
        }
    }

    /// <summary>Connections a second, several clients at a time: the server closes, the client reads the end and closes.</summary>
    public static async Task<double> ConnectAsync(double seconds)
    {
        using Socket listener = Listen();
        _ = Task.Run(async () =>
        {
            try
            {
                while (true)
                {
                    Socket accepted = await listener.AcceptAsync();
                    accepted.Dispose();
                }
            }
            catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
            {
                // The end of the run.
            }
        });
        long done = 0;
        bool ended = false;
        Task[] clients =
        [
            .. Enumerable.Range(0, Clients).Select(_ => Task.Run(async () =>
            {
                byte[] buffer = new byte[1];
                while (!Volatile.Read(ref ended))
                {
                    using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                    await socket.ConnectAsync(listener.LocalEndPoint!);
                    await socket.ReceiveAsync(buffer);
                    Interlocked.Increment(ref done);
                }
            })),
        ];
        await Task.Delay(TimeSpan.FromSeconds(seconds / 2));
        long before = Volatile.Read(ref done), begin = Stopwatch.GetTimestamp();
        await Task.WhenAny([Task.Delay(TimeSpan.FromSeconds(seconds)), .. clients]);
        double result = (Volatile.Read(ref done) - before) / Stopwatch.GetElapsedTime(begin).TotalSeconds;
        Volatile.Write(ref ended, true);
        await Task.WhenAll(clients);
        return result;
    }

    private static async Task<(Socket Near, Socket Far)> PairAsync()
    {
        using Socket listener = Listen();
        var near = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await near.ConnectAsync(listener.LocalEndPoint!);
        Socket far = await listener.AcceptAsync();
        far.NoDelay = true;
        return (near, far);
    }

    private static Socket Listen()
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(4096);
        return listener;
    }

    private static void Reset(Socket socket)
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }
}
