/* For which folders the kernel may go on to believe in names, and that these are looked after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cache/folder.h"
#include "cache/state.h"
#include "tests/unit/stub_pool.h"

enum { FOLDERS = 40, PLACES = 16 };

static void open_many(struct stub *s, unsigned poll)
{
    struct buf names = {0};
    *s = (struct stub){.config.poll = poll};
    for (unsigned i = 0; i < FOLDERS; i++)
        buf_addf(&names, "%sf%u", i ? " " : "", i);
    stub_open(s, buf_str(&names));
    buf_free(&names);
    for (unsigned i = 0; i < FOLDERS; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%u", i);
        stub_load(s, name, 7, 1);
    }
}

static bool promise(struct stub *s, unsigned i)
{
    char name[8];
    snprintf(name, sizeof name, "f%u", i);
    return account_promise(s->account, stub_folder(s, name));
}

static unsigned promise_all(struct stub *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < FOLDERS; i++)
        n += promise(s, i);
    return n;
}

/* So much time passes for what was promised so far. */
static void pass(struct stub *s, int seconds)
{
    account_lock(s->account);
    for (struct folder *f = tree_first(s->account); f; f = tree_next(f))
        f->watch.promised_until -= seconds * 1000;
    s->account->watch.promises_full_until -= seconds * 1000;
    account_unlock(s->account);
}

static void test_places(void **state)
{
    (void)state;
    struct stub s;
    open_many(&s, 60);
    assert_int_equal(promise_all(&s), PLACES);
    assert_true(promise(&s, 0) && promise(&s, PLACES - 1));
    assert_false(promise(&s, PLACES) || promise(&s, FOLDERS - 1));

    /* Who goes on to be asked for keeps his place. */
    pass(&s, ACCOUNT_PROMISE / 2);
    assert_true(promise(&s, 3));
    pass(&s, ACCOUNT_PROMISE / 2);
    for (unsigned i = FOLDERS - PLACES + 1; i < FOLDERS; i++)
        assert_true(promise(&s, i));
    assert_false(promise(&s, 0));
    assert_true(promise(&s, 3));
    stub_close(&s);
}

static void test_nobody_looks(void **state)
{
    (void)state;
    static const unsigned polls[] = {0, 3600};
    for (unsigned i = 0; i < 2; i++) {
        struct stub s;
        open_many(&s, polls[i]);
        assert_int_equal(promise_all(&s), 0);
        stub_hears(0); /* by a connection that may leave the mailbox at any time */
        assert_int_equal(promise_all(&s), 0);
        stub_tells_all(true);
        assert_int_equal(promise_all(&s), FOLDERS);
        stub_close(&s);
    }
}

static void test_not_loaded(void **state)
{
    (void)state;
    struct stub s = {.config.poll = 60};
    struct asker q = ASKER;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    assert_false(account_promise(s.account, inbox));
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 3, 2, 0);
    struct op *op = stub_take(OP_META);
    assert_true(account_promise(s.account, inbox));
    assert_false(account_promise(s.account, inbox + 100));
    stub_answer(op, -ENOTCONN);
    assert_int_equal(asker_wait(&q), -ENOTCONN);
    assert_false(account_promise(s.account, inbox));
    stub_load(&s, "INBOX", 7, 2);
    assert_true(account_promise(s.account, inbox));
    stub_close(&s);
}

/* A first load names some messages, and ends like this: nobody looks any more what becomes of them,
 * and so the kernel is to ask for their names again. */
static void load_ends(int err, uint32_t uidvalidity)
{
    struct stub s = {0};
    struct asker q = ASKER;
    struct msg_info m;
    size_t n;
    stub_open(&s, "INBOX");
    stub_tells_all(true);
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    struct op *meta = stub_take(OP_META);
    stub_meta("INBOX", 7, 1, 1, "");
    stub_meta("INBOX", 7, 2, 2, "");
    assert_int_equal(account_list(s.account, inbox, 0, &m, 1, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_true(account_promise(s.account, inbox));
    stub_answer(meta, err);
    if (err == -ESTALE) { /* it is begun anew */
        stub_answer_look(stub_take(OP_CHECK), uidvalidity, 4, 3, 0);
        stub_answer(stub_take(OP_META), -ENOTCONN);
    }
    if (err == -EIO) { /* refused, it is tried in other ways */
        stub_answer(stub_take(OP_SEARCH), err);
        stub_answer(stub_take(OP_FLAGS), err);
        stub_answer_list(stub_take(OP_LIST), "INBOX");
    }
    assert_int_not_equal(asker_wait(&q), 0);
    pthread_mutex_lock(&s.lock);
    assert_string_equal(buf_str(&s.kernel),
                        err == -ESTALE ? "gone 1; gone 2; " : "unsure 1; unsure 2; ");
    pthread_mutex_unlock(&s.lock);
    assert_false(account_promise(s.account, inbox));
    stub_close(&s);
}

static void test_load_ends(void **state)
{
    (void)state;
    load_ends(-ENOTCONN, 7);
    load_ends(-ETIMEDOUT, 7);
    load_ends(-EIO, 7);
    load_ends(-ESTALE, 7);
    load_ends(-ESTALE, 8);
}

/* Of a folder that turns out to be another one nothing is promised before that is loaded, and its
 * place is another's. */
static void test_remade(void **state)
{
    (void)state;
    struct stub s;
    struct asker q = ASKER;
    open_many(&s, 60);
    assert_int_equal(promise_all(&s), PLACES);
    uint32_t f0 = stub_folder(&s, "f0");
    stub_ask(&s, f0, &q);
    stub_answer_look(stub_take(OP_CHECK), 8, 2, 1, 0);
    struct op *meta = stub_take(OP_META);
    pthread_mutex_lock(&s.lock);
    assert_string_equal(buf_str(&s.kernel), "gone 1; ");
    pthread_mutex_unlock(&s.lock);
    assert_true(promise(&s, PLACES)); /* the place of the one that was forgotten */
    assert_false(promise(&s, 0));
    stub_answer(meta, -ENOTCONN);
    assert_int_equal(asker_wait(&q), -ENOTCONN);
    assert_false(promise(&s, 0));
    stub_close(&s);
}

/* What was promised for is looked at, also if 16 others were used since, or it was promised when
 * the server still told of it. */
static void test_polled(void **state)
{
    (void)state;
    struct stub s;
    bool asked[FOLDERS] = {false};
    open_many(&s, 1);
    stub_tells_all(true);
    promise_all(&s);
    stub_tells_all(false);
    for (unsigned n = 0; n < FOLDERS;) {
        struct op *op = stub_take(OP_CHECK);
        unsigned i = (unsigned)atoi(op->mailbox + 1);
        n += !asked[i];
        asked[i] = true;
        stub_answer(op, -EIO);
    }
    stub_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),     cmocka_unit_test(test_nobody_looks),
        cmocka_unit_test(test_not_loaded), cmocka_unit_test(test_load_ends),
        cmocka_unit_test(test_remade),     cmocka_unit_test(test_polled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
