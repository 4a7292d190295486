/*
 * A distance between client and server, for the benchmark: every byte arrives a fixed time after it
 * was sent, and more may be on the way meanwhile.
 *
 *   bench_proxy PORT MILLISECONDS     forwards to 127.0.0.1:PORT, so many milliseconds each way
 *
 * Prints the port that it listens on. For each line on stdin it prints one line:
 *   CONNECTIONS BYTES_UP BYTES_DOWN FLIGHTS
 * A flight is what a client sends after an answer reached it: so many round trips it took. Ends
 * with stdin. The asyncio proxy of the other tests takes half a core where this one is not seen.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_LINKS 64
#define BLOCK     (128 * 1024)
#define MAX_QUEUE (64u << 20) /* bytes on the way, one direction: a second at 64 MB/s */

struct block {
    struct block *next;
    int64_t due;
    size_t len, sent;
    char data[BLOCK];
};

struct way {
    struct block *first, **last;
    size_t queued;
    bool eof, closed; /* nothing more comes; and that was passed on */
    bool full;        /* the receiver takes no more for now */
};

struct link {
    int fd[2];       /* client, server; the server's is -1 until it is due */
    struct way w[2]; /* by who sends: from the client, from the server */
    int64_t connect_due;
    bool answered; /* since the client last sent something */
};

static struct link links[MAX_LINKS];
static int nlinks;
static struct block *spare;
static int64_t delay;
static uint64_t connections, bytes[2], flights;
static struct sockaddr_in target;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static struct block *block_new(void)
{
    struct block *b = spare;

    if (b)
        spare = b->next;
    else if (!(b = malloc(sizeof *b)))
        die("malloc");
    b->next = NULL;
    b->len = b->sent = 0;
    return b;
}

static void block_free(struct block *b)
{
    b->next = spare;
    spare = b;
}

static void link_end(struct link *l)
{
    for (int i = 0; i < 2; i++) {
        if (l->fd[i] >= 0)
            close(l->fd[i]);
        for (struct block *b = l->w[i].first, *next; b; b = next) {
            next = b->next;
            block_free(b);
        }
    }
    *l = links[--nlinks];
    /* A queue without blocks points into itself. */
    for (int i = 0; i < 2; i++) {
        if (!l->w[i].first)
            l->w[i].last = &l->w[i].first;
    }
}

static void link_new(int listener)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (nlinks == MAX_LINKS) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct link *l = &links[nlinks++];
    *l = (struct link){.fd = {fd, -1}, .answered = true};
    for (int i = 0; i < 2; i++)
        l->w[i].last = &l->w[i].first;
    /*
     * The kernel has completed the client's handshake at once. With a distance, the server would
     * see the third packet of it after one and a half round trips, and only then greet.
     */
    l->connect_due = now_ns() + 3 * delay;
    connections++;
}

static bool link_connect(struct link *l)
{
    int one = 1;

    l->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd[1] < 0 || connect(l->fd[1], (struct sockaddr *)&target, sizeof target) < 0)
        return false;
    setsockopt(l->fd[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return true;
}

/* Takes what the sender has; false when the connection broke. */
static bool take(struct link *l, int from)
{
    struct way *w = &l->w[from];
    struct block *b = block_new();
    ssize_t n = recv(l->fd[from], b->data, BLOCK, MSG_DONTWAIT);

    if (n < 0) {
        block_free(b);
        return errno == EAGAIN || errno == EINTR;
    }
    /* The end of the stream travels as an empty block. */
    b->len = (size_t)n;
    b->due = now_ns() + delay;
    *w->last = b;
    w->last = &b->next;
    w->queued += b->len;
    bytes[from] += b->len;
    w->eof = n == 0;
    if (from == 0 && n > 0 && l->answered) {
        flights++;
        l->answered = false;
    }
    return true;
}

/* Hands over what is due; false when the connection broke. */
static bool give(struct link *l, int from, int64_t now)
{
    struct way *w = &l->w[from];
    int to = l->fd[!from];

    while (w->first && w->first->due <= now && !w->full) {
        struct block *b = w->first;
        if (b->sent < b->len) {
            ssize_t n = send(to, b->data + b->sent, b->len - b->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0) {
                w->full = errno == EAGAIN;
                return errno == EAGAIN || errno == EINTR;
            }
            b->sent += (size_t)n;
            w->queued -= (size_t)n;
            l->answered |= from == 1;
            if (b->sent < b->len)
                continue;
        } else {
            shutdown(to, SHUT_WR);
            w->closed = true;
        }
        w->first = b->next;
        if (!w->first)
            w->last = &w->first;
        block_free(b);
    }
    return !(l->w[0].closed && l->w[1].closed);
}

static bool link_step(struct link *l, const struct pollfd *p, int64_t now)
{
    if (l->fd[1] < 0) {
        if (l->connect_due > now)
            return true;
        if (!link_connect(l))
            return false;
    }
    for (int from = 0; from < 2; from++) {
        struct way *w = &l->w[from];
        if (p[!from].revents & (POLLOUT | POLLERR))
            w->full = false;
        if ((p[from].revents & (POLLIN | POLLHUP | POLLERR)) && !w->eof && w->queued < MAX_QUEUE &&
            !take(l, from))
            return false;
        if (!give(l, from, delay ? now : now_ns()))
            return false;
    }
    return true;
}

/* What to wait for on a link, and until when. */
static void link_wants(const struct link *l, struct pollfd *p, int64_t *until)
{
    for (int i = 0; i < 2; i++) {
        const struct way *in = &l->w[i], *out = &l->w[!i];
        p[i] = (struct pollfd){.fd = l->fd[i]};
        if (!in->eof && in->queued < MAX_QUEUE)
            p[i].events |= POLLIN;
        if (out->full)
            p[i].events |= POLLOUT;
        if (!p[i].events)
            p[i].fd = -1; /* or its POLLHUP would be reported again and again */
        if (in->first && !in->full && in->first->due < *until)
            *until = in->first->due;
    }
    if (l->fd[1] < 0) {
        p[0].fd = -1; /* what the client sends first waits in its socket */
        if (l->connect_due < *until)
            *until = l->connect_due;
    }
}

/* One line in, one line out; false at the end of stdin. */
static bool report(void)
{
    char line[256];
    ssize_t n = read(0, line, sizeof line);

    for (ssize_t i = 0; i < n; i++) {
        if (line[i] == '\n')
            printf("%llu %llu %llu %llu\n", (unsigned long long)connections,
                   (unsigned long long)bytes[0], (unsigned long long)bytes[1],
                   (unsigned long long)flights);
    }
    fflush(stdout);
    return n > 0;
}

static void serve(int listener)
{
    static struct pollfd p[2 + 2 * MAX_LINKS];

    for (;;) {
        int64_t now = now_ns(), until = now + 1000000000;
        p[0] = (struct pollfd){.fd = listener, .events = POLLIN};
        p[1] = (struct pollfd){.fd = 0, .events = POLLIN};
        for (int i = 0; i < nlinks; i++)
            link_wants(&links[i], &p[2 + 2 * i], &until);
        int64_t left = until > now ? until - now : 0;
        struct timespec t = {left / 1000000000, left % 1000000000};
        if (ppoll(p, 2 + 2 * (nfds_t)nlinks, &t, NULL) < 0 && errno != EINTR)
            die("ppoll");
        now = now_ns();
        /* Downwards: a link that ends is replaced by the last one, which has had its turn. */
        for (int i = nlinks - 1; i >= 0; i--) {
            if (!link_step(&links[i], &p[2 + 2 * i], now))
                link_end(&links[i]);
        }
        if (p[0].revents)
            link_new(listener);
        if (p[1].revents && !report())
            return;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;

    if (argc != 3) {
        fprintf(stderr, "usage: bench_proxy PORT MILLISECONDS\n");
        return 2;
    }
    target = here;
    target.sin_port = htons((uint16_t)atoi(argv[1]));
    delay = (int64_t)(atof(argv[2]) * 1e6);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&here, sizeof here) < 0 ||
        listen(listener, 16) < 0 || getsockname(listener, (struct sockaddr *)&here, &len) < 0)
        die("listen");
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    serve(listener);
    return 0;
}
