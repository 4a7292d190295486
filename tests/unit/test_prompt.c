/* When the silence of a server that is to tell of changes means that there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cache/folder.h"
#include "cache/state.h"
#include "imap/pool/prompt.h"
#include "tests/unit/stub_pool.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static void test_at_once(void **state)
{
    (void)state;
    struct prompt p = {0};
    int64_t now = 100 * MINUTE;
    assert_false(prompt_proven(&p));
    prompt_told(&p, now - SECOND, now);
    prompt_told(&p, 0, now); /* nobody knows how long ago */
    prompt_told(&p, now - 6 * SECOND, now);
    prompt_told(&p, now - SECOND, now);
    assert_false(prompt_proven(&p));
    prompt_told(&p, now - 5 * SECOND, now);
    assert_true(prompt_proven(&p));

    /* Even a server that tells at once misses one now and then. */
    for (int i = 0; i < 100; i++)
        prompt_told(&p, now - SECOND, now);
    prompt_missed(&p, now);
    assert_false(prompt_proven(&p));
    prompt_told(&p, now - SECOND, now);
    assert_true(prompt_proven(&p));
}

/* Each of these is what happens with one change in twelve: the tick of the server comes before the
 * next question. */
static void test_once_a_minute(void **state)
{
    (void)state;
    struct prompt p = {0};
    int64_t now = 100 * MINUTE;
    for (int i = 0; i < 1000; i++) {
        if (i % 12 < 2)
            prompt_told(&p, now - 3 * SECOND, now);
        else
            prompt_missed(&p, now);
        assert_false(prompt_proven(&p));
        now += 5 * SECOND;
    }
}

static void test_never(void **state)
{
    (void)state;
    struct prompt p = {0};
    int64_t now = 100 * MINUTE;
    for (int i = 0; i < 5; i++) {
        prompt_missed(&p, now);
        assert_false(prompt_proven(&p));
    }
}

/* What this mount did itself a moment ago may be on its way. */
static void test_own(void **state)
{
    (void)state;
    struct prompt p = {0};
    int64_t now = 100 * MINUTE;
    for (int i = 0; i < 3; i++)
        prompt_told(&p, now - SECOND, now);
    p.own_at = now - SECOND;
    prompt_missed(&p, now);
    assert_true(prompt_proven(&p));
    prompt_missed(&p, now + 2 * SECOND);
    assert_false(prompt_proven(&p));
}

/* ---- what it means for who asks ---- */

/* The last look was so long ago; is another one begun? */
static bool asks(struct stub *s, bool late, int64_t ago)
{
    struct asker q = ASKER;
    uint32_t inbox = stub_folder(s, "INBOX");
    account_lock(s->account);
    struct folder *f = folder_by_id(s->account, inbox);
    f->fresh.synced_at = clock_ms() - ago;
    f->fresh.heard_at = 0;
    account_unlock(s->account);
    stub_tells_late(late);
    int err = account_sync(s->account, inbox, TRUST_RECENT, clock_ms(), &q.w);
    if (err == -EINPROGRESS) {
        stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
        stub_answer(stub_take(OP_FLAGS), 0);
        err = asker_wait(&q);
    } else {
        ago = -1;
    }
    assert_int_equal(err, 0);
    return ago >= 0;
}

static void test_listing(void **state)
{
    (void)state;
    struct stub s = {0};
    stub_open(&s, "INBOX");
    stub_load(&s, "INBOX", 7, 3);
    assert_true(asks(&s, true, 2 * SECOND)); /* nobody tells of it */
    stub_hears(INT64_MIN);
    assert_false(asks(&s, true, 2 * SECOND));
    assert_true(asks(&s, true, 7 * SECOND));
    assert_false(asks(&s, false, 7 * SECOND));
    assert_false(asks(&s, false, 60 * MINUTE));
    stub_hears(INT64_MAX);
    assert_true(asks(&s, false, 2 * SECOND));
    stub_close(&s);
}

/* Likewise of a message in a folder that nobody listed. */
static void test_message(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct msg_info m;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_SERVER, INT64_MAX, &m, &q.w),
                     -EINPROGRESS);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 7, 2, 2, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    stub_hears(INT64_MIN);
    int64_t now = clock_ms();
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_SERVER, now + 2 * SECOND, &m, NULL),
                     0);
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_SERVER, now + MINUTE, &m, NULL), 0);
    stub_tells_late(true);
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_SERVER, now + 2 * SECOND, &m, NULL),
                     0);
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_SERVER, now + MINUTE, &m, &q.w),
                     -EINPROGRESS);
    op = stub_take(OP_META);
    stub_answer(op, -EIO);
    stub_answer_list(stub_take(OP_LIST), "INBOX");
    assert_int_equal(asker_wait(&q), -EIO);
    stub_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_once), cmocka_unit_test(test_once_a_minute),
        cmocka_unit_test(test_never),   cmocka_unit_test(test_own),
        cmocka_unit_test(test_listing), cmocka_unit_test(test_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
