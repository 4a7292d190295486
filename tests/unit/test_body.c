/* Message bytes: which windows are asked for, what is kept of them, and what a message's size is
 * taken for where the server was wrong about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stub_pool.h"

enum { KIB = 1024, WINDOW = 64 * KIB, PAGE = 4096 };

/* Byte `off` of any message. */
static char pattern(uint64_t off)
{
    return (char)(off * 7 + off / 251);
}

struct scene {
    struct stub s;
    uint32_t gen;
};

/* INBOX with the messages 1..n of `size` bytes, listed. */
static void begin(struct scene *c, uint32_t n, uint64_t size)
{
    struct asker q = ASKER;
    struct msg_info m;
    stub_open(&c->s, "INBOX");
    stub_ask(&c->s, stub_folder(&c->s, "INBOX"), &q);
    stub_answer_look(stub_take(OP_CHECK), 7, n + 1, n, 0);
    struct op *meta = stub_take(OP_META);
    for (uint32_t uid = 1; uid <= n; uid++) {
        char items[200];
        snprintf(items, sizeof items,
                 "UID %u FLAGS () INTERNALDATE \"01-Nov-2026 10:00:00 +0000\" RFC822.SIZE %llu "
                 "BODY[HEADER.FIELDS (FROM SUBJECT)] \"m\"",
                 uid, (unsigned long long)size);
        stub_row("INBOX", 7, uid, items);
    }
    stub_answer(meta, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(
        account_find(c->s.account, stub_folder(&c->s, "INBOX"), 1, TRUST_KNOWN, 0, &m, NULL), 0);
    c->gen = m.gen;
}

/* Reads; what comes must be the message's bytes. Returns how many they are, or the error. */
static int read_at(struct scene *c, uint32_t uid, uint64_t off, size_t len, struct asker *q)
{
    struct slices got = {0};
    uint64_t end;
    int err = account_read(c->s.account, c->gen, uid, off, len, &got, &end, &q->w);
    size_t n = 0;
    for (size_t i = 0; i < got.n; i++)
        for (size_t j = 0; j < got.v[i].len; j++, n++)
            assert_int_equal(got.v[i].blob->data[got.v[i].off + j], pattern(off + n));
    slices_free(&got);
    return err ? err : (int)n;
}

/* The fetch of a window; it is the caller's to answer. */
static struct op *take_window(uint32_t uid, uint64_t off, uint32_t len)
{
    struct op *op = stub_take(OP_BODY);
    assert_int_equal(op_as_body(op)->uid, uid);
    assert_int_equal(op_as_body(op)->off, off);
    assert_int_equal(op_as_body(op)->len, len);
    return op;
}

/* Bytes of it come, from the first one on. */
static void send(struct op *op, size_t at, size_t len)
{
    struct op_body *b = op_as_body(op);
    struct buf bytes = {0};
    for (size_t i = 0; i < len; i++)
        buf_addc(&bytes, pattern(b->off + at + i));
    b->on_bytes(b, at, blob_copy(buf_str(&bytes), bytes.len));
    buf_free(&bytes);
}

static void answer(struct op *op, size_t len)
{
    send(op, 0, len);
    stub_answer(op, 0);
}

static uint64_t size_of(struct scene *c, uint32_t uid)
{
    struct msg_info m;
    assert_int_equal(account_msg(c->s.account, c->gen, uid, &m), 0);
    return m.size;
}

/* Readers of one message share what is under way, and what has come of it is there at once. */
static void test_shared(void **state)
{
    (void)state;
    struct scene c = {0};
    struct asker first = ASKER, second = ASKER;
    begin(&c, 1, 300000);
    assert_int_equal(read_at(&c, 1, 0, PAGE, &first), -EINPROGRESS);
    assert_int_equal(read_at(&c, 1, 8 * PAGE, PAGE, &second), -EINPROGRESS);
    struct op *op = take_window(1, 0, WINDOW);
    assert_true(stub_quiet());
    send(op, 0, PAGE);
    assert_int_equal(asker_wait(&first), 0);
    assert_int_equal(asker_wait(&second), 0);
    assert_int_equal(read_at(&c, 1, 0, PAGE, &first), PAGE);
    assert_int_equal(read_at(&c, 1, 8 * PAGE, PAGE, &second), -EINPROGRESS);
    assert_true(stub_quiet());
    send(op, PAGE, WINDOW - PAGE);
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&second), 0);
    assert_int_equal(read_at(&c, 1, 8 * PAGE, PAGE, &second), PAGE);
    assert_int_equal(read_at(&c, 1, 0, WINDOW, &second), WINDOW);
    stub_close(&c.s);
}

/* Windows grow while somebody reads straight on, and come before they are missed. */
static void test_straight_on(void **state)
{
    (void)state;
    struct scene c = {0};
    struct asker q = ASKER;
    begin(&c, 1, 10000000);
    assert_int_equal(read_at(&c, 1, 0, PAGE, &q), -EINPROGRESS);
    answer(take_window(1, 0, WINDOW), WINDOW);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 0, PAGE, &q), PAGE);
    assert_true(stub_quiet()); /* it may be all that is read */
    assert_int_equal(read_at(&c, 1, WINDOW - PAGE, PAGE, &q), PAGE);
    struct op *op = take_window(1, WINDOW, 4 * WINDOW);
    assert_true(stub_quiet());
    answer(op, 4 * WINDOW);
    for (uint64_t off = WINDOW; off < 5 * WINDOW; off += WINDOW)
        assert_int_equal(read_at(&c, 1, off, WINDOW, &q), WINDOW);
    op = stub_take(OP_BODY);
    assert_int_equal(op_as_body(op)->off, 5 * WINDOW);
    stub_answer(op, -ECANCELED);
    stub_close(&c.s);
}

/* The place where somebody reads who has jumped there begins anew with a small window. */
static void test_jump(void **state)
{
    (void)state;
    struct scene c = {0};
    struct asker q = ASKER;
    begin(&c, 1, 1000000);
    assert_int_equal(read_at(&c, 1, 500000, PAGE, &q), -EINPROGRESS);
    answer(take_window(1, 0, WINDOW), WINDOW); /* does the server know windows? */
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 500000, PAGE, &q), -EINPROGRESS);
    answer(take_window(1, 500000, WINDOW), WINDOW);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 500000, PAGE, &q), PAGE);
    /* Before what is there, not more is asked for than is missing. */
    assert_int_equal(read_at(&c, 1, 500000 - PAGE, PAGE, &q), -EINPROGRESS);
    answer(take_window(1, 500000 - PAGE, PAGE), PAGE);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 500000 - PAGE, 2 * PAGE, &q), 2 * PAGE);
    stub_close(&c.s);
}

/* What was read longest ago goes first, and what is read again is asked for again. */
static void test_evicted(void **state)
{
    (void)state;
    struct scene c = {.s.config.cache = 100000};
    struct asker q = ASKER;
    begin(&c, 3, 40000);
    for (uint32_t uid = 1; uid <= 3; uid++) {
        assert_int_equal(read_at(&c, uid, 0, 40000, &q), -EINPROGRESS);
        answer(take_window(uid, 0, WINDOW), 40000);
        assert_int_equal(asker_wait(&q), 0);
        assert_int_equal(read_at(&c, uid, 0, 40000, &q), 40000);
        if (uid == 2) /* the other one is the older */
            assert_int_equal(read_at(&c, 1, 0, 40000, &q), 40000);
    }
    assert_int_equal(read_at(&c, 1, 0, 40000, &q), 40000);
    assert_int_equal(read_at(&c, 3, 0, 40000, &q), 40000);
    assert_int_equal(read_at(&c, 2, 0, 40000, &q), -EINPROGRESS);
    answer(take_window(2, 0, WINDOW), 40000);
    assert_int_equal(asker_wait(&q), 0);
    stub_close(&c.s);
}

/* Bytes that somebody waits for are his before they are given up, however little room there is. */
static void test_no_room(void **state)
{
    (void)state;
    struct scene c = {.s.config.cache = 1};
    struct asker q = ASKER;
    begin(&c, 1, 40000);
    assert_int_equal(read_at(&c, 1, 0, 40000, &q), -EINPROGRESS);
    struct op *op = take_window(1, 0, WINDOW);
    answer(op, 40000);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 0, 40000, &q), 40000);
    stub_close(&c.s);
}

/* Shorter than announced by a server that sends longer windows: that is the end. */
static void test_shorter(void **state)
{
    (void)state;
    struct scene c = {0};
    struct asker q = ASKER;
    begin(&c, 2, 40000);
    assert_int_equal(read_at(&c, 1, 0, 40000, &q), -EINPROGRESS);
    answer(take_window(1, 0, WINDOW), 40000);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 2, 0, 40000, &q), -EINPROGRESS);
    answer(take_window(2, 0, WINDOW), 30000);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 2, 0, 40000, &q), 30000);
    assert_int_equal(read_at(&c, 2, 30000, PAGE, &q), 0);
    assert_int_equal(size_of(&c, 2), 30000);
    assert_true(stub_quiet());
    stub_close(&c.s);
}

/* Longer than announced: the kernel hears of it before a reader comes to what it takes for the
 * end. */
static void test_longer(void **state)
{
    (void)state;
    struct scene c = {0};
    struct asker q = ASKER;
    begin(&c, 1, 1000);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), -EINPROGRESS);
    answer(take_window(1, 0, WINDOW), 1500);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), -EINPROGRESS); /* is that all? */
    struct op *op = stub_take(OP_BODY);
    assert_true(op_as_body(op)->whole); /* the server was not seen to know windows */
    answer(op, 1500);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_kernel(&c.s), "size 1; ");
    assert_int_equal(read_at(&c, 1, 0, PAGE, &q), 1500);
    assert_int_equal(size_of(&c, 1), 1500);
    stub_close(&c.s);
}

/* A server that has nothing to say of a window is asked whether the message is there, and then for
 * all of it, once. */
static void test_no_data(void **state)
{
    (void)state;
    struct scene c = {0};
    struct asker q = ASKER;
    begin(&c, 1, 1000);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), -EINPROGRESS);
    stub_answer(take_window(1, 0, WINDOW), -ENODATA);
    assert_false(asker_woken(&q));
    stub_answer_look(stub_take(OP_CHECK), 7, 2, 1, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    stub_answer_search(stub_take(OP_SEARCH), "1");
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), -EINPROGRESS);
    struct op *op = stub_take(OP_BODY);
    assert_true(op_as_body(op)->whole);
    stub_answer(op, -ENODATA);
    assert_int_equal(asker_wait(&q), -EIO);
    stub_close(&c.s);
}

/* The message goes while it is read. */
static void test_gone(void **state)
{
    (void)state;
    struct scene c = {0};
    struct asker q = ASKER;
    begin(&c, 1, 1000);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), -EINPROGRESS);
    struct op *op = take_window(1, 0, WINDOW);
    stub_vanished("INBOX", 7, "1");
    answer(op, 1000);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), -ESTALE);
    assert_true(stub_quiet());
    stub_close(&c.s);
}

/* Windows that the server does not know: the whole message is asked for. */
static void test_whole(void **state)
{
    (void)state;
    struct scene c = {0};
    struct asker q = ASKER;
    begin(&c, 1, 200000);
    assert_int_equal(read_at(&c, 1, 0, PAGE, &q), -EINPROGRESS);
    answer(take_window(1, 0, WINDOW), 0); /* OK, and a message without a byte */
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 0, PAGE, &q), -EINPROGRESS);
    struct op *op = stub_take(OP_BODY);
    assert_true(op_as_body(op)->whole);
    send(op, 0, 200000);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 100000, PAGE, &q), PAGE);
    stub_answer(op, 0);
    assert_int_equal(read_at(&c, 1, 199000, PAGE, &q), 1000);
    assert_true(stub_quiet());
    stub_close(&c.s);
}

/* An error is of those who wait, and whoever asks later tries again. */
static void test_errors(void **state)
{
    (void)state;
    struct scene c = {0};
    struct asker q = ASKER;
    begin(&c, 1, 1000);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), -EINPROGRESS);
    stub_answer(take_window(1, 0, WINDOW), -ETIMEDOUT);
    assert_int_equal(asker_wait(&q), -ETIMEDOUT);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), -EINPROGRESS);
    struct op *op = take_window(1, 0, WINDOW);
    op_as_body(op)->on_bytes(op_as_body(op), 0, NULL); /* no memory */
    assert_int_equal(asker_wait(&q), -ENOMEM);
    stub_answer(op, 0);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), -EINPROGRESS);
    answer(take_window(1, 0, WINDOW), 1000);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_at(&c, 1, 0, 1000, &q), 1000);
    stub_close(&c.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared),  cmocka_unit_test(test_straight_on),
        cmocka_unit_test(test_jump),    cmocka_unit_test(test_evicted),
        cmocka_unit_test(test_no_room), cmocka_unit_test(test_shorter),
        cmocka_unit_test(test_longer),  cmocka_unit_test(test_no_data),
        cmocka_unit_test(test_gone),    cmocka_unit_test(test_whole),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
