using System.Buffers.Binary;
using System.Net;
using Penstock.Bsd;
using Penstock.Sockets;
using Penstock.Time;
using static Penstock.Native.Tests.Machine;

namespace Penstock.Native.Tests;

/// <summary>The socket calls: what they give, when they wait, and how long.</summary>
public sealed class SocketFileTests
{
    private readonly Machine _machine = new();

    [Fact]
    public void A_connection_over_the_loopback_carries_bytes_and_its_end()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        Assert.Equal(1000, _machine.Send(client, 1000));
        Assert.Equal(600, _machine.Receive(server, 600));
        Assert.Equal(400, _machine.Receive(server, 600));
        Assert.Equal(0, _machine.Call(() => client.Shutdown(1)));
        Assert.Equal(0, _machine.Receive(server, 600));
        Assert.Equal(Error(Errno.EPIPE), _machine.Send(client, 1));
    }

    [Fact]
    public void Calls_on_a_socket_without_a_connection_fail_as_in_Linux()
    {
        SocketFile socket = _machine.Socket();
        Assert.Equal(Error(Errno.ENOTCONN), _machine.Receive(socket, 1));
        Assert.Equal(Error(Errno.EPIPE), _machine.Send(socket, 1));
        Assert.Equal(Error(Errno.ENOTCONN), _machine.Call(() => socket.Shutdown(2)));
        Assert.Equal(Error(Errno.EINVAL), _machine.Call(() => socket.Accept(false, out _)));
        Assert.Equal(1, _machine.Poll(socket, PollMask.Out, 0, out PollMask found));
        Assert.Equal(PollMask.Out | PollMask.HangUp, found);
    }

    [Fact]
    public void A_second_connect_that_waits_in_vain_says_that_one_is_under_way()
    {
        SocketFile listener = _machine.Listener(80);
        Assert.Equal(0, _machine.Call(() => listener.Listen(0)));
        Assert.Equal(0, _machine.Call(() => _machine.Socket().Connect(At(80))));

        // The backlog is full: SYNs are dropped.
        SocketFile socket = _machine.Socket();
        byte[] time = new byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(time.AsSpan(8), 200_000);
        Assert.Equal(0, _machine.Call(() => socket.SetOption(LevelSocket, 21, time)));
        Assert.Equal(Error(Errno.EINPROGRESS), _machine.Call(() => socket.Connect(At(80))));
        Assert.Equal(Error(Errno.EALREADY), _machine.Call(() => socket.Connect(At(80))));
    }

    [Fact]
    public void A_linger_time_stays_when_lingering_is_switched_off_and_a_negative_one_is_for_ever()
    {
        SocketFile socket = _machine.Socket();
        Assert.Equal((0, 0), Lingers());
        Set(1, 5);
        Assert.Equal((1, 5), Lingers());
        Set(0, 9);
        Assert.Equal((0, 5), Lingers());
        Set(7, -3);
        Assert.Equal((1, unchecked((int)(long.MaxValue / 1000))), Lingers());

        void Set(int on, int seconds)
        {
            byte[] value = [.. BitConverter.GetBytes(on), .. BitConverter.GetBytes(seconds)];
            Assert.Equal(0, _machine.Call(() => socket.SetOption(LevelSocket, 13, value)));
        }

        (int On, int Seconds) Lingers()
        {
            byte[] value = new byte[8];
            Assert.Equal(8, _machine.Call(() => socket.GetOption(LevelSocket, 13, value)));
            return (BitConverter.ToInt32(value), BitConverter.ToInt32(value, 4));
        }
    }

    [Fact]
    public void A_connect_that_nobody_answers_is_refused()
    {
        SocketFile socket = _machine.Socket();
        Assert.Equal(Error(Errno.ECONNREFUSED), _machine.Call(() => socket.Connect(At(81))));
    }

    [Fact]
    public void A_non_blocking_connect_is_in_progress_then_done_then_connected_already()
    {
        _machine.Listener(80);
        SocketFile socket = _machine.Socket();
        socket.NonBlocking = true;
        Assert.Equal(Error(Errno.EINPROGRESS), _machine.Call(() => socket.Connect(At(80))));
        Assert.Equal(1, _machine.Poll(socket, PollMask.Out, 1000, out PollMask found));
        Assert.Equal(PollMask.Out, found);
        Assert.Equal(0, _machine.Get(socket, LevelSocket, 4));
        Assert.Equal(0, _machine.Call(() => socket.Connect(At(80))));
        Assert.Equal(Error(Errno.EISCONN), _machine.Call(() => socket.Connect(At(80))));
    }

    [Fact]
    public void A_receive_timeout_ends_the_wait_at_its_time()
    {
        (SocketFile client, _) = _machine.Pair();
        byte[] timeval = new byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(timeval, 5);
        Assert.Equal(0, _machine.Call(() => client.SetOption(LevelSocket, 20, timeval)));
        double before = _machine.Seconds;
        Assert.Equal(Error(Errno.EAGAIN), _machine.Receive(client, 10));
        Assert.Equal(5, _machine.Seconds - before, 6);
    }

    [Fact]
    public void A_thread_that_waits_goes_on_at_the_very_moment_its_data_comes()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        long begun = _machine.Pace.ReadClock();
        long ended = 0;
        int received = 0;
        var entered = new ManualResetEventSlim();
        var reader = new Thread(() =>
        {
            entered.Set();
            received = _machine.Receive(server, 100);
            ended = _machine.Pace.ReadClock();
        });
        reader.Start();
        entered.Wait(TestContext.Current.CancellationToken);
        while ((reader.ThreadState & ThreadState.WaitSleepJoin) == 0)
        {
            Thread.Yield();
        }

        _machine.Pace.Sleep(3 * Nanos.PerSecond);
        Assert.Equal(0, received);
        Assert.Equal(50, _machine.Send(client, 50));
        _machine.Pace.Sleep(3600 * Nanos.PerSecond);
        reader.Join();
        Assert.Equal(50, received);
        Assert.InRange(ended - begun, 3 * Nanos.PerSecond, (3 * Nanos.PerSecond) + (10 * Nanos.PerMillisecond));
    }

    [Fact]
    public void A_peek_takes_nothing_and_a_truncating_receive_copies_nothing()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        _machine.Send(client, 100);
        Assert.Equal(60, _machine.Receive(server, 60, SocketFile.FlagPeek));
        Assert.Equal(70, _machine.Receive(server, 70, SocketFile.FlagTruncate));
        Assert.Equal(30, _machine.Receive(server, 100));
        Assert.Equal(Error(Errno.EAGAIN), _machine.Receive(server, 1, SocketFile.FlagDontWait));
    }

    [Fact]
    public unsafe void A_null_buffer_is_a_fault_when_there_is_something_to_copy()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        var nothing = new IoVector(null, 10);
        IoVector* vector = &nothing;
        Assert.Equal(Error(Errno.EFAULT), _machine.Call(() => client.Send(new IoVectors(vector, 1), 0)));
        Assert.Equal(Error(Errno.EAGAIN), _machine.Call(() => server.Receive(new IoVectors(vector, 1), SocketFile.FlagDontWait)));
        _machine.Send(client, 10);
        Assert.Equal(Error(Errno.EFAULT), _machine.Call(() => server.Receive(new IoVectors(vector, 1), 0)));
        Assert.Equal(10, _machine.Receive(server, 10));
    }

    [Fact]
    public unsafe void A_null_buffer_is_no_fault_while_connecting_nor_when_sending_has_ended()
    {
        var nothing = new IoVector(null, 10);
        IoVector* vector = &nothing;
        SocketFile opening = _machine.Socket();
        opening.StatusFlags = 0x800; // O_NONBLOCK
        Assert.Equal((Error(Errno.EINPROGRESS), Error(Errno.EAGAIN)), Both(() => opening.Connect(At(80)), () => opening.Send(new IoVectors(vector, 1), 0)));

        (SocketFile client, _) = _machine.Pair();
        Assert.Equal(0, _machine.Call(() => client.Shutdown(1)));
        Assert.Equal(Error(Errno.EPIPE), _machine.Call(() => client.Send(new IoVectors(vector, 1), SocketFile.FlagNoSignal)));

        // In one go, so that nothing is delivered in between.
        (int, int) Both(Func<int> first, Func<int> second)
        {
            int one = 0;
            int two = _machine.Call(() =>
            {
                one = first();
                return second();
            });
            return (one, two);
        }
    }

    [Fact]
    public unsafe void A_scattered_read_that_reaches_a_null_buffer_takes_nothing_and_one_that_does_not_is_none_the_worse()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        byte[] there = new byte[4];
        fixed (byte* address = there)
        {
            IoVector* vectors = stackalloc IoVector[2];
            vectors[0] = new IoVector(address, 4);
            vectors[1] = new IoVector(null, 10);
            _machine.Send(client, 10);
            Assert.Equal(Error(Errno.EFAULT), Receive(SocketFile.FlagPeek));
            Assert.Equal(Error(Errno.EFAULT), Receive(0));
            Assert.Equal(Error(Errno.EFAULT), Receive(SocketFile.FlagWaitAll));
            Assert.Equal(10, _machine.Receive(server, 20));

            _machine.Send(client, 3);
            Assert.Equal(3, Receive(SocketFile.FlagPeek));
            Assert.Equal(3, Receive(0));

            _machine.Send(client, 4);
            Assert.Equal(4, Receive(SocketFile.FlagWaitAll));

            int Receive(int flags) => _machine.Call(() => server.Receive(new IoVectors(vectors, 2), flags));
        }

        Assert.Equal(new byte[] { 7, 7, 7, 7 }, there);
    }

    [Fact]
    public unsafe void A_send_ends_where_a_null_buffer_begins()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        Assert.Equal(0, _machine.Set(client, LevelSocket, 60, 1));
        byte[] there = new byte[4];
        fixed (byte* address = there)
        {
            IoVector* vectors = stackalloc IoVector[2];
            vectors[0] = new IoVector(address, 4);
            vectors[1] = new IoVector(null, 10);
            Assert.Equal(4, _machine.Call(() => client.Send(new IoVectors(vectors, 2), 0)));
            Assert.Equal(4, _machine.Call(() => client.Send(new IoVectors(vectors, 2), SocketFile.FlagZeroCopy)));
            Assert.Equal(Error(Errno.EFAULT), _machine.Call(() => client.Send(new IoVectors(vectors + 1, 1), SocketFile.FlagZeroCopy)));
        }

        Assert.Equal(8, _machine.Receive(server, 20));
    }

    [Fact]
    public void What_was_read_counts_and_the_error_is_for_the_next_call()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        Assert.Equal(0, _machine.Call(() => client.SetOption(LevelSocket, 13, [1, 0, 0, 0, 0, 0, 0, 0])));
        _machine.Send(client, 10);
        int received = 0;
        var reader = new Thread(() => received = _machine.Receive(server, 100, SocketFile.FlagWaitAll));
        reader.Start();
        while ((reader.ThreadState & ThreadState.WaitSleepJoin) == 0)
        {
            Thread.Yield();
        }

        Assert.Equal(0, _machine.Call(client.Close));
        _machine.Pace.Sleep(Nanos.PerSecond);
        reader.Join();
        Assert.Equal(10, received);
        Assert.Equal(Error(Errno.ECONNRESET), _machine.Receive(server, 1));
    }

    [Fact]
    public void A_peek_that_waits_for_all_counts_nothing_twice()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        _machine.Send(client, 10);
        Assert.Equal(10, _machine.Receive(server, 100, SocketFile.FlagPeek | SocketFile.FlagTruncate));
        Assert.Equal(10, _machine.Receive(server, 100, SocketFile.FlagPeek | SocketFile.FlagWaitAll | SocketFile.FlagDontWait));
        Assert.Equal(0, _machine.Call(() => client.Shutdown(1)));
        Assert.Equal(10, _machine.Receive(server, 100, SocketFile.FlagPeek | SocketFile.FlagWaitAll));
        Assert.Equal(10, _machine.Receive(server, 100, SocketFile.FlagWaitAll));
    }

    [Theory]
    [InlineData(4, 0xffff_ffffL, -1L, 0xffff_ffffL)]
    [InlineData(4, 0xf000_0000L, 0xf000_0000L, 0xf000_0000L)]
    [InlineData(8, 10_000_000_000L, 10_000_000_000L, 0xffff_ffffL)]
    [InlineData(8, 0xffff_ffffL, 0xffff_ffffL, 0xffff_ffffL)]
    [InlineData(8, -1L, -1L, 0xffff_ffffL)]
    public void The_pacing_rate_is_set_and_read_in_four_bytes_or_eight(int size, long value, long inEight, long inFour)
    {
        const int MaximumPacingRate = 47;
        (SocketFile client, _) = _machine.Pair();
        byte[] bytes = BitConverter.GetBytes(value);
        Assert.Equal(0, _machine.Call(() => client.SetOption(LevelSocket, MaximumPacingRate, bytes.AsSpan(0, size))));
        Assert.Equal(8, _machine.Call(() => client.GetOption(LevelSocket, MaximumPacingRate, bytes)));
        Assert.Equal(inEight, BitConverter.ToInt64(bytes));
        Assert.Equal(4, _machine.Call(() => client.GetOption(LevelSocket, MaximumPacingRate, bytes.AsSpan(0, 4))));
        Assert.Equal(inFour, BitConverter.ToUInt32(bytes));
    }

    [Theory]
    [InlineData(0x541Bul)]
    [InlineData(0x5411ul)]
    [InlineData(0x894Bul)]
    public void A_listener_has_no_queue_to_tell_of(ulong request)
    {
        SocketFile listener = _machine.Listener(81);
        int value = 77;
        Assert.Equal(Error(Errno.EINVAL), _machine.Call(() => listener.Control(request, ref value)));
        Assert.Equal(77, value);
    }

    [Fact]
    public void Options_have_Linux_numbers_values_and_errors()
    {
        SocketFile socket = _machine.Socket();
        Assert.Equal(0, _machine.Set(socket, LevelSocket, 7, 20000));
        Assert.Equal(40000, _machine.Get(socket, LevelSocket, 7));
        Assert.Equal(536, _machine.Get(socket, LevelTcp, 2));
        Assert.Equal(Error(Errno.EINVAL), _machine.Set(socket, LevelTcp, 2, 10));
        Assert.Equal(0, _machine.Set(socket, LevelTcp, 2, 1100));
        Assert.Equal(1100, _machine.Get(socket, LevelTcp, 2));
        Assert.Equal(Error(Errno.ENOPROTOOPT), _machine.Set(socket, LevelTcp, 999, 1));
        Assert.Equal(Error(Errno.ENOPROTOOPT), _machine.Get(socket, LevelTcp, 999));
        Assert.Equal(Error(Errno.EINVAL), _machine.Call(() => socket.SetOption(LevelTcp, 1, new byte[2])));
        Assert.Equal(0, _machine.Set(socket, LevelTcp, 8, -5));
        Assert.Equal(-1, _machine.Get(socket, LevelTcp, 8));
        Assert.Equal(7200, _machine.Get(socket, LevelTcp, 4));
        Assert.Equal(0, _machine.Call(() => socket.SetOption(LevelIp, 1, new byte[] { 16 })));
        Assert.Equal(16, _machine.Get(socket, LevelIp, 1));
        Assert.Equal(280, _machine.Call(() => socket.GetOption(LevelTcp, 11, new byte[400])));
        Assert.Equal(104, _machine.Call(() => socket.GetOption(LevelTcp, 11, new byte[104])));
        Assert.Equal(36, _machine.Call(() => socket.GetOption(LevelSocket, 55, new byte[36])));
    }

    [Fact]
    public void An_accepted_socket_begins_with_its_listeners_options()
    {
        (_, SocketFile server) = _machine.Pair(listener =>
        {
            Assert.Equal(0, _machine.Set(listener, LevelTcp, 1, 1));
            Assert.Equal(0, _machine.Set(listener, LevelSocket, 7, 30000));
        });
        Assert.Equal(1, _machine.Get(server, LevelTcp, 1));
        Assert.Equal(60000, _machine.Get(server, LevelSocket, 7));
    }

    [Fact]
    public void A_zero_copy_send_is_told_of_in_the_error_queue_with_its_number()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        Assert.Equal(0, _machine.Set(client, LevelSocket, 60, 1));
        Assert.Equal(5000, _machine.Send(client, 5000, SocketFile.FlagZeroCopy));
        Assert.Equal(5000, _machine.Receive(server, 5000));
        _machine.Pace.Sleep(Nanos.PerSecond);
        Assert.Equal(1, _machine.Poll(client, PollMask.None, 0, out PollMask found));
        Assert.Equal(PollMask.Error, found);

        byte[] space = new byte[64];
        int length = 0;
        int flags = 0;
        int result = _machine.Call(() =>
        {
            var control = new ControlMessages(space);
            int outcome = client.ReceiveMessage(default, SocketFile.FlagErrorQueue, ref control, out flags);
            length = control.Length;
            return outcome;
        });
        Assert.Equal(0, result);
        Assert.Equal(SocketFile.FlagErrorQueue, flags);
        Assert.Equal(48, length);
        Assert.Equal(11, BinaryPrimitives.ReadInt32LittleEndian(space.AsSpan(12)));
        Assert.Equal(5, space[16 + 4]);
        Assert.Equal(1, space[16 + 6]);
        Assert.Equal(0u, BinaryPrimitives.ReadUInt32LittleEndian(space.AsSpan(16 + 8)));
        Assert.Equal(0u, BinaryPrimitives.ReadUInt32LittleEndian(space.AsSpan(16 + 12)));
        Assert.Equal(0, _machine.Poll(client, PollMask.None, 0, out _));
    }

    [Fact]
    public void Control_messages_that_do_not_fit_are_cut_and_say_so()
    {
        var control = new ControlMessages(new byte[18]);
        control.Add(6, 36, [1, 2, 3, 4]);
        Assert.True(control.IsTruncated);
        Assert.Equal(18, control.Length);
    }

    [Fact]
    public void Closing_with_a_linger_time_waits_until_everything_is_acknowledged()
    {
        (SocketFile client, SocketFile server) = _machine.Pair();
        byte[] linger = new byte[8];
        linger[0] = 1;
        linger[4] = 30;
        Assert.Equal(0, _machine.Call(() => client.SetOption(LevelSocket, 13, linger)));
        _machine.Send(client, 20000);
        Assert.Equal(0, _machine.Call(client.Close));
        Assert.True(_machine.Seconds < 1);
        Assert.Equal(20000, _machine.Receive(server, 20000, SocketFile.FlagWaitAll));
    }

    [Fact]
    public void A_descriptor_is_given_back_and_its_duplicate_keeps_the_file()
    {
        SocketFile socket = _machine.Socket();
        int first = _machine.Files.Add(socket);
        int second = _machine.Files.Duplicate(first);
        Assert.Equal(0, _machine.Files.Close(first));
        Assert.Equal(Error(Errno.EBADF), _machine.Files.Close(first));
        Assert.Same(socket, _machine.Files[second]);
        Assert.Equal([first], _machine.Closed);
    }
}
