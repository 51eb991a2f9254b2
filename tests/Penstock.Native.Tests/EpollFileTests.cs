using Penstock.Bsd;
using Penstock.Sockets;
using static Penstock.Native.Tests.Machine;

namespace Penstock.Native.Tests;

/// <summary>epoll: level, edge, one-shot, exclusive; and pipes.</summary>
public sealed class EpollFileTests
{
    private const int Add = 1, Delete = 2, Modify = 3;
    private const uint In = (uint)PollMask.In, Out = (uint)PollMask.Out;

    private readonly Machine _machine = new();
    private readonly EpollFile _epoll;

    public EpollFileTests() => _epoll = new EpollFile(_machine.Pace);

    [Fact]
    public void Level_triggered_is_told_until_it_is_read()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        Assert.Equal(0, _machine.Control(_epoll, Add, server, In));
        Assert.Empty(_machine.Wait(_epoll));
        _machine.Send(client, 10);
        Assert.Equal([(PollMask.In, 4ul)], _machine.Wait(_epoll));
        Assert.Equal([(PollMask.In, 4ul)], _machine.Wait(_epoll));
        _machine.Receive(server, 10);
        Assert.Empty(_machine.Wait(_epoll));
    }

    [Fact]
    public void Edge_triggered_is_told_once_for_each_arrival()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        _machine.Send(client, 10);
        Assert.Equal(0, _machine.Control(_epoll, Add, server, In | EpollItem.EdgeTriggered));
        Assert.Single(_machine.Wait(_epoll));
        Assert.Empty(_machine.Wait(_epoll));
        _machine.Send(client, 10);
        Assert.Single(_machine.Wait(_epoll));
        Assert.Empty(_machine.Wait(_epoll));
        Assert.Equal(20, _machine.Receive(server, 100));
    }

    [Fact]
    public void What_nobody_asked_for_does_not_wake_and_loses_nothing_that_was()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        Assert.Equal(0, _machine.Control(_epoll, Add, server, In | EpollItem.EdgeTriggered));
        _machine.Send(server, 100_000);
        _machine.Receive(client, 100_000, SocketFile.FlagWaitAll);
        Assert.Empty(_machine.Wait(_epoll));
        _machine.Send(client, 1);
        Assert.Single(_machine.Wait(_epoll));
    }

    [Fact]
    public void One_shot_is_silent_until_it_is_modified()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        Assert.Equal(0, _machine.Control(_epoll, Add, server, In | EpollItem.OneShot));
        _machine.Send(client, 10);
        Assert.Single(_machine.Wait(_epoll));
        _machine.Send(client, 10);
        Assert.Empty(_machine.Wait(_epoll));
        Assert.Equal(0, _machine.Control(_epoll, Modify, server, In | EpollItem.OneShot));
        Assert.Single(_machine.Wait(_epoll));
    }

    [Fact]
    public void Exclusive_takes_few_flags_and_cannot_be_modified()
    {
        (_, SocketFile server) = _machine.Pair();
        Assert.Equal(Error(Errno.EINVAL), _machine.Control(_epoll, Add, server, In | EpollItem.Exclusive | EpollItem.OneShot));
        Assert.Equal(0, _machine.Control(_epoll, Add, server, In | EpollItem.Exclusive));
        Assert.Equal(Error(Errno.EINVAL), _machine.Control(_epoll, Modify, server, In));
    }

    [Fact]
    public void Adding_twice_and_removing_what_is_not_there_fail()
    {
        (_, SocketFile server) = _machine.Pair();
        Assert.Equal(Error(Errno.ENOENT), _machine.Control(_epoll, Delete, server, 0));
        Assert.Equal(0, _machine.Control(_epoll, Add, server, Out));
        Assert.Equal(Error(Errno.EEXIST), _machine.Control(_epoll, Add, server, Out));
        Assert.Single(_machine.Wait(_epoll));
        Assert.Equal(0, _machine.Control(_epoll, Delete, server, 0));
        Assert.Empty(_machine.Wait(_epoll));
    }

    [Fact]
    public void A_closed_file_leaves_the_list()
    {
        (_, SocketFile server) = _machine.Pair();
        Assert.Equal(0, _machine.Control(_epoll, Add, server, Out));
        _machine.Call(server.Close);
        Assert.Empty(_machine.Wait(_epoll));
    }

    [Fact]
    public void A_wait_ends_at_its_time_and_with_its_event()
    {
        SocketFile listener = _machine.Listener(81);
        Assert.Equal(0, _machine.Control(_epoll, Add, listener, In));
        double before = _machine.Seconds;
        Assert.Empty(_machine.Wait(_epoll, 2500));
        Assert.Equal(2.5, _machine.Seconds - before, 6);
        SocketFile client = _machine.Socket();
        client.NonBlocking = true;
        _machine.Call(() => client.Connect(At(81)));
        Assert.Single(_machine.Wait(_epoll, 2500));
    }

    [Fact]
    public void A_listener_under_edge_triggered_epoll_tells_of_each_connection()
    {
        SocketFile listener = _machine.Listener(81);
        listener.NonBlocking = true;
        Assert.Equal(0, _machine.Control(_epoll, Add, listener, In | EpollItem.EdgeTriggered));
        for (int i = 0; i < 3; i++)
        {
            SocketFile client = _machine.Socket();
            Assert.Equal(0, _machine.Call(() => client.Connect(At(81))));
            Assert.Single(_machine.Wait(_epoll));
        }

        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(0, _machine.Call(() => listener.Accept(false, out _)));
        }

        Assert.Equal(Error(Errno.EAGAIN), _machine.Call(() => listener.Accept(false, out _)));
    }

    [Fact]
    public void A_pipe_carries_bytes_ends_and_breaks()
    {
        (PipeFile reader, PipeFile writer) = PipeFile.Make(_machine.Pace);
        reader.NonBlocking = writer.NonBlocking = true;
        Assert.Equal(Error(Errno.EAGAIN), _machine.Call(() => reader.Read(new byte[10])));
        Assert.Equal(65536, _machine.Call(() => writer.Write(new byte[100_000])));
        Assert.Equal(Error(Errno.EAGAIN), _machine.Call(() => writer.Write(new byte[1])));
        Assert.Equal(1, _machine.Poll(reader, PollMask.In, 0, out _));
        Assert.Equal(65536, _machine.Call(() => reader.Read(new byte[100_000])));
        _machine.Call(writer.Close);
        Assert.Equal(0, _machine.Call(() => reader.Read(new byte[10])));
        (reader, writer) = PipeFile.Make(_machine.Pace);
        _machine.Call(reader.Close);
        Assert.Equal(Error(Errno.EPIPE), _machine.Call(() => writer.Write(new byte[1])));
    }

    [Fact]
    public void Splice_moves_bytes_between_socket_and_pipe_and_drops_none()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        (PipeFile reader, PipeFile writer) = PipeFile.Make(_machine.Pace);
        _machine.Send(client, 300);
        Assert.Equal(100, _machine.Call(() => server.SpliceTo(writer, 100, waits: true)));
        Assert.Equal(200, _machine.Call(() => server.SpliceTo(writer, 1000, waits: true)));
        Assert.Equal(Error(Errno.EAGAIN), _machine.Call(() => server.SpliceTo(writer, 1000, waits: false)));
        Assert.Equal(300, _machine.Call(() => server.SpliceFrom(reader, 1000, more: false, waits: true)));
        Assert.Equal(300, _machine.Receive(client, 1000));
    }

    [Fact]
    public void Polling_a_closed_descriptor_says_so_and_a_negative_one_nothing()
    {
        Assert.Equal(1, _machine.Poll(null, PollMask.In, 1000, out PollMask found));
        Assert.Equal(PollMask.Invalid, found);
        var ignored = new PollEntry[] { new(null, PollMask.In) { IsIgnored = true } };
        double before = _machine.Seconds;
        Assert.Equal(0, _machine.Call(() => Polling.Poll(_machine.Pace, ignored, 1000)));
        Assert.Equal(1, _machine.Seconds - before, 6);
    }
}
