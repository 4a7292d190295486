/* Bodies asked for before they are read: when, how much, what becomes of them; and what several
 * readers wait for together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stub_pool.h"

enum { KIB = 1024, SIZE = 4000 };

struct scene {
    struct stub s;
    uint32_t inbox, gen;
};

/* INBOX with the messages 1..n, of 1000 bytes and their UID each, listed. */
static void begin(struct scene *c, uint32_t n, size_t prefetch)
{
    struct msg_info m;
    *c = (struct scene){.s.config = {.prefetch = prefetch, .pool.timeout = STUB_PATIENCE}};
    c->inbox = stub_open_inbox(&c->s, "INBOX", n);
    assert_int_equal(account_find(c->s.account, c->inbox, 1, TRUST_KNOWN, 0, &m, NULL), 0);
    c->gen = m.gen;
}

static size_t size_of(uint32_t uid)
{
    return 1000 + uid;
}

/* Begins to read a message: -EINPROGRESS, or the number of bytes that were there. */
static int read_msg(struct scene *c, uint32_t uid, struct asker *q)
{
    struct slices got = {0};
    uint64_t end;
    int err = account_read(c->s.account, c->gen, uid, 0, size_of(uid), &got, &end, &q->w);
    int n = (int)got.len;
    slices_free(&got);
    return err ? err : n;
}

static struct blob *blob_of(size_t len)
{
    static const char bytes[8192];
    return blob_copy(bytes, len);
}

/* Reads one message to its end, alone. */
static void read_alone(struct scene *c, uint32_t uid)
{
    struct asker q = ASKER;
    assert_int_equal(read_msg(c, uid, &q), -EINPROGRESS);
    struct op *op = stub_take(OP_BODY);
    assert_int_equal(op_as_body(op)->uid, uid);
    op_as_body(op)->on_bytes(op_as_body(op), 0, blob_of(size_of(uid)));
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_msg(c, uid, &q), size_of(uid));
}

static void send(struct op *op, uint32_t uid)
{
    op_as_bodies(op)->on_bytes(op_as_bodies(op), uid, blob_of(size_of(uid)));
}

/* The UIDs of a batch; they live until the next call. */
static const char *uids(const struct op *op)
{
    static struct buf text;
    buf_reset(&text);
    uidset_text(&op_as_bodies((struct op *)op)->uids, &text);
    return buf_str(&text);
}

/* Of a batch that the server answers, what is left of its UIDs is what did not come. */
static void answer_all(struct op *op)
{
    struct uidset *set = &op_as_bodies(op)->uids;
    while (set->n) {
        uint32_t uid = set->r[0].lo;
        send(op, uid);
        uidset_remove(set, uid);
    }
    stub_answer(op, 0);
}

/* The second message that follows shows a walk: its neighbours come before they are missed, in
 * batches, as far as the first 128 KiB and four times what was read go. */
static void test_walk(void **state)
{
    (void)state;
    struct scene c;
    struct asker q = ASKER;
    begin(&c, 300, 8 * 1024 * KIB);
    read_alone(&c, 1);
    assert_true(stub_quiet()); /* one message is no walk */
    read_alone(&c, 2);
    struct op *first = stub_take(OP_BODIES), *second = stub_take(OP_BODIES);
    assert_true(first->background);
    assert_string_equal(uids(first), "3:66");
    uint64_t bytes = 0;
    for (uint32_t uid = 3; uid <= 66; uid++)
        bytes += size_of(uid);
    assert_in_range(bytes, 64 * KIB, 64 * KIB + SIZE);
    assert_int_equal(op_as_bodies(second)->uids.r[0].lo, 67);
    assert_true(stub_quiet());
    answer_all(first);
    assert_int_equal(read_msg(&c, 3, &q), size_of(3));
    assert_true(stub_quiet());
    answer_all(second);
    assert_int_equal(read_msg(&c, 66, &q), size_of(66)); /* the walk has come so far */
    struct op *third = stub_take(OP_BODIES);
    answer_all(third);
    stub_close(&c.s);
}

/* Whoever walks on asks for more, and never for more than `prefetch` bytes ahead. */
static void test_bounds(void **state)
{
    (void)state;
    struct scene c;
    begin(&c, 300, 100 * KIB);
    read_alone(&c, 10);
    read_alone(&c, 9);
    struct op *op = stub_take(OP_BODIES);
    assert_true(stub_quiet()); /* a second batch would be too much */
    struct uidset *set = &op_as_bodies(op)->uids;
    assert_int_equal(set->r[0].lo, 1); /* and there is no more than that in this direction */
    assert_int_equal(set->r[0].hi, 8);
    answer_all(op);
    stub_close(&c.s);

    begin(&c, 300, 0);
    read_alone(&c, 1);
    read_alone(&c, 2);
    read_alone(&c, 3);
    assert_true(stub_quiet());
    stub_close(&c.s);

    begin(&c, 300, 100 * KIB);
    read_alone(&c, 1);
    read_alone(&c, 200);
    read_alone(&c, 100);
    assert_true(stub_quiet()); /* that is no walk */
    stub_close(&c.s);
}

/* Nothing is asked for twice, and nothing that is gone. */
static void test_waste(void **state)
{
    (void)state;
    struct scene c;
    begin(&c, 12, 1024 * KIB);
    read_alone(&c, 5);
    read_alone(&c, 11);
    stub_vanished("INBOX", 7, "8");
    read_alone(&c, 4);
    struct op *op = stub_take(OP_BODIES);
    assert_string_equal(uids(op), "1:3");
    answer_all(op);
    assert_true(stub_quiet());
    stub_close(&c.s);

    begin(&c, 12, 1024 * KIB);
    read_alone(&c, 11);
    stub_vanished("INBOX", 7, "8");
    read_alone(&c, 5);
    read_alone(&c, 6);
    op = stub_take(OP_BODIES);
    assert_string_equal(uids(op), "7,9:10,12");
    answer_all(op);
    assert_true(stub_quiet());
    stub_close(&c.s);
}

/* What is just being fetched ahead its reader waits for; what still waits for a connection he asks
 * for alone. */
static void test_overtaken(void **state)
{
    (void)state;
    struct scene c;
    struct asker q = ASKER;
    begin(&c, 10, 1024 * KIB);
    read_alone(&c, 1);
    read_alone(&c, 2);
    assert_int_equal(read_msg(&c, 5, &q), -EINPROGRESS); /* the batch is still in the queue */
    struct op *op = stub_take(OP_BODY);
    assert_int_equal(op_as_body(op)->uid, 5);
    op_as_body(op)->on_bytes(op_as_body(op), 0, blob_of(size_of(5)));
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    op = stub_take(OP_BODIES); /* a connection has it */
    assert_string_equal(uids(op), "3:4,6:10");
    assert_int_equal(read_msg(&c, 6, &q), -EINPROGRESS);
    assert_true(stub_quiet());
    send(op, 6);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(read_msg(&c, 6, &q), size_of(6));
    assert_int_equal(read_msg(&c, 7, &q), -EINPROGRESS);
    stub_answer(op, 0); /* it did not bring that one */
    assert_int_equal(asker_wait(&q), 0);
    read_alone(&c, 7);
    stub_close(&c.s);
}

/* What several readers wait for leaves together as long as no connection has begun with it. */
static void test_together(void **state)
{
    (void)state;
    struct scene c;
    struct asker q[4] = {ASKER, ASKER, ASKER, ASKER};
    begin(&c, 100, 1024 * KIB);
    assert_int_equal(read_msg(&c, 10, &q[0]), -EINPROGRESS);
    assert_int_equal(read_msg(&c, 50, &q[1]), -EINPROGRESS);
    assert_int_equal(read_msg(&c, 90, &q[2]), -EINPROGRESS);
    assert_int_equal(read_msg(&c, 90, &q[3]), -EINPROGRESS);
    struct op *alone = stub_take(OP_BODY), *op = stub_take(OP_BODIES);
    assert_int_equal(op_as_body(alone)->uid, 10);
    assert_false(op->background);
    assert_string_equal(uids(op), "50,90");
    assert_true(stub_quiet());
    op_as_body(alone)->on_bytes(op_as_body(alone), 0, blob_of(size_of(10)));
    stub_answer(alone, 0);
    assert_int_equal(asker_wait(&q[0]), 0);
    send(op, 90);
    assert_int_equal(asker_wait(&q[2]), 0);
    assert_int_equal(asker_wait(&q[3]), 0);
    assert_int_equal(read_msg(&c, 90, &q[2]), size_of(90));
    stub_answer(op, -EIO); /* the other one's reader asks again, for himself */
    assert_int_equal(asker_wait(&q[1]), 0);
    read_alone(&c, 50);
    stub_close(&c.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),     cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_waste),    cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
