// lwIP peer: sink on 9001, source on 9002, echo on 9003, over a Linux TUN device.
//
//   lwip-peer DEVICE STACK-IP            serve for ever
//   lwip-peer bulk|rr STACK-IP SECONDS   both ends in this process, no device: prints one line of JSON
//   lwip-peer version
//
// One thread, raw (callback) API.
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lwip/init.h"
#include "lwip/ip4.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"

enum { Chunk = 64 * 1024 - 1, RxBudget = 64 };

static int tun;
static char payload[Chunk];

u32_t sys_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u32_t)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

// ---- device -------------------------------------------------------------------

static int open_tun(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request)) {
        perror(name);
        exit(1);
    }
    return fd;
}

static err_t transmit(struct netif *netif, struct pbuf *p, const ip4_addr_t *next_hop)
{
    struct iovec parts[64];
    int n = 0;
    (void)netif, (void)next_hop;
    for (; p != NULL && n < 64; p = p->next)
        parts[n++] = (struct iovec){p->payload, p->len};
    return writev(tun, parts, n) < 0 ? ERR_IF : ERR_OK;
}

// The memory link: every packet is copied into a pool buffer, as a device driver would.
enum { RingSize = 4096 };
static struct pbuf *ring[RingSize];
static unsigned ring_head, ring_tail;

static err_t transmit_to_self(struct netif *netif, struct pbuf *p, const ip4_addr_t *next_hop)
{
    struct pbuf *copy = pbuf_alloc(PBUF_RAW, p->tot_len, PBUF_POOL);
    (void)netif, (void)next_hop;
    if (copy == NULL || ring_head - ring_tail == RingSize) {
        fprintf(stderr, "memory link overrun\n");
        exit(1);
    }
    pbuf_copy(copy, p);
    ring[ring_head++ % RingSize] = copy;
    return ERR_OK;
}

static void receive_from_self(struct netif *netif)
{
    // What these packets provoke waits for the next call.
    for (unsigned end = ring_head; ring_tail != end;) {
        struct pbuf *p = ring[ring_tail++ % RingSize];
        if (netif->input(p, netif) != ERR_OK)
            pbuf_free(p);
    }
}

static err_t init_netif(struct netif *netif)
{
    netif->name[0] = 't';
    netif->name[1] = 'n';
    netif->mtu = TCP_MSS + 40;
    netif->output = tun < 0 ? transmit_to_self : transmit;
    netif->flags = NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static void receive(struct netif *netif)
{
    for (int i = 0; i < RxBudget; i++) {
        struct pbuf *p = pbuf_alloc(PBUF_RAW, TCP_MSS + 40, PBUF_POOL);
        if (p == NULL)
            return;
        ssize_t n = read(tun, p->payload, TCP_MSS + 40);
        if (n <= 0) {
            pbuf_free(p);
            return;
        }
        pbuf_realloc(p, (u16_t)n);
        if (netif->input(p, netif) != ERR_OK)
            pbuf_free(p);
    }
}

// ---- applications -------------------------------------------------------------

static void finish(struct tcp_pcb *pcb)
{
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    if (tcp_close(pcb) != ERR_OK)
        tcp_abort(pcb);
}

static err_t sink_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)arg, (void)err;
    if (p == NULL) {
        finish(pcb);
        return ERR_OK;
    }
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

static void fill(struct tcp_pcb *pcb)
{
    for (;;) {
        tcpwnd_size_t room = tcp_sndbuf(pcb);
        u16_t n = room < Chunk ? (u16_t)room : Chunk;
        if (n == 0 || tcp_write(pcb, payload, n, TCP_WRITE_FLAG_COPY) != ERR_OK)
            break;
    }
    tcp_output(pcb);
}

static err_t source_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    (void)arg, (void)len;
    fill(pcb);
    return ERR_OK;
}

static err_t echo_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)arg, (void)err;
    if (p == NULL) {
        finish(pcb);
        return ERR_OK;
    }
    for (struct pbuf *q = p; q != NULL; q = q->next)
        tcp_write(pcb, q->payload, q->len, TCP_WRITE_FLAG_COPY);
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    tcp_output(pcb);
    return ERR_OK;
}

static err_t accept_sink(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg, (void)err;
    tcp_recv(pcb, sink_recv);
    return ERR_OK;
}

static err_t accept_source(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg, (void)err;
    tcp_recv(pcb, sink_recv);
    tcp_sent(pcb, source_sent);
    fill(pcb);
    return ERR_OK;
}

static err_t accept_echo(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg, (void)err;
    tcp_nagle_disable(pcb);
    tcp_recv(pcb, echo_recv);
    return ERR_OK;
}

static void serve(u16_t port, tcp_accept_fn on_accept)
{
    struct tcp_pcb *pcb = tcp_new();
    if (tcp_bind(pcb, IP_ADDR_ANY, port) != ERR_OK) {
        fprintf(stderr, "bind %u failed\n", port);
        exit(1);
    }
    tcp_accept(tcp_listen(pcb), on_accept);
}

// ---- both ends in one process ---------------------------------------------------

enum { PingSize = 64, BetweenLooks = 64 };
static u64_t received, pings;

static err_t count_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)arg, (void)err;
    if (p != NULL) {
        received += p->tot_len;
        tcp_recved(pcb, p->tot_len);
        pbuf_free(p);
    }
    return ERR_OK;
}

static err_t ping_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)arg, (void)err;
    if (p != NULL) {
        pings++;
        tcp_recved(pcb, p->tot_len);
        pbuf_free(p);
        tcp_write(pcb, payload, PingSize, TCP_WRITE_FLAG_COPY);
        tcp_output(pcb);
    }
    return ERR_OK;
}

static err_t ping_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg, (void)err;
    tcp_nagle_disable(pcb);
    tcp_write(pcb, payload, PingSize, TCP_WRITE_FLAG_COPY);
    return tcp_output(pcb);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

// Looks at the clock only now and then: a look costs a good part of a round trip.
static double run_until(struct netif *netif, double end)
{
    double now;
    while ((now = seconds()) < end)
        for (int i = 0; i < BetweenLooks; i++) {
            receive_from_self(netif);
            sys_check_timeouts();
        }
    return now;
}

static void measure_in_memory(struct netif *netif, const ip4_addr_t *self, const char *test, double length)
{
    int bulk = !strcmp(test, "bulk");
    struct tcp_pcb *client = tcp_new();
    tcp_recv(client, bulk ? count_recv : ping_recv);
    tcp_connect(client, self, bulk ? 9002 : 9003, bulk ? NULL : ping_connected);
    double start = run_until(netif, seconds() + length / 2);
    u64_t before = bulk ? received : pings;
    double end = run_until(netif, start + length);
    double a_second = ((bulk ? received : pings) - before) / (end - start);
    if (bulk)
        printf("{\"tool\":\"lwip-peer\",\"version\":\"%s\",\"test\":\"bulk\",\"mss\":%d,\"gbit_s\":%.3f}\n", LWIP_VERSION_STRING, TCP_MSS, a_second * 8 / 1e9);
    else
        printf("{\"tool\":\"lwip-peer\",\"version\":\"%s\",\"test\":\"rr\",\"rt_s\":%.0f}\n", LWIP_VERSION_STRING, a_second);
}

int main(int argc, char **argv)
{
    struct netif netif = {0};
    ip4_addr_t address, mask, gateway;
    if (argc == 2 && !strcmp(argv[1], "version")) {
        puts(LWIP_VERSION_STRING);
        return 0;
    }
    const char *test = argc > 1 && (!strcmp(argv[1], "bulk") || !strcmp(argv[1], "rr")) ? argv[1] : NULL;
    if (argc != (test ? 4 : 3) || !ip4addr_aton(argv[2], &address)) {
        fprintf(stderr, "usage: lwip-peer DEVICE STACK-IP | lwip-peer bulk|rr STACK-IP SECONDS | lwip-peer version\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    ip4_addr_set_any(&gateway);

    tun = test ? -1 : open_tun(argv[1]);
    lwip_init();
    netif_add(&netif, &address, &mask, &gateway, NULL, init_netif, ip_input);
    netif_set_default(&netif);
    netif_set_up(&netif);
    serve(9001, accept_sink);
    serve(9002, accept_source);
    serve(9003, accept_echo);
    if (test) {
        measure_in_memory(&netif, &address, test, atof(argv[3]));
        return 0;
    }

    for (;;) {
        u32_t sleep_ms = sys_timeouts_sleeptime();
        struct pollfd readable = {tun, POLLIN, 0};
        poll(&readable, 1, sleep_ms > 250 ? 250 : (int)sleep_ms);
        if (readable.revents & POLLIN)
            receive(&netif);
        sys_check_timeouts();
    }
}
