/* Keeping what is known of a folder true to the server, over a pool that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stub_pool.h"

static void test_load(void **state)
{
    (void)state;
    struct stub s = {0};
    struct buf shown = {0};
    stub_open(&s, "INBOX Archive");
    stub_load(&s, "INBOX", 7, 3);
    assert_string_equal(stub_shown(&s, stub_folder(&s, "INBOX"), &shown), "1 2 3 ");
    assert_string_equal(stub_told(&s), ""); /* a first listing is no news */
    assert_true(stub_quiet());

    stub_meta("INBOX", 7, 4, 4, "\\Seen");
    assert_string_equal(stub_told(&s), "new INBOX/4; ");
    stub_vanished("INBOX", 7, "2");
    assert_string_equal(stub_told(&s), "expunged INBOX/2; ");
    assert_string_equal(stub_shown(&s, stub_folder(&s, "INBOX"), &shown), "1 3 4 ");
    buf_free(&shown);
    stub_close(&s);
}

/* Another connection finds out that the folder is another one: what a STORE was about is void. */
static void refuse_store(struct stub *s, const struct msg_info *m)
{
    struct asker q = ASKER;
    int err = account_store(s->account, m->gen, m->uid, "+FLAGS (\\Seen)", &q.w);
    assert_int_equal(err, -EINPROGRESS);
    stub_answer(stub_take(OP_STORE), -ESTALE);
    assert_int_equal(asker_wait(&q), -ESTALE);
}

static bool is_loaded(struct stub *s, const char *name)
{
    struct folder_info info;
    assert_int_equal(account_folder(s->account, stub_folder(s, name), &info), 0);
    return info.loaded;
}

/* While a sync is under way, whatever it has come to, the folder turns out to be another one: what
 * the sync brings is of no use, and who waits for it waits for what there is now. */
static void remade_at(enum op_kind step)
{
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    struct msg_info m;
    stub_open(&s, "INBOX");
    stub_load(&s, "INBOX", 7, 3);
    uint32_t inbox = stub_folder(&s, "INBOX");
    assert_int_equal(account_find(s.account, inbox, 2, 0, &m, NULL), 0);
    stub_ask(&s, inbox, &q);
    struct op *op = stub_take(OP_CHECK);
    if (step != OP_CHECK) {
        stub_changed("INBOX", 7, CHANGE_EXISTS | CHANGE_FLAGS | CHANGE_EXPUNGE);
        stub_answer_look(op, 7, 4, 3, 0);
        op = stub_take(OP_META);
    }
    if (step == OP_FLAGS || step == OP_SEARCH) {
        stub_answer(op, 0);
        op = stub_take(OP_FLAGS);
    }
    if (step == OP_SEARCH) {
        stub_answer(op, 0);
        op = stub_take(OP_SEARCH);
    }
    assert_int_equal(op->kind, step);
    refuse_store(&s, &m);
    struct op *look = stub_take(OP_CHECK); /* at once, since someone waits */
    assert_false(asker_woken(&q));
    if (step == OP_CHECK)
        stub_answer_look(op, 7, 4, 3, 0);
    else if (step == OP_SEARCH)
        stub_answer_search(op, "1:3");
    else
        stub_answer(op, 0);
    assert_false(is_loaded(&s, "INBOX"));
    assert_false(asker_woken(&q));
    assert_true(stub_quiet());

    stub_answer_look(look, 8, 3, 2, 0);
    op = stub_take(OP_META);
    stub_meta("INBOX", 8, 1, 1, "");
    stub_meta("INBOX", 8, 2, 2, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_true(is_loaded(&s, "INBOX"));
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 2 ");
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &m), -ESTALE);
    buf_free(&shown);
    stub_close(&s);
}

static void test_remade_under_sync(void **state)
{
    (void)state;
    remade_at(OP_CHECK);
    remade_at(OP_META);
    remade_at(OP_FLAGS);
    remade_at(OP_SEARCH);
}

/* Likewise while it is loaded, and while one message of it is asked for. */
static void test_remade_under_load(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    struct msg_info m;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 7, 1, 1, "");
    stub_meta("INBOX", 7, 2, 2, "");
    assert_int_equal(account_find(s.account, inbox, 2, 0, &m, NULL), 0);
    refuse_store(&s, &m);
    stub_meta("INBOX", 7, 3, 3, "");
    stub_answer(op, 0);
    assert_false(is_loaded(&s, "INBOX"));
    assert_false(asker_woken(&q));
    assert_string_equal(stub_shown(&s, inbox, &shown), "");
    stub_answer_look(stub_take(OP_CHECK), 8, 2, 0, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "");
    assert_true(is_loaded(&s, "INBOX"));
    buf_free(&shown);
    stub_close(&s);
}

static void test_remade_under_probe(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER, second = ASKER;
    struct msg_info m;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    assert_int_equal(account_find(s.account, inbox, 2, INT64_MAX, &m, &q.w), -EINPROGRESS);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 7, 2, 2, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(account_find(s.account, inbox, 2, 0, &m, NULL), 0);

    assert_int_equal(account_find(s.account, inbox, 3, INT64_MAX, &m, &second.w), -EINPROGRESS);
    op = stub_take(OP_META);
    assert_int_equal(account_find(s.account, inbox, 2, 0, &m, NULL), 0);
    refuse_store(&s, &m);
    struct op *look = stub_take(OP_CHECK);
    stub_answer(op, 0);
    assert_false(asker_woken(&second));
    stub_answer_look(look, 8, 4, 3, 0);
    op = stub_take(OP_META);
    assert_string_equal(op->text, "3");
    assert_int_equal(op->uidvalidity, 8);
    stub_meta("INBOX", 8, 3, 3, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&second), 0);
    assert_int_equal(account_find(s.account, inbox, 3, 0, &m, NULL), 0);
    stub_close(&s);
}

/* A step of the sync itself hears that the folder is another one. */
static void test_stale_step(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    stub_answer(stub_take(OP_META), -ESTALE);
    stub_answer_look(stub_take(OP_CHECK), 8, 2, 1, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 8, 1, 1, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 ");

    /* Not for ever. */
    stub_ask(&s, inbox, &q);
    for (unsigned i = 0; !asker_woken(&q); i++) {
        assert_true(i < 10);
        stub_answer_look(stub_take(OP_CHECK), 9 + i, 4, 3, 0);
        stub_answer(stub_take(OP_META), -ESTALE);
    }
    assert_int_equal(asker_wait(&q), -ESTALE);
    assert_false(is_loaded(&s, "INBOX"));
    buf_free(&shown);
    stub_close(&s);
}

/* The next messages of a listing that has come to `*place`. */
static const char *list_on(struct stub *s, uint32_t folder, uint64_t *place, struct buf *out)
{
    struct msg_info page[4];
    size_t n;
    buf_reset(out);
    while (account_list(s->account, folder, *place, page, 4, &n, NULL) == 0 && n)
        for (size_t i = 0; i < n; i++) {
            buf_addf(out, "%u ", page[i].uid);
            *place = page[i].place;
        }
    return buf_str(out);
}

/* UIDs that do not ascend: a listing that follows the load has each message once, as has one that
 * begins later, whatever happens meanwhile. */
static void test_late(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf out = {0};
    uint64_t first = 0, second = 0, third = 0;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 100, 6, 0);
    struct op *op = stub_take(OP_META);
    assert_string_equal(list_on(&s, inbox, &first, &out), "");
    stub_meta("INBOX", 7, 1, 51, "");
    stub_meta("INBOX", 7, 2, 52, "");
    assert_string_equal(list_on(&s, inbox, &first, &out), "51 52 ");
    stub_meta("INBOX", 7, 3, 2, "");
    stub_meta("INBOX", 7, 4, 1, "");
    assert_string_equal(list_on(&s, inbox, &first, &out), "");
    assert_string_equal(list_on(&s, inbox, &second, &out), "51 52 ");
    stub_meta("INBOX", 7, 5, 53, "");
    stub_meta("INBOX", 7, 6, 3, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(list_on(&s, inbox, &first, &out), "53 1 2 3 ");

    /* Something new comes, of which only the UID is known so far. */
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 101, 7, 0);
    op = stub_take(OP_META);
    stub_row("INBOX", 7, 7, "UID 100 RFC822.SIZE 10");
    assert_string_equal(list_on(&s, inbox, &second, &out), "53 1 2 3 ");
    stub_meta("INBOX", 7, 7, 100, "");
    stub_answer(op, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(list_on(&s, inbox, &third, &out), "51 52 53 100 1 2 3 ");
    buf_free(&out);
    stub_close(&s);
}

/* The load breaks off and is begun anew behind where it was: what had not come is found by
 * counting, and comes behind its time. */
static void test_late_after_break(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf out = {0};
    uint64_t place = 0;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 100, 4, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 7, 1, 51, "");
    stub_meta("INBOX", 7, 2, 52, "");
    assert_string_equal(list_on(&s, inbox, &place, &out), "51 52 ");
    stub_answer(op, -ENOTCONN);
    assert_int_equal(asker_wait(&q), -ENOTCONN);

    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 100, 4, 0);
    op = stub_take(OP_META);
    assert_string_equal(op->text, "53:*");
    stub_meta("INBOX", 7, 4, 53, "");
    stub_answer(op, 0);
    stub_answer_search(stub_take(OP_SEARCH), "1,51:53");
    op = stub_take(OP_META);
    assert_string_equal(op->text, "1");
    stub_meta("INBOX", 7, 3, 1, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(list_on(&s, inbox, &place, &out), "53 1 ");
    buf_free(&out);
    stub_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_remade_under_sync),
        cmocka_unit_test(test_remade_under_load),
        cmocka_unit_test(test_remade_under_probe),
        cmocka_unit_test(test_stale_step),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_late_after_break),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
