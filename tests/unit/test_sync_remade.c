/* What the cache makes of a mailbox that turns out to be another one, over a pool that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stub_pool.h"

/* A connection that is asked for a body finds the mailbox under another UIDVALIDITY, while the one
 * that lists it goes on to show it as it was: the folder is looked at, whoever asks. */
static void contradict(bool ahead)
{
    struct stub s = {.config.prefetch = 1 << 20};
    struct asker q = ASKER;
    struct buf shown = {0};
    struct slices bytes = {0};
    struct msg_info m;
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 5);
    enum op_kind kind = OP_BODY;
    for (uint32_t uid = 1; uid <= (ahead ? 2 : 1); uid++) {
        struct op *op = uid > 1 ? stub_take(OP_BODY) : NULL;
        if (op)
            stub_answer(op, -EIO);
        if (op)
            assert_int_equal(asker_wait(&q), -EIO);
        assert_int_equal(account_find(s.account, inbox, uid, TRUST_KNOWN, 0, &m, NULL), 0);
        uint64_t end;
        int err = account_read(s.account, m.gen, uid, 0, 100, &bytes, &end, &q.w);
        assert_int_equal(err, -EINPROGRESS);
    }
    if (ahead)
        kind = OP_BODIES;
    stub_answer(stub_take(kind), -ESTALE);
    if (ahead)
        stub_answer(stub_take(OP_BODY), -EIO);
    assert_int_equal(asker_wait(&q), ahead ? -EIO : -ESTALE);

    struct op *look = stub_take(OP_CHECK);
    stub_ask(&s, inbox, &q);
    stub_answer_look(look, 8, 2, 1, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 8, 1, 1, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 ");
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &m), -ESTALE);
    buf_free(&shown);
    stub_close(&s);
}

static void test_contradicted(void **state)
{
    (void)state;
    contradict(false);
    contradict(true);
}

/* Made anew within a second, it may have the same UIDVALIDITY where that is the time. */
static void test_uidnext_before(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    struct msg_info m;
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 5);
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_KNOWN, 0, &m, NULL), 0);
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 3, 2, 0);
    struct op *op = stub_take(OP_META);
    assert_string_equal(stub_uids(op), "1:*");
    stub_meta("INBOX", 7, 1, 1, "");
    stub_meta("INBOX", 7, 2, 2, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 2 ");
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &m), -ESTALE);
    stub_close(&s);

    /* A server that always says so knows no better. */
    s = (struct stub){0};
    stub_open(&s, "INBOX");
    inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 2, 2, 0);
    op = stub_take(OP_META);
    stub_meta("INBOX", 7, 1, 1, "");
    stub_meta("INBOX", 7, 2, 2, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_KNOWN, 0, &m, NULL), 0);
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 2, 2, 1);
    stub_answer(stub_take(OP_FLAGS), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &m), 0);
    buf_free(&shown);
    stub_close(&s);
}

/* Looking now and then, it is asked what has the folder's name by now. */
static void test_polled(void **state)
{
    (void)state;
    struct stub s = {.config.poll = 1};
    struct asker q = ASKER;
    stub_open_inbox(&s, "INBOX Other", 1);
    struct op *op = stub_take(OP_CHECK);
    assert_true(op->patient && op_as_check(op)->thorough);
    stub_answer_look(op, 7, 2, 1, 1);
    stub_answer(stub_take(OP_FLAGS), 0);
    stub_ask(&s, stub_folder(&s, "Other"), &q);
    while (op = stub_take(OP_CHECK), strcmp(op->mailbox, "Other") != 0)
        stub_answer(op, -EIO);
    assert_false(op_as_check(op)->thorough || op_as_check(op)->changed);
    stub_answer(op, -EIO);
    stub_close(&s);
}

/* Who joins a look that nobody had asked for would else wait with it for a server to come back. */
static void test_joined(void **state)
{
    (void)state;
    struct stub s = {.config.poll = 1};
    struct asker q = ASKER, other = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 1);
    struct op *op = stub_take(OP_CHECK);
    assert_true(op->patient);
    stub_ask(&s, inbox, &q);
    stub_ask(&s, inbox, &other);
    assert_false(op->patient);
    stub_answer(op, -ETIMEDOUT);
    assert_int_equal(asker_wait(&q), -ETIMEDOUT);
    assert_int_equal(asker_wait(&other), -ETIMEDOUT);
    stub_close(&s);
}

/* Deleted above others, and made anew: it is looked at before a LIST shows that. */
static void test_level_no_more(void **state)
{
    (void)state;
    static const char tree[] = "INBOX Box Box/Below";
    struct stub s = {0};
    struct asker q = ASKER;
    struct msg_info m;
    struct folder_info info;
    stub_open(&s, tree);
    stub_load(&s, "Box", 7, 2);
    uint32_t box = stub_folder(&s, "Box");
    stub_pool.events->deaf(stub_pool.ctx);
    struct op *look = stub_take(OP_CHECK);
    stub_pool.events->deaf(stub_pool.ctx); /* so it is looked at once more, whatever is seen now */
    stub_ask(&s, box, &q);
    stub_answer(look, -ENOENT);
    stub_answer_list(stub_take(OP_LIST), tree); /* as Dovecot 2.3 does */
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(account_folder(s.account, box, &info), 0);
    assert_false(info.selectable);

    look = stub_take(OP_CHECK);
    assert_string_equal(look->mailbox, "Box");
    stub_answer_look(look, 8, 2, 1, 0);
    struct op *meta = stub_take(OP_META);
    stub_meta("Box", 8, 1, 1, "");
    stub_answer(meta, 0);
    assert_int_equal(account_find(s.account, box, 1, TRUST_KNOWN, 0, &m, NULL), 0);
    assert_int_equal(account_folder(s.account, box, &info), 0);
    assert_true(info.selectable);
    assert_int_equal(account_refresh_tree(s.account, TRUST_SERVER, INT64_MAX, &q.w), -EINPROGRESS);
    stub_answer_list(stub_take(OP_LIST), tree);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &m), 0);
    stub_close(&s);
}

/* All are gone, and are there after all, however soon the one is said after the other. */
static void test_taken_back(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 3);
    stub_vanished("INBOX", 7, "1:3");
    assert_string_equal(stub_shown(&s, inbox, &shown), "");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    stub_answer(stub_take(OP_META), 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    stub_answer_search(stub_take(OP_SEARCH), "1:3");
    struct op *op = stub_take(OP_META);
    for (uint32_t uid = 1; uid <= 3; uid++)
        stub_meta("INBOX", 7, uid, uid, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 2 3 ");

    /* But not what goes while the question is under way. */
    stub_changed("INBOX", 7, CHANGE_EXPUNGE);
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    op = stub_take(OP_SEARCH);
    stub_vanished("INBOX", 7, "2");
    stub_answer_search(op, "1:3");
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 3 ");
    buf_free(&shown);
    stub_close(&s);
}

/* While it is asked what there is, something else goes, which makes the answer no less true of what
 * was taken for gone before. */
static void test_taken_back_meanwhile(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 3);
    stub_vanished("INBOX", 7, "1");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    stub_answer(stub_take(OP_META), 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    struct op *op = stub_take(OP_SEARCH);
    stub_vanished("INBOX", 7, "2");
    stub_answer_search(op, "1:3");
    op = stub_take(OP_META);
    assert_string_equal(stub_uids(op), "1");
    stub_meta("INBOX", 7, 1, 1, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 3 ");
    buf_free(&shown);
    stub_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contradicted),
        cmocka_unit_test(test_uidnext_before),
        cmocka_unit_test(test_polled),
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_level_no_more),
        cmocka_unit_test(test_taken_back),
        cmocka_unit_test(test_taken_back_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
