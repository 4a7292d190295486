/* An IMAP server that plays a script to the code under test: on loopback, in a thread of the test,
 * one connection after another. Only for tests/unit. */
#ifndef TESTS_UNIT_SCRIPT_H
#define TESTS_UNIT_SCRIPT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "imap/base/buf.h"
#include "imap/base/clock.h"
#include "imap/conn/deflate.h"

/* The steps; the last one is followed by NULL. The first connection is accepted by itself.
 *   "S text"   sends a line; $T in it is the tag of the last command
 *   "R bytes"  sends bytes as they are, $T likewise
 *   "C text"   the next command must be this
 *   "L text"   the next line, without a tag, must be this
 *   "P text"   the next line, without a tag, must begin so
 *   "Z text"   sends a line, behind which everything is compressed, both ways; it leaves together
 *              with what the next step sends
 *   "W bytes"  sends bytes as they are, also where the rest is compressed
 *   "F n text" sends an untagged line of n MiB and the line "text", at once
 *   "G a n s"  sends n bytes of the pattern from its byte a on, s bytes at a time
 *   "N n ms text" sends n lines, with pauses of so many ms; # in the text is the line's number
 *   "E ms text" likewise, without end: the client must close the connection
 *   "K n ms"   reads n bytes, whatever they are, in 20 parts with pauses of so many ms
 *   "TLS"      the next bytes must be a TLS handshake; the rest of them is not read
 *   "GO"       lets the test go on where it waits for that
 *   "CUT"      closes the connection, whatever the client says
 *   "EOF"      the client must close the connection without another word
 *   "NEW"      accepts the next connection
 *   "HOLD"     likewise, and only then closes the one before */
struct script {
    const char *const *steps;
    int listener, fd;
    char port[8];
    char tag[32];
    struct buf in;
    struct deflate *deflate; /* from "Z" to the end of the connection */
    struct buf front;        /* what leaves with the next step */
    pthread_t thread;
    atomic_uint go;
    atomic_bool over;
    char error[600]; /* the first thing that was not as the script says; read it after script_end()
                      */
};

enum { SCRIPT_PATIENCE = 30000 }; /* ms that any wait may take, also on a slow machine */

static inline bool script_wait(struct script *s, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t deadline = clock_ms() + SCRIPT_PATIENCE;
    int n;
    do
        n = poll(&p, 1, (int)(deadline - clock_ms() > 0 ? deadline - clock_ms() : 0));
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        snprintf(s->error, sizeof s->error, "nothing came in time");
    return n > 0;
}

/* Reads what is compressed, or -EAGAIN. */
static inline ssize_t script_inflate(struct script *s)
{
    ssize_t n = deflate_read(s->deflate, buf_reserve(&s->in, 4096), 4096);
    if (n != -EAGAIN)
        return n;
    n = recv(s->fd, deflate_room(s->deflate, 4096), 4096, 0);
    if (n <= 0)
        return 0;
    deflate_filled(s->deflate, (size_t)n);
    return deflate_read(s->deflate, buf_reserve(&s->in, 4096), 4096);
}

/* Reads once: bytes, 0 at the end, -1 when nothing came. */
static inline ssize_t script_read(struct script *s)
{
    ssize_t n = -EAGAIN;
    while (n == -EAGAIN) {
        bool pending = s->deflate && deflate_pending(s->deflate);
        if (!pending && !script_wait(s, s->fd))
            return -1;
        n = s->deflate ? script_inflate(s) : recv(s->fd, buf_reserve(&s->in, 4096), 4096, 0);
    }
    if (n <= 0)
        return 0;
    s->in.len += (size_t)n;
    return n;
}

/* The next line without its line end. */
static inline bool script_line(struct script *s, struct buf *line)
{
    for (;;) {
        const char *nl = s->in.len ? memchr(s->in.data, '\n', s->in.len) : NULL;
        if (nl) {
            size_t n = (size_t)(nl - s->in.data);
            buf_reset(line);
            buf_add(line, s->in.data, n && nl[-1] == '\r' ? n - 1 : n);
            buf_shift(&s->in, n + 1);
            return true;
        }
        ssize_t n = script_read(s);
        if (n == 0)
            snprintf(s->error, sizeof s->error, "the client closed the connection");
        if (n <= 0)
            return false;
    }
}

static inline bool script_expect(struct script *s, char kind, const char *want)
{
    struct buf line = {0};
    bool good = script_line(s, &line);
    const char *got = buf_str(&line);
    if (good && kind == 'C') {
        size_t n = strcspn(got, " ");
        snprintf(s->tag, sizeof s->tag, "%.*s", (int)n, got);
        got += n + (got[n] == ' ');
    }
    if (good && (kind == 'P' ? strncmp(got, want, strlen(want)) : strcmp(got, want)) != 0) {
        snprintf(s->error, sizeof s->error, "the client says: %s", got);
        good = false;
    }
    buf_free(&line);
    return good;
}

static inline void script_fill(const struct script *s, const char *text, bool line, struct buf *out)
{
    const char *t = strstr(text, "$T");
    if (t)
        buf_addf(out, "%.*s%s%s", (int)(t - text), text, s->tag, t + 2);
    else
        buf_adds(out, text);
    if (line)
        buf_adds(out, "\r\n");
}

static inline void script_send_front(struct script *s)
{
    /* A client that hangs up early shows in the next step. */
    for (size_t at = 0; at < s->front.len;) {
        ssize_t n = send(s->fd, s->front.data + at, s->front.len - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    buf_reset(&s->front);
}

static inline void script_send(struct script *s, const struct buf *out)
{
    if (s->deflate)
        deflate_write(s->deflate, out->data, out->len, true, &s->front);
    else
        buf_add(&s->front, out->data, out->len);
    script_send_front(s);
}

/* A pattern whose pieces look different wherever they are cut out of it. */
static inline char script_pattern(size_t i)
{
    return (char)('!' + (i * 31 + i / 4099 + i / 250007) % 90);
}

static inline void script_pattern_send(struct script *s, const char *numbers)
{
    char *next;
    size_t at = strtoul(numbers, &next, 10), end = at + strtoul(next, &next, 10);
    size_t step = strtoul(next, NULL, 10);
    struct buf out = {0};
    while (at < end) {
        buf_reset(&out);
        for (size_t n = 0; n < step && at < end; n++)
            buf_addc(&out, script_pattern(at++));
        script_send(s, &out);
    }
    buf_free(&out);
}

/* The steps that send. */
static inline bool script_say(struct script *s, char kind, const char *arg)
{
    struct buf out = {0};
    if (kind == 'G') {
        script_pattern_send(s, arg);
        return true;
    }
    if (kind == 'F') {
        char *text;
        size_t n = strtoul(arg, &text, 10) << 20;
        buf_adds(&out, "* OK ");
        memset(buf_reserve(&out, n), 'x', n);
        out.len += n;
        buf_adds(&out, "\r\n");
        script_fill(s, text + 1, true, &out);
    } else {
        script_fill(s, arg, kind != 'R' && kind != 'W', &out);
    }
    if (kind == 'W' || kind == 'Z')
        buf_add(&s->front, out.data, out.len);
    if (kind == 'W')
        script_send_front(s);
    else if (kind == 'Z')
        s->deflate = deflate_new();
    else
        script_send(s, &out);
    buf_free(&out);
    return true;
}

/* How many lines are as good as no end. */
static inline unsigned long script_endless(const char *arg)
{
    unsigned long ms = strtoul(arg, NULL, 10);
    return ms ? SCRIPT_PATIENCE / ms : 5000000;
}

static inline void script_number(const char *text, unsigned long n, struct buf *out)
{
    for (; *text; text++)
        if (*text == '#')
            buf_addf(out, "%lu", n);
        else
            buf_addc(out, *text);
    buf_adds(out, "\r\n");
}

/* Sends `n` lines, or as many as the client takes; returns whether it took all. */
static inline bool script_lines(struct script *s, unsigned long n, const char *arg)
{
    enum { AT_ONCE = 1000 };
    char *text;
    unsigned long ms = strtoul(arg, &text, 10);
    struct buf out = {0};
    bool taken = true;
    for (unsigned long i = 1; i <= n && taken; i++) {
        script_number(text + 1, i, &out);
        if (!ms && i % AT_ONCE && i < n)
            continue;
        for (size_t at = 0; at < out.len && taken;) {
            ssize_t sent = send(s->fd, out.data + at, out.len - at, MSG_NOSIGNAL);
            taken = sent > 0;
            at += taken ? (size_t)sent : 0;
        }
        buf_reset(&out);
        nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
    }
    buf_free(&out);
    return taken;
}

static inline void script_close(struct script *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    buf_free(&s->in);
    buf_free(&s->front);
    deflate_free(s->deflate);
    s->deflate = NULL;
}

static inline bool script_accept(struct script *s, bool hold)
{
    if (!hold)
        script_close(s);
    if (!script_wait(s, s->listener))
        return false;
    script_close(s);
    s->fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    int on = 1; /* every step is sent by itself */
    return s->fd >= 0 && setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
}

/* Says nothing more, and waits until the client has understood that. */
static inline bool script_cut(struct script *s)
{
    ssize_t n;
    shutdown(s->fd, SHUT_WR);
    while ((n = script_read(s)) > 0)
        ;
    script_close(s);
    return n == 0;
}

static inline bool script_eof(struct script *s)
{
    struct buf line = {0};
    bool silent = !s->in.len && script_read(s) == 0;
    if (!silent && s->in.len && script_line(s, &line))
        snprintf(s->error, sizeof s->error, "the client goes on: %s", buf_str(&line));
    else if (!silent)
        snprintf(s->error, sizeof s->error, "the client does not close the connection");
    buf_free(&line);
    script_close(s);
    return silent;
}

static inline bool script_tls(struct script *s)
{
    bool good = (s->in.len || script_read(s) > 0) && s->in.data[0] == 0x16;
    if (!good)
        snprintf(s->error, sizeof s->error, "the client begins no TLS handshake");
    while (good && script_read(s) > 0)
        ;
    return good;
}

/* A slow reader, also for the sender: little is kept for it meanwhile. */
static inline bool script_slow(struct script *s, const char *arg)
{
    char *end;
    size_t left = strtoul(arg, &end, 10), part = left / 20 + 1;
    long ms = strtol(end, NULL, 10);
    int room = 16 * 1024;
    setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    while (left) {
        size_t want = part < left ? part : left;
        while (s->in.len < want)
            if (script_read(s) <= 0)
                return false;
        buf_shift(&s->in, want);
        left -= want;
        nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
    }
    return true;
}

static inline bool script_step(struct script *s, const char *step)
{
    const char *arg = step[1] == ' ' ? step + 2 : step + 1;
    if (strchr("SRZWFG", *step) && step[1] == ' ')
        return script_say(s, *step, arg);
    script_send_front(s);
    if (strcmp(step, "GO") == 0) {
        s->go++;
        return true;
    }
    if (strcmp(step, "NEW") == 0)
        return script_accept(s, false);
    if (strcmp(step, "HOLD") == 0)
        return script_accept(s, true);
    if (strcmp(step, "CUT") == 0)
        return script_cut(s);
    if (strcmp(step, "EOF") == 0)
        return script_eof(s);
    if (strcmp(step, "TLS") == 0)
        return script_tls(s);
    if (*step == 'K')
        return script_slow(s, arg);
    if (*step == 'N') {
        char *rest;
        unsigned long n = strtoul(arg, &rest, 10);
        return script_lines(s, n, rest);
    }
    if (*step == 'E') /* so many that a client which goes on reading is found out */
        return !script_lines(s, script_endless(arg), arg) ||
               (snprintf(s->error, sizeof s->error, "the client reads on and on"), false);
    return script_expect(s, *step, arg);
}

static inline void *script_main(void *arg)
{
    struct script *s = arg;
    bool good = script_accept(s, false);
    for (unsigned i = 0; good && s->steps[i]; i++) {
        good = script_step(s, s->steps[i]);
        if (!good) {
            char what[300];
            snprintf(what, sizeof what, "%.290s", s->error);
            snprintf(s->error, sizeof s->error, "step %u, \"%.200s\": %s", i, s->steps[i], what);
        }
    }
    script_close(s);
    s->over = true;
    if (!good) { /* nobody is answered any more, so that the test ends soon */
        shutdown(s->listener, SHUT_RDWR);
    }
    return NULL;
}

/* Returns false when there is no loopback network. */
static inline bool script_start(struct script *s, const char *const *steps)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    *s = (struct script){.steps = steps, .fd = -1};
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(s->listener, 8) < 0 || getsockname(s->listener, (struct sockaddr *)&a, &len) < 0)
        return false;
    snprintf(s->port, sizeof s->port, "%u", ntohs(a.sin_port));
    return pthread_create(&s->thread, NULL, script_main, s) == 0;
}

/* Waits for the nth "GO". */
static inline void script_wait_go(struct script *s, unsigned n)
{
    while (s->go < n && !s->over)
        usleep(1000);
}

/* Waits for the script's end. A connection that nobody expected is an error, too. */
static inline void script_end(struct script *s)
{
    pthread_join(s->thread, NULL);
    struct pollfd p = {.fd = s->listener, .events = POLLIN};
    if (!s->error[0] && poll(&p, 1, 0) > 0)
        snprintf(s->error, sizeof s->error, "the client connects once more");
    close(s->listener);
}

/* Everything up to the login, for a server with these capabilities and without a mailbox. */
#define HELLO(caps)                                                                                \
    "S * OK [CAPABILITY IMAP4rev1 " caps "] hi", "C LOGIN \"user\" \"pass\"",                      \
        "S $T OK [CAPABILITY IMAP4rev1 " caps "] in"

/* Opens a mailbox: `how` is SELECT or EXAMINE. */
#define OPEN(how, mailbox)                                                                         \
    "C " how " \"" mailbox "\"", "S * 9 EXISTS", "S * OK [UIDVALIDITY 7] x",                       \
        "S * OK [UIDNEXT 100] x", "S $T OK [READ-WRITE] open"

#define AGAIN "CUT", "NEW"
#define QUIT  "C LOGOUT", "S * BYE bye", "S $T OK bye", "EOF", NULL

#endif
