#include "imap/conn/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "imap/base/child.h"
#include "imap/base/clock.h"
#include "imap/base/mem.h"
#include "imap/base/wait.h"
#include "imap/conn/deflate.h"
#include "imap/conn/tls.h"

enum {
    WIRE_CHUNK = 32 * 1024,  /* compressed bytes read at once; a TLS record is half as large */
    PLAIN_CHUNK = 64 * 1024, /* bytes compressed before some of them are sent */
};

struct stream {
    int fd;
    int stop;
    bool tcp;
    pid_t child;             /* of a tunnel, else 0 */
    struct tls *tls;         /* NULL: none */
    struct deflate *deflate; /* NULL: bytes go as they are */
    struct buf held;         /* compressed, not yet sent */
    size_t held_at;
    atomic_ullong *received, *sent; /* counters of the caller's; NULL: nobody counts */
    char cipher[80];
};

/* ---- connecting ---- */

static struct stream *stream_new(int fd, int stop)
{
    struct stream *s = mem_zalloc(sizeof *s);
    s->fd = fd;
    s->stop = stop;
    return s;
}

/* getaddrinfo() knows no deadline, so it has a thread of its own, which one may stop waiting for.
 */
struct lookup {
    atomic_int refs; /* the asker and the thread */
    int done;        /* eventfd: readable when the result is there */
    int gai;         /* the result */
    struct addrinfo *list;
    struct addrinfo hints;
    char host[256], port[16];
};

static void lookup_unref(struct lookup *q)
{
    if (atomic_fetch_sub(&q->refs, 1) > 1)
        return;
    if (q->list)
        freeaddrinfo(q->list);
    if (q->done >= 0)
        close(q->done);
    free(q);
}

static void *lookup_main(void *arg)
{
    struct lookup *q = arg;
    uint64_t one = 1;
    q->gai = getaddrinfo(q->host, q->port, &q->hints, &q->list);
    if (write(q->done, &one, sizeof one) < 0)
        q->gai = EAI_SYSTEM;
    lookup_unref(q);
    return NULL;
}

static int lookup_wait(struct lookup *q, int stop, int64_t deadline)
{
    pthread_t thread;
    uint64_t count;
    q->done = eventfd(0, EFD_CLOEXEC);
    int err = q->done < 0 ? -errno : 0;
    if (!err)
        err = -pthread_create(&thread, NULL, lookup_main, q);
    if (err) {
        atomic_fetch_sub(&q->refs, 1); /* the share of the thread that is not there */
        return err;
    }
    pthread_detach(thread);
    err = wait_fd(q->done, POLLIN, stop, deadline);
    return err ? err : read(q->done, &count, sizeof count) < 0 ? -errno : 0;
}

/* 0, or -errno when no descriptor can be had (RLIMIT_NOFILE). */
static int no_descriptor(void)
{
    int fd = eventfd(0, EFD_CLOEXEC), err = fd < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return err;
}

static int resolve(const char *host, const char *port, int stop, int64_t deadline,
                   struct addrinfo **out, struct buf *why)
{
    struct lookup *q = mem_zalloc(sizeof *q);
    struct in6_addr literal;
    bool numeric =
        inet_pton(AF_INET, host, &literal) == 1 || inet_pton(AF_INET6, host, &literal) == 1;
    atomic_init(&q->refs, numeric ? 1 : 2);
    q->done = -1;
    snprintf(q->host, sizeof q->host, "%s", host);
    snprintf(q->port, sizeof q->port, "%s", port);
    q->hints.ai_socktype = SOCK_STREAM;
    q->hints.ai_flags = numeric ? AI_NUMERICHOST : AI_ADDRCONFIG;
    int err = 0;
    if (numeric)
        q->gai = getaddrinfo(q->host, q->port, &q->hints, &q->list);
    else
        err = lookup_wait(q, stop, deadline);
    /* Without a descriptor for /etc/hosts every host is unknown. */
    if (!err && q->gai != 0)
        err = no_descriptor();
    if (err) {
        buf_addf(why, "cannot look up %s: %s", host, strerror(-err));
    } else if (q->gai != 0) {
        buf_addf(why, "cannot find host %s: %s", host, gai_strerror(q->gai));
        err = -EHOSTUNREACH;
    } else {
        *out = q->list;
        q->list = NULL;
    }
    lookup_unref(q);
    return err;
}

/* Keep-alive probes notice a peer that vanished while nobody was asking for anything. */
static void set_socket_options(int fd)
{
    int on = 1, idle = 60, interval = 15, count = 4;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static int try_address(const struct addrinfo *ai, int stop, int64_t deadline, int *out)
{
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
    if (fd < 0)
        return -errno;
    int err = 0;
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        err = -errno;
        if (err == -EINPROGRESS) {
            err = wait_fd(fd, POLLOUT, stop, deadline);
            int soerr = 0;
            socklen_t len = sizeof soerr;
            if (!err && getsockopt(fd, SOL_SOCKET, SO_ERROR, &soerr, &len) == 0)
                err = -soerr;
        }
    }
    if (err) {
        close(fd);
        return err;
    }
    set_socket_options(fd);
    *out = fd;
    return 0;
}

int stream_connect(struct stream **out, const char *host, const char *port, int stop,
                   int64_t deadline, struct buf *why)
{
    struct addrinfo *list = NULL;
    int err = resolve(host, port, stop, deadline, &list, why);
    if (err)
        return err;
    err = -EHOSTUNREACH;
    int fd = -1;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        /* One silent address must not eat the time of those behind it. */
        int64_t now = clock_ms();
        int64_t until = ai->ai_next ? now + (deadline - now) / 2 : deadline;
        err = try_address(ai, stop, until, &fd);
        if (!err || err == -ECANCELED)
            break;
    }
    freeaddrinfo(list);
    if (err) {
        buf_addf(why, "cannot connect to %s port %s: %s", host, port, strerror(-err));
        return err;
    }
    *out = stream_new(fd, stop);
    (*out)->tcp = true;
    return 0;
}

int stream_tunnel(struct stream **out, const char *command, int stop, struct buf *why)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        int err = -errno;
        buf_addf(why, "cannot run the tunnel command: %s", strerror(-err));
        return err;
    }
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        dup2(pair[1], 0);
        dup2(pair[1], 1);
        child_run(command);
    }
    int err = pid < 0 ? -errno : 0;
    if (pid > 0)
        setpgid(pid, pid); /* whoever comes first: stream_close() may be soon */
    close(pair[1]);
    if (err) {
        close(pair[0]);
        buf_addf(why, "cannot run the tunnel command: %s", strerror(-err));
        return err;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    *out = stream_new(pair[0], stop);
    (*out)->child = pid;
    return 0;
}

int stream_start_tls(struct stream *s, const struct tls_config *c, const char *host,
                     int64_t deadline, struct buf *why)
{
    int err = tls_start(&s->tls, s->fd, s->stop, c, host, deadline, why);
    if (!err)
        tls_cipher(s->tls, s->cipher, sizeof s->cipher);
    return err;
}

/* ---- bytes ---- */

void stream_count(struct stream *s, atomic_ullong *received, atomic_ullong *sent)
{
    s->received = received;
    s->sent = sent;
}

/* What has come is acknowledged now. Courier, Cyrus and mailutils send an answer in two parts, and
 * their sockets keep the second until the first is acknowledged (Nagle), which Linux puts off by
 * 40 ms and more, in the hope of a command to send that with. Each command that is sent makes the
 * kernel hope again. */
static void acknowledge(const struct stream *s)
{
    int on = 1;
    if (s->tcp)
        setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

static ssize_t wire_read(struct stream *s, void *data, size_t len)
{
    acknowledge(s);
    if (s->tls)
        return tls_read(s->tls, data, len);
    ssize_t n = read(s->fd, data, len);
    if (n < 0)
        return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return n;
}

static ssize_t counted_read(struct stream *s, void *data, size_t len)
{
    ssize_t n = wire_read(s, data, len);
    if (n > 0 && s->received)
        *s->received += (unsigned long long)n;
    return n;
}

static ssize_t wire_write(struct stream *s, const void *data, size_t len)
{
    if (s->tls)
        return tls_write(s->tls, data, len);
    ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return n;
}

static ssize_t counted_write(struct stream *s, const void *data, size_t len)
{
    ssize_t n = wire_write(s, data, len);
    if (n > 0 && s->sent)
        *s->sent += (unsigned long long)n;
    return n;
}

bool stream_is_local(const struct stream *s)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof a;
    if (s->child || getpeername(s->fd, (struct sockaddr *)&a, &len) < 0)
        return false;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)&a)->sin6_addr;
    switch (a.ss_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(((const struct sockaddr_in *)&a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(in6) ||
               (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == IN_LOOPBACKNET);
    default:
        return false;
    }
}

void stream_start_deflate(struct stream *s, const void *data, size_t len)
{
    s->deflate = deflate_new();
    if (len)
        memcpy(deflate_room(s->deflate, len), data, len);
    deflate_filled(s->deflate, len);
    size_t at = strlen(s->cipher);
    snprintf(s->cipher + at, sizeof s->cipher - at, "%s, deflate", at ? "" : "no TLS");
}

/* What was read may be a part of something that makes no byte of output yet. Then the caller waits
 * for more, as its deadline demands, instead of reading on for as long as the peer likes. */
static ssize_t inflated_read(struct stream *s, void *data, size_t len)
{
    ssize_t n = deflate_read(s->deflate, data, len);
    if (n != -EAGAIN)
        return n;
    n = counted_read(s, deflate_room(s->deflate, WIRE_CHUNK), WIRE_CHUNK);
    if (n <= 0)
        return n;
    deflate_filled(s->deflate, (size_t)n);
    return deflate_read(s->deflate, data, len);
}

ssize_t stream_read(struct stream *s, void *data, size_t len)
{
    return s->deflate ? inflated_read(s, data, len) : counted_read(s, data, len);
}

bool stream_pending(const struct stream *s)
{
    return (s->deflate && deflate_pending(s->deflate)) || (s->tls && tls_pending(s->tls));
}

int stream_flush(struct stream *s)
{
    while (s->held_at < s->held.len) {
        ssize_t n = counted_write(s, s->held.data + s->held_at, s->held.len - s->held_at);
        if (n < 0)
            return (int)n;
        s->held_at += (size_t)n;
    }
    buf_reset(&s->held);
    s->held_at = 0;
    return 0;
}

static ssize_t deflated_write(struct stream *s, const void *data, size_t len)
{
    int err = stream_flush(s);
    if (err)
        return err;
    size_t n = len < PLAIN_CHUNK ? len : PLAIN_CHUNK;
    deflate_write(s->deflate, data, n, n == len, &s->held);
    err = stream_flush(s);
    return err && err != -EAGAIN ? err : (ssize_t)n;
}

ssize_t stream_write(struct stream *s, const void *data, size_t len)
{
    return s->deflate ? deflated_write(s, data, len) : counted_write(s, data, len);
}

size_t stream_unsent(const struct stream *s)
{
    int n = 0;
    return ioctl(s->fd, SIOCOUTQ, &n) == 0 && n > 0 ? (size_t)n : 0;
}

int stream_fd(const struct stream *s)
{
    return s->fd;
}

short stream_events(const struct stream *s, bool writing)
{
    writing |= s->held_at < s->held.len;
    if (s->tls)
        return tls_events(s->tls, writing);
    return writing ? POLLIN | POLLOUT : POLLIN;
}

const char *stream_cipher(const struct stream *s)
{
    return s->cipher;
}

/* Ends a tunnel's processes; one that does not listen is killed. */
static void reap(pid_t child)
{
    kill(-child, SIGTERM);
    int fd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd < 0 || poll(&p, 1, 2000) <= 0)
        kill(-child, SIGKILL);
    if (fd >= 0)
        close(fd);
    waitpid(child, NULL, 0);
}

void stream_close(struct stream **sp)
{
    struct stream *s = *sp;
    if (!s)
        return;
    tls_close(s->tls);
    close(s->fd);
    if (s->child > 0)
        reap(s->child);
    deflate_free(s->deflate);
    buf_free(&s->held);
    free(s);
    *sp = NULL;
}
