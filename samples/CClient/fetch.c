/*
 * Fetches a page over HTTP through libpenstock: a TCP/IP stack of this program's own, over a TUN device.
 *
 *   fetch STACK ADDRESS PORT PATH
 *
 *   fetch tun=penstock1,host=10.78.0.1/24,address=10.78.0.2/24,route=default 10.77.0.2 80 /
 *
 * Prints the body on standard output and what happened on standard error. The first argument is what penstock_stack_open takes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <penstock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s%s%s\n", what, strerror(errno), *penstock_error() ? ": " : "", penstock_error());
	return 1;
}

int main(int count, char **arguments)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct tcp_info info;
	socklen_t length = sizeof(info);
	struct timeval patience = { .tv_sec = 10 };
	char request[1024], reply[16384];
	size_t held = 0, body = 0;
	int in_body = 0, on = 1, fd;
	penstock_stack *stack;

	if (count != 5 || inet_pton(AF_INET, arguments[2], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: fetch STACK ADDRESS PORT PATH\n");
		return 2;
	}
	to.sin_port = htons((unsigned short)atoi(arguments[3]));

	stack = penstock_stack_open(arguments[1]);
	if (stack == NULL)
		return fail("stack");
	fd = penstock_socket(stack, AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return fail("socket");
	penstock_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	penstock_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	penstock_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (penstock_connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		return fail("connect");

	int size = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", arguments[4], arguments[2]);
	if (penstock_send(fd, request, (size_t)size, 0) != size)
		return fail("send");

	for (;;) {
		ssize_t got = penstock_recv(fd, reply + held, sizeof(reply) - held, 0);

		if (got < 0)
			return fail("recv");
		if (got == 0)
			break;
		held += (size_t)got;
		if (!in_body) {
			/* The head ends with an empty line; it has to fit the buffer. */
			char *end = memmem(reply, held, "\r\n\r\n", 4);

			if (end == NULL) {
				if (held == sizeof(reply)) {
					fprintf(stderr, "the reply's head is too long\n");
					return 1;
				}
				continue;
			}
			fprintf(stderr, "%.*s\n", (int)strcspn(reply, "\r"), reply);
			in_body = 1;
			held -= (size_t)(end + 4 - reply);
			memmove(reply, end + 4, held);
		}
		fwrite(reply, 1, held, stdout);
		body += held;
		held = 0;
	}

	if (penstock_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0)
		fprintf(stderr, "%zu bytes, round-trip time %u us, congestion window %u\n", body, info.tcpi_rtt, info.tcpi_snd_cwnd);
	penstock_close(fd);
	penstock_stack_close(stack);
	return in_body ? 0 : 1;
}
