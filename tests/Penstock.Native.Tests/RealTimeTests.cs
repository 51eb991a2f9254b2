using System.Net;
using Penstock.Bsd;
using Penstock.Sockets;

namespace Penstock.Native.Tests;

/// <summary>The socket calls in real time, with threads on both sides: no event may be lost between looking and waiting.</summary>
public sealed class RealTimeTests : IAsyncDisposable
{
    private const int Connections = 4;
    private const int PerConnection = 4_000_000;

    private readonly NetworkStack _stack = new(new NetworkStackOptions { Name = "real", CloseTimeout = TimeSpan.Zero });
    private readonly RealPace _pace = new();

    public ValueTask DisposeAsync() => _stack.DisposeAsync();

    [Theory]
    [InlineData(EpollItem.EdgeTriggered)]
    [InlineData(0u)]
    public void Blocking_senders_and_an_epoll_reader_move_everything(uint trigger)
    {
        SocketFile listener = Listen(80);
        var epoll = new EpollFile(_pace);
        Thread[] senders = new Thread[Connections];
        for (int i = 0; i < Connections; i++)
        {
            senders[i] = new Thread(() =>
            {
                var client = new SocketFile(_stack, _pace);
                Assert.Equal(0, client.SetOption(1, 7, BitConverter.GetBytes(20_000)));
                Assert.Equal(0, client.Connect(new IPEndPoint(IPAddress.Loopback, 80)));
                byte[] data = new byte[50_000];
                for (int sent = 0; sent < PerConnection; sent += data.Length)
                {
                    Assert.Equal(data.Length, client.Write(data));
                }

                client.Close();
            });
            senders[i].Start();
        }

        SocketFile[] servers = new SocketFile[Connections];
        for (int i = 0; i < Connections; i++)
        {
            Assert.Equal(0, listener.Accept(true, out SocketFile? server));
            servers[i] = server!;
            Assert.Equal(0, epoll.Control(1, i, server!, (uint)PollMask.In | trigger, (ulong)i));
        }

        long received = 0;
        int ended = 0;
        byte[] buffer = new byte[10_000];
        while (ended < Connections)
        {
            List<int> ready = [];
            Assert.True(epoll.Wait(8, 30_000, (_, _, data) => ready.Add((int)data)) > 0, $"nothing came for long after {received} bytes");
            foreach (int index in ready)
            {
                int count;
                do
                {
                    count = servers[index].Read(buffer);
                    received += Math.Max(0, count);
                }
                while (count > 0 && trigger != 0);

                if (count == 0)
                {
                    ended++;
                    servers[index].Close();
                }
            }
        }

        Assert.Equal((long)Connections * PerConnection, received);
        Array.ForEach(senders, s => s.Join());
        epoll.Close();
        listener.Close();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_accept_that_waits_ends_when_its_listener_is_shut_down_or_closed(bool close)
    {
        SocketFile listener = Listen(80);
        int result = 0;
        var acceptor = new Thread(() => result = listener.Accept(false, out _));
        acceptor.Start();
        while ((acceptor.ThreadState & ThreadState.WaitSleepJoin) == 0)
        {
            Thread.Yield();
        }

        Assert.Equal(0, close ? listener.Close() : listener.Shutdown(0));
        acceptor.Join();
        Assert.Equal(-(int)Errno.EINVAL, result);
    }

    [Fact]
    public void A_poller_is_woken_by_room()
    {
        SocketFile listener = Listen(80);
        var client = new SocketFile(_stack, _pace);
        Assert.Equal(0, client.Connect(new IPEndPoint(IPAddress.Loopback, 80)));
        Assert.Equal(0, listener.Accept(false, out SocketFile? server));
        client.NonBlocking = true;
        byte[] data = new byte[100_000];
        while (client.Write(data) > 0)
        {
        }

        var reader = new Thread(() =>
        {
            byte[] buffer = new byte[100_000];
            while (server!.Read(buffer) > 0)
            {
            }
        });
        reader.Start();
        var entries = new PollEntry[] { new(client, PollMask.Out) };
        Assert.Equal(1, Polling.Poll(_pace, entries, 30_000));
        Assert.Equal(PollMask.Out, entries[0].Found);
        client.Close();
        reader.Join();
    }

    private SocketFile Listen(int port)
    {
        var listener = new SocketFile(_stack, _pace);
        Assert.Equal(0, listener.Bind(new IPEndPoint(IPAddress.Loopback, port)));
        Assert.Equal(0, listener.Listen(10));
        return listener;
    }
}
