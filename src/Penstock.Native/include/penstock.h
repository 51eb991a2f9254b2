/*
 * libpenstock: a TCP/IP stack of its own inside the process, with the BSD socket calls.
 *
 * The calls are Linux's, with Linux's numbers for families, types, options, flags, commands and errors, taken from the system's own headers; they return -1 and set
 * errno where Linux does. Beside that:
 *
 *   - a stack is opened first, and sockets, epoll instances and pipes are made on it;
 *   - descriptors are real (each opens the null device), so they never collide with the program's other descriptors, but only the calls below know what is behind
 *     them. Close them with penstock_close;
 *   - poll and epoll wait for descriptors of one stack at a time, and for no others;
 *   - no signal is ever raised: what gives SIGPIPE in Linux gives EPIPE alone;
 *   - only AF_INET with SOCK_STREAM is there.
 *
 * All calls are thread-safe. See docs/libpenstock.md.
 */
#ifndef PENSTOCK_H
#define PENSTOCK_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A stack; a handle, not an address. */
typedef struct penstock_stack penstock_stack;

/*
 * Opens a stack. The text has key=value parts with commas between:
 *
 *   address=10.77.0.2/24   an address of the stack with the prefix of its network; at least one
 *   route=10.0.0.0/8       a network behind the link; route=default is 0.0.0.0/0. Any number
 *   tun=NAME               the link is a TUN device of that name, made or attached to
 *   host=10.77.0.1/24      the address that the kernel's end of the device gets
 *   offloads=0             the device carries plain packets (1 by default)
 *   link=packets           the default: the link's other end is the caller, see penstock_netdev_send
 *   mtu=1500               largest packet, bytes
 *   time=virtual           time passes only in penstock_sleep, in waits, and in penstock_netdev_receive
 *   seed=1                 repeatable random choices; for tests alone
 *   memory=BYTES           the most memory that packets may use
 *   name=TEXT              for threads and messages
 *   net.ipv4.tcp_sack=0    any setting by Linux's name
 *
 * NULL with errno when it fails; penstock_error() says what is wrong.
 */
penstock_stack *penstock_stack_open(const char *text);

/* Closes all descriptors of the stack, lets what was sent be delivered for some seconds, and frees everything. */
int penstock_stack_close(penstock_stack *stack);

/* A sentence about this thread's last failure that was more than an error number; "" when there was none. Valid until the thread's next call. */
const char *penstock_error(void);

/* Settings by Linux's names, as sysctl(8). get returns the value's length, which is cut to the buffer and ended with a zero byte, as snprintf does. */
int penstock_sysctl_set(penstock_stack *stack, const char *key, const char *value);
int penstock_sysctl_get(penstock_stack *stack, const char *key, char *value, size_t size);

/* The stack's clock in microseconds, and sleeping by it. Under virtual time each look at the clock costs a microsecond. */
int64_t penstock_time(penstock_stack *stack);
int penstock_sleep(penstock_stack *stack, uint64_t microseconds);

/*
 * The other end of link=packets: whole IP packets. send hands one to the stack; receive takes one that the stack has sent, and waits for it at most so many
 * microseconds (less than 0: the stack's patience, 20 minutes; under virtual time it ends at once when nothing is left that could send one). receive returns the
 * length, 0 when there was none, and through time, if not NULL, the microsecond at which it was sent.
 */
int penstock_netdev_send(penstock_stack *stack, const void *packet, size_t length);
int penstock_netdev_receive(penstock_stack *stack, void *packet, size_t size, int64_t microseconds, int64_t *time);

int penstock_socket(penstock_stack *stack, int domain, int type, int protocol);
int penstock_bind(int fd, const struct sockaddr *address, socklen_t length);
int penstock_listen(int fd, int backlog);
int penstock_accept(int fd, struct sockaddr *address, socklen_t *length);
int penstock_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int penstock_connect(int fd, const struct sockaddr *address, socklen_t length);
int penstock_getsockname(int fd, struct sockaddr *address, socklen_t *length);
int penstock_getpeername(int fd, struct sockaddr *address, socklen_t *length);

ssize_t penstock_read(int fd, void *buffer, size_t length);
ssize_t penstock_readv(int fd, const struct iovec *vectors, int count);
ssize_t penstock_recv(int fd, void *buffer, size_t length, int flags);
ssize_t penstock_recvfrom(int fd, void *buffer, size_t length, int flags, struct sockaddr *address, socklen_t *address_length);
ssize_t penstock_recvmsg(int fd, struct msghdr *message, int flags);

ssize_t penstock_write(int fd, const void *buffer, size_t length);
ssize_t penstock_writev(int fd, const struct iovec *vectors, int count);
ssize_t penstock_send(int fd, const void *buffer, size_t length, int flags);
ssize_t penstock_sendto(int fd, const void *buffer, size_t length, int flags, const struct sockaddr *address, socklen_t address_length);
ssize_t penstock_sendmsg(int fd, const struct msghdr *message, int flags);

/* F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD. The argument is always given; 0 where Linux takes none. */
int penstock_fcntl(int fd, int command, long argument);

/* FIONREAD (SIOCINQ), SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK, FIONBIO. */
int penstock_ioctl(int fd, unsigned long request, int *argument);

int penstock_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int penstock_setsockopt(int fd, int level, int name, const void *value, socklen_t length);
int penstock_shutdown(int fd, int how);
int penstock_close(int fd);

int penstock_poll(struct pollfd *entries, nfds_t count, int milliseconds);
int penstock_epoll_create1(penstock_stack *stack, int flags);
int penstock_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int penstock_epoll_wait(int epoll, struct epoll_event *events, int most, int milliseconds);

/* A pipe inside this process, to splice a socket's bytes through; between a pipe and a socket, without offsets. */
int penstock_pipe2(penstock_stack *stack, int descriptors[2], int flags);
ssize_t penstock_splice(int from, int64_t *from_offset, int to, int64_t *to_offset, size_t length, unsigned int flags);

/* From a file of the kernel's into a socket. */
ssize_t penstock_sendfile(int to, int from, int64_t *offset, size_t count);

#ifdef __cplusplus
}
#endif

#endif
