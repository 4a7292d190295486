/* A stream: compressed, against a peer that says back what it hears; on the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "imap/base/clock.h"
#include "imap/conn/deflate.h"
#include "imap/conn/stream.h"

enum { PATIENCE = 30000 };

static struct stream *tunnel(const char *command, int stop)
{
    struct stream *s = NULL;
    struct buf why = {0};
    assert_int_equal(stream_tunnel(&s, command, stop, &why), 0);
    buf_free(&why);
    return s;
}

/* Waits as conn.c does: not at all when something can be read that poll() does not know of. */
static void wait_for(const struct stream *s, bool writing)
{
    struct pollfd p = {.fd = stream_fd(s), .events = stream_events(s, writing)};
    if (!stream_pending(s))
        assert_int_equal(poll(&p, 1, PATIENCE), 1);
}

/* Sends all of `out` in writes of at most `piece` bytes, and reads until as much came back. */
static void echo(struct stream *s, const struct buf *out, size_t piece, struct buf *in)
{
    size_t at = 0;
    while (in->len < out->len) {
        int err = stream_flush(s);
        assert_true(err == 0 || err == -EAGAIN);
        while (!err && at < out->len) {
            size_t left = out->len - at;
            ssize_t n = stream_write(s, out->data + at, left < piece ? left : piece);
            if (n == -EAGAIN)
                break;
            assert_true(n > 0);
            at += (size_t)n;
        }
        wait_for(s, at < out->len);
        ssize_t n = stream_read(s, buf_reserve(in, 10000), 10000);
        assert_true(n > 0 || n == -EAGAIN);
        in->len += n > 0 ? (size_t)n : 0;
    }
}

static void fill(struct buf *out, size_t size, bool noise)
{
    uint32_t x = 1;
    while (out->len < size) {
        x = x * 1664525 + 1013904223;
        if (noise)
            buf_addc(out, (char)(x >> 24));
        else
            buf_addf(out, "A%zu NOOP\r\n", out->len);
    }
}

/* What cannot be compressed fills every buffer on the way; what can, makes much of little. */
static void test_echo(void **state)
{
    (void)state;
    static const struct {
        size_t size, piece;
        bool noise;
    } rows[] = {
        {12, 12, false}, {3 << 20, 3 << 20, true}, {3 << 20, 3 << 20, false}, {5000, 1, true}};
    int stop = eventfd(0, EFD_CLOEXEC);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        atomic_ullong received = 0, sent = 0;
        struct buf out = {0}, in = {0};
        struct stream *s = tunnel("cat", stop);
        stream_count(s, &received, &sent);
        assert_string_equal(stream_cipher(s), "");
        stream_start_deflate(s, NULL, 0);
        assert_string_equal(stream_cipher(s), "no TLS, deflate");
        assert_false(stream_pending(s));
        fill(&out, rows[i].size, rows[i].noise);
        echo(s, &out, rows[i].piece, &in);
        assert_int_equal(in.len, out.len);
        assert_memory_equal(in.data, out.data, out.len);
        assert_false(stream_pending(s));
        assert_int_equal(stream_flush(s), 0);
        /* What travelled was counted, not what was made of it. */
        assert_int_equal(received, sent);
        assert_true(rows[i].noise || rows[i].size < 100 || sent < rows[i].size / 2);
        stream_close(&s);
        buf_free(&out);
        buf_free(&in);
    }
    close(stop);
}

/* The first compressed bytes were read before anyone knew what they are. */
static void test_leftover(void **state)
{
    (void)state;
    struct deflate *peer = deflate_new();
    struct buf wire = {0};
    char text[100];
    int stop = eventfd(0, EFD_CLOEXEC);
    struct stream *s = tunnel("sleep 60", stop);
    deflate_write(peer, "* OK hi\r\n", 9, true, &wire);
    stream_start_deflate(s, wire.data, wire.len);
    assert_true(stream_pending(s));
    assert_int_equal(stream_read(s, text, sizeof text), 9);
    assert_memory_equal(text, "* OK hi\r\n", 9);
    assert_false(stream_pending(s));
    assert_int_equal(stream_read(s, text, sizeof text), -EAGAIN);
    stream_close(&s);
    s = tunnel("sleep 60", stop);
    stream_start_deflate(s, "\x07", 1);
    assert_int_equal(stream_read(s, text, sizeof text), -EPROTO);
    stream_close(&s);
    deflate_free(peer);
    buf_free(&wire);
    close(stop);
}

/* A peer that sends for ever what makes no output does not keep the reader. */
static void test_nothing_for_ever(void **state)
{
    (void)state;
    char text[100];
    int stop = eventfd(0, EFD_CLOEXEC);
    struct stream *s = tunnel("while printf '\\000\\000\\000\\377\\377'; do :; done", stop);
    stream_start_deflate(s, NULL, 0);
    for (int i = 0; i < 100; i++) {
        wait_for(s, false);
        assert_int_equal(stream_read(s, text, sizeof text), -EAGAIN);
    }
    stream_close(&s);
    close(stop);
}

static void check_local(int family, const void *address, socklen_t len, const char *host)
{
    struct sockaddr_storage a = {0};
    struct buf why = {0};
    struct stream *s = NULL;
    char port[8];
    int stop = eventfd(0, EFD_CLOEXEC);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t got = sizeof a;
    if (fd >= 0 && bind(fd, address, len) == 0 && listen(fd, 4) == 0) {
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &got), 0);
        assert_int_equal(getnameinfo((struct sockaddr *)&a, got, NULL, 0, port, sizeof port,
                                     NI_NUMERICHOST | NI_NUMERICSERV),
                         0);
        assert_int_equal(stream_connect(&s, host, port, stop, clock_ms() + PATIENCE, &why), 0);
        assert_true(stream_is_local(s));
        stream_close(&s);
    }
    close(fd);
    close(stop);
    buf_free(&why);
}

static void test_local(void **state)
{
    (void)state;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010203)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    check_local(AF_INET, &four, sizeof four, "127.0.0.1");
    check_local(AF_INET, &other, sizeof other, "127.1.2.3");
    check_local(AF_INET6, &six, sizeof six, "::1");
    check_local(AF_INET6, &any, sizeof any, "::ffff:127.0.0.1");
    int stop = eventfd(0, EFD_CLOEXEC);
    struct stream *s = tunnel("sleep 60", stop);
    assert_false(stream_is_local(s)); /* nobody knows where it leads */
    stream_close(&s);
    close(stop);
}

/* Reads exactly what the peer has sent, which is one byte; whether the kernel then means to put off
 * its acknowledgements in the hope of a command to send them with. */
static bool delays_acks(struct stream *s)
{
    char byte;
    int quick = 0;
    socklen_t len = sizeof quick;
    wait_for(s, false);
    assert_int_equal(stream_read(s, &byte, 1), 1);
    assert_int_equal(getsockopt(stream_fd(s), IPPROTO_TCP, TCP_QUICKACK, &quick, &len), 0);
    return !quick;
}

/* A server whose socket collects what is small sends the second part of an answer once the first is
 * acknowledged. After some commands and answers the kernel takes the connection for one on which an
 * acknowledgement can wait for the next command, unless it is told otherwise before each read. */
static void test_acks_at_once(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    struct buf why = {0};
    struct stream *s = NULL;
    char port[8], byte = 'x';
    int stop = eventfd(0, EFD_CLOEXEC);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(port, sizeof port, "%u", ntohs(a.sin_port));
    assert_int_equal(stream_connect(&s, "127.0.0.1", port, stop, clock_ms() + PATIENCE, &why), 0);
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(stream_write(s, &byte, 1), 1);
        assert_int_equal(recv(peer, &byte, 1, 0), 1);
        assert_int_equal(send(peer, &byte, 1, 0), 1);
        assert_false(delays_acks(s));
    }
    stream_close(&s);
    close(peer);
    close(fd);
    close(stop);
    buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_leftover),
        cmocka_unit_test(test_nothing_for_ever),
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_acks_at_once),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
