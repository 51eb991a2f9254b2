/*
 * What a C program sees of libpenstock: one stack in virtual time that talks to itself over its loopback. Prints a line for each thing that is not as
 * it should be, and "ok" when there is none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <penstock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

static int wrong;

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			printf("%d: not so: %s (errno %d %s)\n", __LINE__, #condition, errno, strerror(errno)); \
			wrong = 1; \
		} \
	} while (0)

#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(8080) }, peer, own;
	socklen_t length = sizeof(peer);
	char buffer[8192], setting[64];
	int listener, client, server, epoll, value, pipes[2];
	penstock_stack *stack;

	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	CHECK(penstock_stack_open("tun=") == NULL && errno == EINVAL && *penstock_error());
	CHECK(penstock_stack_open("adress=10.0.0.1/24") == NULL && strstr(penstock_error(), "address"));
	CHECK(penstock_stack_open(NULL) == NULL && errno == EINVAL);
	FAILS(penstock_stack_close((penstock_stack *)12345), EINVAL);
	stack = penstock_stack_open("time=virtual,seed=1,address=10.0.0.1/24,net.ipv4.tcp_sack=0");
	CHECK(stack != NULL);

	CHECK(penstock_sysctl_get(stack, "net.ipv4.tcp_sack", setting, sizeof(setting)) == 1 && strcmp(setting, "0") == 0);
	CHECK(penstock_sysctl_set(stack, "net.ipv4.tcp_sack", "1") == 0);
	FAILS(penstock_sysctl_set(stack, "net.ipv4.tcp_sakc", "1"), EINVAL);
	CHECK(strstr(penstock_error(), "net.ipv4.tcp_sack") != NULL);

	FAILS(penstock_socket(stack, AF_INET6, SOCK_STREAM, 0), EAFNOSUPPORT);
	FAILS(penstock_socket(stack, AF_INET, SOCK_DGRAM, 0), ESOCKTNOSUPPORT);
	FAILS(penstock_socket(stack, AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	FAILS(penstock_read(STDIN_FILENO, buffer, 1), EBADF);

	listener = penstock_socket(stack, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(listener > 2);
	CHECK(penstock_bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0);
	FAILS(penstock_bind(listener, (struct sockaddr *)&at, sizeof(at)), EINVAL);
	CHECK(penstock_listen(listener, 5) == 0);
	CHECK(penstock_fcntl(listener, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
	CHECK(penstock_fcntl(listener, F_GETFL, 0) == (O_RDWR | O_NONBLOCK));
	FAILS(penstock_accept(listener, NULL, NULL), EAGAIN);

	client = penstock_socket(stack, AF_INET, SOCK_STREAM, IPPROTO_TCP);
	value = 20000;
	CHECK(penstock_setsockopt(client, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)) == 0);
	FAILS(penstock_setsockopt(client, SOL_SOCKET, SO_SNDBUF, NULL, sizeof(value)), EFAULT);
	CHECK(penstock_connect(client, (struct sockaddr *)&at, sizeof(at)) == 0);
	server = penstock_accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK);
	CHECK(server > 2 && length == sizeof(peer) && peer.sin_addr.s_addr == at.sin_addr.s_addr);
	length = sizeof(own);
	CHECK(penstock_getsockname(client, (struct sockaddr *)&own, &length) == 0 && own.sin_port == peer.sin_port);
	length = sizeof(own);
	CHECK(penstock_getpeername(client, (struct sockaddr *)&own, &length) == 0 && own.sin_port == at.sin_port);
	length = sizeof(value);
	CHECK(penstock_getsockopt(client, SOL_SOCKET, SO_SNDBUF, &value, &length) == 0 && value == 40000 && length == sizeof(value));

	/* Bytes, peeking, gathering and scattering. */
	struct iovec out[2] = { { "hello ", 6 }, { "world", 5 } };
	struct iovec in[2] = { { buffer, 4 }, { buffer + 100, 100 } };

	FAILS(penstock_read(server, buffer, 10), EAGAIN);
	CHECK(penstock_writev(client, out, 2) == 11);
	CHECK(penstock_ioctl(server, FIONREAD, &value) == 0 && value == 11);
	CHECK(penstock_recv(server, buffer, sizeof(buffer), MSG_PEEK) == 11 && memcmp(buffer, "hello world", 11) == 0);
	CHECK(penstock_readv(server, in, 2) == 11 && memcmp(buffer, "hell", 4) == 0 && memcmp(buffer + 100, "o world", 7) == 0);
	FAILS(penstock_write(client, NULL, 10), EFAULT);

	/* epoll carries the caller's own 64 bits. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x1122334455667788 }, found[2];

	epoll = penstock_epoll_create1(stack, EPOLL_CLOEXEC);
	CHECK(penstock_epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event) == 0);
	FAILS(penstock_epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event), EEXIST);
	CHECK(penstock_epoll_wait(epoll, found, 2, 0) == 0);
	CHECK(penstock_send(client, "x", 1, MSG_NOSIGNAL) == 1);
	CHECK(penstock_epoll_wait(epoll, found, 2, 1000) == 1 && found[0].events == EPOLLIN && found[0].data.u64 == 0x1122334455667788);
	CHECK(penstock_epoll_wait(epoll, found, 2, 0) == 0);

	/* Through a pipe and back. */
	CHECK(penstock_pipe2(stack, pipes, 0) == 0);
	CHECK(penstock_splice(server, NULL, pipes[1], NULL, 100, 0) == 1);
	CHECK(penstock_splice(pipes[0], NULL, server, NULL, 100, 0) == 1);
	CHECK(penstock_recv(client, buffer, 10, 0) == 1 && buffer[0] == 'x');

	/* A file. */
	FILE *file = tmpfile();
	int64_t offset = 2;

	fputs("a short file", file);
	fflush(file);
	CHECK(penstock_sendfile(client, fileno(file), &offset, 1000) == 10 && offset == 12);
	CHECK(penstock_read(server, buffer, sizeof(buffer)) == 10 && memcmp(buffer, "short file", 10) == 0);
	fclose(file);

	/* A zero-copy send, and its notification. */
	struct msghdr message = { .msg_control = buffer, .msg_controllen = sizeof(buffer) };

	value = 1;
	CHECK(penstock_setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)) == 0);
	CHECK(penstock_setsockopt(client, SOL_SOCKET, SO_ZEROCOPY, &value, sizeof(value)) == 0);
	CHECK(penstock_send(client, "0123456789", 10, MSG_ZEROCOPY) == 10);
	CHECK(penstock_read(server, buffer + 4096, 10) == 10);
	CHECK(penstock_sleep(stack, 1000000) == 0);
	CHECK(penstock_recvmsg(client, &message, MSG_ERRQUEUE) == 0 && (message.msg_flags & MSG_ERRQUEUE));

	struct cmsghdr *control = CMSG_FIRSTHDR(&message);

	CHECK(control != NULL && control->cmsg_level == SOL_IP && control->cmsg_type == IP_RECVERR);
	if (control != NULL) {
		struct sock_extended_err *error = (struct sock_extended_err *)CMSG_DATA(control);

		CHECK(error->ee_errno == 0 && error->ee_origin == SO_EE_ORIGIN_ZEROCOPY && error->ee_info == 0 && error->ee_data == 0);
	}
	FAILS(penstock_recvmsg(client, &message, MSG_ERRQUEUE), EAGAIN);

	struct tcp_info info;

	length = sizeof(info);
	CHECK(penstock_getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && length == sizeof(info));
	CHECK(info.tcpi_state == TCP_ESTABLISHED && info.tcpi_snd_cwnd >= 10);

	/* Virtual time: an hour passes at once, and a wait ends when it should. */
	struct pollfd entry = { .fd = server, .events = POLLIN };
	int64_t before = penstock_time(stack);

	CHECK(penstock_sleep(stack, 3600u * 1000000u) == 0);
	CHECK(penstock_poll(&entry, 1, 1500) == 0);
	int64_t passed = penstock_time(stack) - before;
	CHECK(passed >= 3601500000 && passed < 3601600000);

	/* The end. */
	CHECK(penstock_shutdown(client, SHUT_WR) == 0);
	CHECK(penstock_poll(&entry, 1, 1000) == 1 && entry.revents == POLLIN);
	CHECK(penstock_read(server, buffer, 10) == 0);
	FAILS(penstock_send(client, "x", 1, 0), EPIPE);
	CHECK(penstock_close(client) == 0);
	FAILS(penstock_close(client), EBADF);
	FAILS(close(client), EBADF);
	CHECK(penstock_stack_close(stack) == 0);
	FAILS(penstock_read(server, buffer, 1), EBADF);
	FAILS(penstock_stack_close(stack), EINVAL);

	/* Packets by hand: the SYN of a connect comes out. */
	stack = penstock_stack_open("time=virtual,address=10.0.0.1/24");
	client = penstock_socket(stack, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	inet_pton(AF_INET, "10.0.0.9", &at.sin_addr);
	FAILS(penstock_connect(client, (struct sockaddr *)&at, sizeof(at)), EINPROGRESS);
	CHECK(penstock_netdev_receive(stack, buffer, sizeof(buffer), -1, NULL) >= 40 && (buffer[0] & 0xf0) == 0x40 && (buffer[20 + 13] & 2));
	CHECK(penstock_netdev_send(stack, buffer, 3) == 0);
	FAILS(penstock_netdev_send(stack, NULL, 40), EFAULT);
	CHECK(penstock_stack_close(stack) == 0);

	if (!wrong)
		printf("ok\n");
	return wrong;
}
