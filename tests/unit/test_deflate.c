/* The compressed layer by itself: whatever the pieces it comes in, and whatever a peer sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

#include "imap/conn/deflate.h"

/* "* OK hello\r\n" as another implementation (Python's zlib) compresses it, flushed. */
static const unsigned char foreign[] = {0xd2, 0x52, 0xf0, 0xf7, 0x56, 0xc8, 0x48, 0xcd, 0xc9,
                                        0xc9, 0xe7, 0xe5, 0x02, 0x00, 0x00, 0x00, 0xff, 0xff};

static void put(struct deflate *d, const void *data, size_t len)
{
    memcpy(deflate_room(d, len), data, len);
    deflate_filled(d, len);
}

/* Reads all there is, in pieces of `piece` bytes; what the last read said. */
static ssize_t drain(struct deflate *d, size_t piece, struct buf *out)
{
    ssize_t n;
    while ((n = deflate_read(d, buf_reserve(out, piece), piece)) > 0) {
        assert_true((size_t)n <= piece);
        out->len += (size_t)n;
    }
    return n;
}

/* Lines like a server's, and some that do not repeat. */
static void sample(struct buf *out, size_t lines)
{
    uint32_t noise = 1;
    for (size_t i = 0; i < lines; i++) {
        buf_addf(out, "* %zu FETCH (UID %zu FLAGS (\\Seen) RFC822.SIZE %zu)\r\n", i, i * 3, i * i);
        for (int k = 0; i % 8 == 0 && k < 64; k++) {
            noise = noise * 1664525 + 1013904223;
            buf_addc(out, (char)(noise >> 24));
        }
    }
}

static void assert_same(const struct buf *a, const struct buf *b)
{
    assert_int_equal(a->len, b->len);
    if (a->len)
        assert_memory_equal(a->data, b->data, a->len);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 3, 7, 100, 4096, 65536};
    struct buf plain = {0}, wire = {0};
    struct deflate *sender = deflate_new();
    sample(&plain, 500);
    deflate_write(sender, plain.data, plain.len, true, &wire);
    assert_true(wire.len < plain.len);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct deflate *d = deflate_new();
        struct buf got = {0};
        assert_false(deflate_pending(d));
        for (size_t at = 0, n; at < wire.len; at += n) {
            n = wire.len - at < pieces[i] ? wire.len - at : pieces[i];
            put(d, wire.data + at, n);
            assert_true(deflate_pending(d));
            assert_int_equal(drain(d, pieces[i], &got), -EAGAIN);
            assert_false(deflate_pending(d));
        }
        assert_same(&got, &plain);
        deflate_free(d);
        buf_free(&got);
    }
    deflate_free(sender);
    buf_free(&plain);
    buf_free(&wire);
}

/* Commands flushed one by one: each can be read as soon as it was sent. */
static void test_flush(void **state)
{
    (void)state;
    struct deflate *a = deflate_new(), *b = deflate_new();
    struct buf wire = {0}, got = {0};
    for (unsigned i = 1; i <= 300; i++) {
        char line[64];
        int n = snprintf(line, sizeof line, "A%u UID FETCH %u (FLAGS)\r\n", i, i * 7);
        buf_reset(&wire);
        buf_reset(&got);
        deflate_write(a, line, (size_t)n, true, &wire);
        put(b, wire.data, wire.len);
        assert_int_equal(drain(b, 4096, &got), -EAGAIN);
        assert_string_equal(buf_str(&got), line);
    }
    /* Without a flush it may be held back; with the next one it comes. */
    buf_reset(&wire);
    buf_reset(&got);
    deflate_write(a, "one ", 4, false, &wire);
    deflate_write(a, "two", 3, true, &wire);
    put(b, wire.data, wire.len);
    assert_int_equal(drain(b, 1, &got), -EAGAIN);
    assert_string_equal(buf_str(&got), "one two");
    deflate_free(a);
    deflate_free(b);
    buf_free(&wire);
    buf_free(&got);
}

static void test_split_everywhere(void **state)
{
    (void)state;
    struct buf plain = {0}, wire = {0};
    struct deflate *sender = deflate_new();
    sample(&plain, 20);
    deflate_write(sender, plain.data, plain.len, true, &wire);
    for (size_t cut = 0; cut <= wire.len; cut++) {
        struct deflate *d = deflate_new();
        struct buf got = {0};
        put(d, wire.data, cut);
        assert_int_equal(drain(d, 512, &got), -EAGAIN);
        put(d, wire.data + cut, wire.len - cut);
        assert_int_equal(drain(d, 512, &got), -EAGAIN);
        assert_same(&got, &plain);
        deflate_free(d);
        buf_free(&got);
    }
    deflate_free(sender);
    buf_free(&plain);
    buf_free(&wire);
}

static void test_foreign(void **state)
{
    (void)state;
    struct deflate *d = deflate_new();
    struct buf got = {0};
    put(d, foreign, sizeof foreign);
    assert_int_equal(drain(d, 100, &got), -EAGAIN);
    assert_string_equal(buf_str(&got), "* OK hello\r\n");
    buf_free(&got);
    deflate_free(d);
}

/* Every prefix is waited on, never taken for the end or for an error. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof foreign; n++) {
        struct deflate *d = deflate_new();
        struct buf got = {0};
        put(d, foreign, n);
        assert_int_equal(drain(d, 100, &got), -EAGAIN);
        assert_true(got.len <= 12);
        assert_false(deflate_pending(d));
        buf_free(&got);
        deflate_free(d);
    }
}

static void test_corrupt(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\x07", 1},                 /* a block of a kind that there is not */
        {"\x00\x01\x00\x01\x00", 5}, /* a stored block whose lengths disagree */
        {"\x05\xff\xff\xff", 4},     /* code lengths that make no code */
        {"\x03\xde\xff\x0f\x00", 5}, /* a distance before the beginning */
        {"\x1f\x8b\x08", 3},         /* gzip */
        {"* OK clear text\r\n", 17},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        /* At once, and after something good. */
        for (int good = 0; good < 2; good++) {
            struct deflate *d = deflate_new();
            struct buf got = {0};
            if (good)
                put(d, foreign, sizeof foreign);
            put(d, rows[i].bytes, rows[i].len);
            ssize_t n = drain(d, 100, &got);
            if (n != -EPROTO)
                fail_msg("row %zu, after %d: %zd", i, good, n);
            if (good)
                assert_memory_equal(got.data, "* OK hello\r\n", 12);
            /* For good, whatever comes. */
            assert_true(deflate_pending(d));
            put(d, foreign, sizeof foreign);
            assert_int_equal(drain(d, 100, &got), -EPROTO);
            buf_free(&got);
            deflate_free(d);
        }
    }
}

/* A peer that ends its stream has closed; what is behind is nobody's. */
static void test_end(void **state)
{
    (void)state;
    static const unsigned char last[] = {0x03, 0x00, '*', ' '}; /* the final block, empty */
    struct deflate *d = deflate_new();
    struct buf got = {0};
    put(d, foreign, sizeof foreign);
    put(d, last, sizeof last);
    assert_int_equal(drain(d, 5, &got), 0);
    assert_string_equal(buf_str(&got), "* OK hello\r\n");
    assert_true(deflate_pending(d));
    assert_int_equal(drain(d, 5, &got), 0);
    buf_free(&got);
    deflate_free(d);
}

/* 64 MiB out of 64 KiB: what is not asked for is not made. */
static void test_bomb(void **state)
{
    (void)state;
    enum { SIZE = 64 << 20, PIECE = 8192 };
    static char zeros[1 << 16], piece[PIECE];
    struct deflate *sender = deflate_new(), *d = deflate_new();
    struct buf wire = {0};
    for (size_t n = 0; n < SIZE; n += sizeof zeros)
        deflate_write(sender, zeros, sizeof zeros, n + sizeof zeros == SIZE, &wire);
    assert_true(wire.len < SIZE / 900);
    put(d, wire.data, wire.len);
    size_t total = 0, before = mallinfo2().uordblks, most = before;
    ssize_t n;
    while ((n = deflate_read(d, piece, sizeof piece)) > 0) {
        total += (size_t)n;
        assert_true(total == SIZE || deflate_pending(d));
        size_t now = mallinfo2().uordblks;
        most = now > most ? now : most;
    }
    assert_int_equal(n, -EAGAIN);
    assert_int_equal(total, SIZE);
    assert_false(deflate_pending(d));
    assert_true(most - before < 65536); /* zlib's window */
    deflate_free(sender);
    deflate_free(d);
    buf_free(&wire);
}

/* Empty blocks without end make no output and take no memory. */
static void test_nothing_for_ever(void **state)
{
    (void)state;
    static const unsigned char empty[] = {0x00, 0x00, 0x00, 0xff, 0xff};
    struct deflate *d = deflate_new();
    char out[16];
    for (int i = 0; i < 100000; i++) {
        put(d, empty, sizeof empty);
        assert_int_equal(deflate_read(d, out, sizeof out), -EAGAIN);
        assert_false(deflate_pending(d));
    }
    deflate_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_split_everywhere),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_nothing_for_ever),
    };
    return cmocka_run_group_tests_name("deflate", tests, NULL, NULL);
}
