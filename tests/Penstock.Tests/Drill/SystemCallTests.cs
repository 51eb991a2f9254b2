using Penstock.Drill;

namespace Penstock.Tests.Drill;

/// <summary>The socket calls of scripts beyond reading and writing, each as Linux answers it.</summary>
public class SystemCallTests
{
    private const string Established =
        """
        0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0 setsockopt(3, SOL_SOCKET, SO_ZEROCOPY, [1], 4) = 0
        +0 setsockopt(3, SOL_TCP, TCP_INQ, [1], 4) = 0
        +0 bind(3, ..., ...) = 0
        +0 listen(3, 1) = 0
        +0 < S 0:0(0) win 65535 <mss 1000>
        +0 > S. 0:0(0) ack 1 <...>
        +.01 < . 1:1(0) ack 1 win 65535
        +0 accept(3, ..., ...) = 4

        """;

    private static void Passes(string rest) => Drill.Run(Established + rest);

    private static string Fails(string rest)
    {
        DrillResult result = DrillRunner.Run(Script.Parse(Established + rest));
        Assert.Equal(DrillOutcome.Failed, result.Outcome);
        return result.Message!;
    }

    [Fact]
    public void Epoll_tells_level_edge_and_one_shot_apart() => Passes(
        """
        +0 epoll_create(1) = 5
        +0 epoll_create1(0) = 6
        +0 epoll_create(1) = 7
        +0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0
        +0 epoll_ctl(6, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLET, u64=77}) = 0
        +0 epoll_ctl(7, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLONESHOT, fd=4}) = 0
        +0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = -1 EEXIST
        +0 epoll_ctl(5, EPOLL_CTL_MOD, 3, {events=EPOLLIN, fd=3}) = -1 ENOENT
        +0 epoll_ctl(5, EPOLL_CTL_ADD, 9, {events=EPOLLIN, fd=9}) = -1 EBADF
        +0 epoll_ctl(5, EPOLL_CTL_ADD, 5, {events=EPOLLIN, fd=5}) = -1 EINVAL
        +0 epoll_wait(5, ..., 8, 0) = 0
        +0 < P. 1:11(10) ack 1 win 65535
        +0 > . 1:1(0) ack 11
        +0 epoll_wait(5, {events=EPOLLIN, fd=4}, 8, 0) = 1
        +0 epoll_wait(5, [{events=EPOLLIN, fd=4}], 8, 0) = 1
        +0 epoll_wait(6, {events=EPOLLIN, u64=77}, 8, 0) = 1
        +0 epoll_wait(6, ..., 8, 0) = 0
        +0 epoll_wait(7, {events=EPOLLIN, fd=4}, 8, 0) = 1
        +0 < P. 11:21(10) ack 1 win 65535
        +0 > . 1:1(0) ack 21
        +0 epoll_wait(6, {events=EPOLLIN, u64=77}, 8, 0) = 1
        +0 epoll_wait(7, ..., 8, 0) = 0
        +0 epoll_ctl(7, EPOLL_CTL_MOD, 4, {events=EPOLLIN|EPOLLONESHOT, fd=4}) = 0
        +0 epoll_wait(7, {events=EPOLLIN, fd=4}, 8, 0) = 1
        +0 epoll_ctl(5, EPOLL_CTL_DEL, 4, ...) = 0
        +0 epoll_wait(5, ..., 8, 0) = 0
        """);

    [Fact]
    public void Epoll_and_poll_wait_for_what_comes_and_for_their_time() => Passes(
        """
        +0 epoll_create(1) = 5
        +0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN, fd=3}) = 0
        +0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLRDHUP, fd=4}) = 0
        +0...0.2 epoll_wait(5, ..., 8, 200) = 0
        +.2 read(4, ..., 0) = 0
        +0...0.1 epoll_wait(5, {events=EPOLLIN|EPOLLRDHUP, fd=4}, 8, -1) = 1
        +.1 < F. 1:1(0) ack 1 win 65535
        +0 > . 1:1(0) ack 2
        +0...0.05 poll([{fd=3, events=POLLIN, revents=0}, {fd=-1, events=POLLIN, revents=0}], 2, 50) = 0
        """);

    [Fact]
    public void Zero_copy_sends_are_notified_through_the_error_queue() => Passes(
        """
        +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=0}, MSG_ERRQUEUE) = -1 EAGAIN
        +0 send(4, ..., 3000, MSG_ZEROCOPY) = 3000
        +0 send(4, ..., 500, MSG_ZEROCOPY) = 500
        +0 > P. 1:3001(3000) ack 1
        +0 > P. 3001:3501(500) ack 1
        +.01 < . 1:1(0) ack 3001 win 65535
        +.01 < . 1:1(0) ack 3501 win 65535
        +0 poll([{fd=4, events=0, revents=POLLERR}], 1, 0) = 1
        +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE, msg_control=[
             {cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data={ee_errno=0, ee_origin=SO_EE_ORIGIN_ZEROCOPY,
              ee_type=0, ee_code=SO_EE_CODE_ZEROCOPY_COPIED, ee_info=0, ee_data=1}}]}, MSG_ERRQUEUE) = 0
        +0 poll([{fd=4, events=0, revents=0}], 1, 0) = 0
        """);

    [Fact]
    public void A_receive_tells_how_much_is_left() => Passes(
        """
        +0 < F. 1:1001(1000) ack 1 win 65535
        +.04 > . 1:1(0) ack 1002
        +0 recvmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 100}, {..., 300}], msg_flags=0,
             msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=601}]}, 0) = 400
        +0 ioctl(4, SIOCINQ, [600]) = 0
        +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 600}], msg_flags=0,
             msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=1}]}, 0) = 600
        """);

    [Fact]
    public void A_control_message_that_differs_is_shown()
    {
        string message = Fails(
            """
            +0 < P. 1:11(10) ack 1 win 65535
            +0 > . 1:1(0) ack 11
            +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 4}], msg_flags=0,
                 msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=5}]}, 0) = 4
            """);
        Assert.Contains("cmsg_data should be 5 but is 6", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Pipes_carry_bytes_between_sockets() => Passes(
        """
        +0 pipe([5, 6]) = 0
        +0 < P. 1:1001(1000) ack 1 win 65535
        +0 > . 1:1(0) ack 1001
        +0 splice(4, NULL, 6, NULL, 300, 0) = 300
        +0 splice(4, NULL, 6, NULL, 5000, SPLICE_F_NONBLOCK) = 700
        +0 splice(4, NULL, 6, NULL, 5000, SPLICE_F_NONBLOCK) = -1 EAGAIN
        +0 splice(4, [1], 6, NULL, 5000, 0) = -1 ESPIPE
        +0 splice(4, NULL, 3, NULL, 5000, 0) = -1 EINVAL
        +0 poll([{fd=5, events=POLLIN, revents=POLLIN}, {fd=6, events=POLLOUT, revents=POLLOUT}], 2, 0) = 2
        +0 read(5, ..., 100) = 100
        +0 splice(5, NULL, 4, NULL, 600, 0) = 600
        +0 > P. 1:601(600) ack 1001
        +0 close(6) = 0
        +0 read(5, ..., 1000) = 300
        +0 read(5, ..., 1000) = 0
        +.01 < . 1001:1001(0) ack 601 win 65535
        """);

    [Fact]
    public void Files_of_the_script_are_sent_and_exist_in_it_only() => Passes(
        """
        +0 `dd if=/dev/zero of=/no/where bs=1 count=1500 status=none`
        +0 open("/no/where", O_RDONLY) = 5
        +0 open("/etc/hostname", O_RDONLY) = -1 ENOENT
        +0 sendfile(4, 5, [500], 700) = 700
        +0 > P. 1:701(700) ack 1
        +.01 < . 1:1(0) ack 701 win 65535
        +0 sendfile(4, 5, NULL, 100) = 100
        +0 > P. 701:801(100) ack 1
        +.01 < . 1:1(0) ack 801 win 65535
        +0 read(5, ..., 9999) = 1400
        +0 sendfile(4, 3, NULL, 100) = -1 EINVAL
        """);

    [Fact]
    public void A_call_that_is_expected_to_fail_has_no_value_to_compare() => Passes(
        """
        +0 ioctl(3, SIOCINQ, [1000]) = -1 EINVAL
        +0 ioctl(3, SIOCOUTQ, [1000]) = -1 EINVAL
        +0 getsockopt(4, 77, 1, [1], [4]) = -1 EOPNOTSUPP
        """);

    [Fact]
    public void A_null_buffer_and_a_descriptor_of_another_kind_are_errors() => Passes(
        """
        +0 write(4, NULL, 10) = -1 EFAULT
        +0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
        +0 read(4, NULL, 10) = -1 EAGAIN
        +0 < P. 1:11(10) ack 1 win 65535
        +0 > . 1:1(0) ack 11
        +0 read(4, NULL, 10) = -1 EFAULT
        +0 read(4, ..., 10) = 10
        +0 pipe([5, 6]) = 0
        +0 recv(5, ..., 10, 0) = -1 ENOTSOCK
        +0 read(6, ..., 10) = -1 EBADF
        +0 epoll_wait(4, ..., 1, 0) = -1 EINVAL
        +0 read(9, ..., 10) = -1 EBADF
        """);

    [Fact]
    public void A_pipe_without_a_reader_breaks_a_splice_before_it_takes_bytes() => Passes(
        """
        +0 pipe([5, 6]) = 0
        +0 < P. 1:101(100) ack 1 win 65535
        +0 > . 1:1(0) ack 101
        +0 close(5) = 0
        +0 splice(4, NULL, 6, NULL, 100, 0) = -1 EPIPE
        +0 ioctl(4, SIOCINQ, [100]) = 0
        """);

    [Fact]
    public void A_splice_and_a_read_wait_for_the_pipe() => Passes(
        """
        +0 pipe([5, 6]) = 0
        +0...0.1 splice(5, NULL, 4, NULL, 300, 0) = 300
        +.1 write(6, ..., 300) = 300
        +0 > P. 1:301(300) ack 1
        +.01 < . 1:1(0) ack 301 win 65535
        +0...0.1 read(5, ..., 10) = 10
        +.1 write(6, ..., 10) = 10
        +0 write(6, ..., 65536) = 65536
        +0 < P. 1:101(100) ack 301 win 65535
        +0 > . 301:301(0) ack 101
        +0...0.1 splice(4, NULL, 6, NULL, 100, 0) = 100
        +.1 read(5, ..., 4096) = 4096
        +0 ioctl(5, FIONREAD, [61540]) = 0
        +0 pipe2([7, 8], O_NONBLOCK) = 0
        +0 splice(7, NULL, 4, NULL, 300, 0) = -1 EAGAIN
        +0 splice(4, NULL, 8, NULL, 300, 0) = -1 EAGAIN
        """);

    [Theory]
    [InlineData("0.1", "+.1 < . 1:1(0) ack 102 win 65535")]
    [InlineData("1", "+.21 > FP. 1:101(100) ack 1\n+.42 > FP. 1:101(100) ack 1")]
    public void A_close_lingers_until_all_is_acknowledged_or_its_time_is_over(string end, string meanwhile) => Passes(
        $$"""
        +0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=1}, 8) = 0
        +0 write(4, ..., 100) = 100
        +0 > P. 1:101(100) ack 1
        +0...{{end}} close(4) = 0
        +0 > F. 101:101(0) ack 1
        {{meanwhile}}
        """);

    [Fact]
    public void A_descriptor_has_flags_and_may_be_doubled() => Passes(
        """
        +0 ioctl(4, FIONBIO, [1]) = 0
        +0 read(4, ..., 10) = -1 EAGAIN
        +0 fcntl(4, F_GETFL) = O_RDWR|O_NONBLOCK
        +0 fcntl(4, F_DUPFD, 0) = 7
        +0 close(4) = 0
        +0 write(7, ..., 10) = 10
        +0 > P. 1:11(10) ack 1
        +.01 < . 1:1(0) ack 11 win 65535
        +0 pipe([5, 6]) = 0
        +0 fcntl(5, F_GETFL) = O_RDONLY
        +0 fcntl(6, F_GETFL) = O_WRONLY
        """);

    [Fact]
    public void Urgent_data_ends_what_can_be_read_and_marks_its_message() => Passes(
        """
        +0 < PU. 1:11(10) ack 1 win 65535 urg 5
        +0 > . 1:1(0) ack 11
        +0 ioctl(4, SIOCINQ, [4]) = 0
        +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 1}], msg_flags=MSG_OOB, msg_control=...}, MSG_OOB) = 1
        +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=0, msg_control=...}, 0) = 4
        """);

    [Fact]
    public void Control_messages_without_a_place_are_told_to_be_cut_off() => Passes(
        """
        +0 < P. 1:11(10) ack 1 win 65535
        +0 > . 1:1(0) ack 11
        +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=MSG_CTRUNC}, 0) = 10
        """);

    [Fact]
    public void What_a_call_cannot_do_is_told_with_the_error_that_Linux_gives() => Passes(
        """
        +0 setsockopt(4, SOL_TCP, TCP_CONGESTION, "nosuch", 6) = -1 ENOENT
        +0 shutdown(4, SHUT_WR) = 0
        +0 > F. 1:1(0) ack 1
        +0 write(4, NULL, 10) = -1 EPIPE
        +0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 5
        +0 read(5, ..., 0) = 0
        +0 recv(5, ..., 0, 0) = -1 ENOTCONN
        +0 `dd if=/dev/zero of=/no/where bs=1 count=1500 status=none`
        +0 open("/no/where", O_RDONLY) = 6
        +0 epoll_create1(0) = 7
        +0 epoll_ctl(7, EPOLL_CTL_ADD, 6, {events=EPOLLIN, fd=6}) = -1 EPERM
        +.01 < . 1:1(0) ack 2 win 65535
        """);

    [Theory]
    [InlineData("read(4, ..., -1) = 0")]
    [InlineData("writev(4, [{..., 10}, {..., -5}], 2) = 5")]
    [InlineData("readv(4, [{..., 268435456}, {..., 1}], 2) = 5")]
    public void Sizes_beyond_all_reason_skip_the_script(string call) =>
        Assert.Equal(DrillOutcome.Skipped, DrillRunner.Run(Script.Parse($"{Established}+0 {call}")).Outcome);

    [Fact]
    public void A_call_that_waits_wants_to_be_told_when_it_returns() => Assert.Contains("as in 0...0.1", Fails("+0 read(4, ..., 10) = 10"), StringComparison.Ordinal);

    [Fact]
    public void A_call_that_still_waits_when_the_script_ends_fails_it() =>
        Assert.Contains("should have returned at 0.11 s and is still waiting", Fails("+0...0.1 read(4, ..., 10) = 10"), StringComparison.Ordinal);

    [Fact]
    public void A_script_that_fails_while_a_call_waits_ends() => Assert.Contains("this packet is not the one", Fails(
        """
        +0...9 send(4, ..., 10000000, MSG_ZEROCOPY) = 10000000
        +0 > . 5:6(1) ack 1
        """), StringComparison.Ordinal);

    [Theory]
    [InlineData("accep(3, ..., ...) = 5", "did you mean accept?")]
    [InlineData("setsockopt(4, SOL_SOCKET, SO_REUSADDR, [1], 4) = 0", "did you mean SO_REUSEADDR?")]
    [InlineData("fcntl(4, F_SETFL, O_RDWR|O_NONBLOK) = 0", "no constant 'O_NONBLOK'; did you mean O_NONBLOCK?")]
    public void A_mistyped_name_fails_the_script_with_the_nearest(string call, string hint) => Assert.Contains(hint, Fails("+0 " + call), StringComparison.Ordinal);

    [Fact]
    public void Options_of_a_listener_show_in_its_next_SYN_ACK() => Drill.Run(
        """
        0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0 bind(3, ..., ...) = 0
        +0 listen(3, 1) = 0
        +0 setsockopt(3, SOL_TCP, TCP_MAXSEG, [700], 4) = 0
        +0 < S 0:0(0) win 65535 <mss 1460>
        +0 > S. 0:0(0) ack 1 <mss 700>
        +.01 < . 1:1(0) ack 1 win 65535
        +0 accept(3, ..., ...) = 4
        +0 write(4, ..., 700) = 700
        +0 > P. 1:701(700) ack 1
        """);
}
