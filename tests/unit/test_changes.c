/* What changes made through this mount make of what is known: nothing before the server has
 * confirmed them, and then only what it has proven. Moves whose message is found again are in
 * test_moved.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/wire/flags.h"
#include "tests/unit/stub_pool.h"

static struct msg_info find(struct stub *s, uint32_t folder, uint32_t uid)
{
    struct msg_info m;
    assert_int_equal(account_find(s->account, folder, uid, TRUST_KNOWN, 0, &m, NULL), 0);
    return m;
}

static void assert_shown(struct stub *s, uint32_t folder, const char *uids)
{
    struct buf shown = {0};
    assert_string_equal(stub_shown(s, folder, &shown), uids);
    buf_free(&shown);
}

/* Begins to delete a message; the operation is the caller's to answer. */
static struct op *del(struct stub *s, const struct msg_info *m, struct asker *q)
{
    assert_int_equal(account_delete(s->account, m->gen, m->uid, &q->w), -EINPROGRESS);
    return stub_take(OP_DELETE);
}

static struct op *move(struct stub *s, const struct msg_info *m, uint32_t dest, struct asker *q)
{
    assert_int_equal(account_move(s->account, m->gen, m->uid, dest, NULL, 0, &q->w), -EINPROGRESS);
    return stub_take(OP_MOVE);
}

/* The server says that the message is gone, or flagged \Deleted and still there. */
static void answer_delete(struct op *op, bool gone)
{
    struct op_delete *o = op_as_delete(op);
    uint32_t uid = o->uids.r[0].lo;
    uidset_add(gone ? &o->gone : &o->flagged, uid, uid);
    stub_answer(op, 0);
}

static void test_deleted(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 3);
    struct msg_info m = find(&s, inbox, 2);
    struct op *op = del(&s, &m, &q);
    assert_shown(&s, inbox, "1 2 3 "); /* not before it is confirmed */
    answer_delete(op, true);
    assert_int_equal(asker_wait(&q), 0);
    assert_shown(&s, inbox, "1 3 ");
    assert_string_equal(stub_kernel(&s), "gone 2; ");
    assert_string_equal(stub_told(&s), "expunged INBOX/2; ");
    assert_int_equal(account_delete(s.account, m.gen, m.uid, &q.w), -ESTALE);
    assert_true(stub_quiet());
    stub_close(&s);
}

static void test_delete_refused(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 3);
    struct msg_info m = find(&s, inbox, 2);
    stub_answer(del(&s, &m, &q), -EPERM);
    assert_int_equal(asker_wait(&q), -EPERM);
    assert_shown(&s, inbox, "1 2 3 ");
    assert_string_equal(stub_kernel(&s), "");
    assert_string_equal(stub_told(&s), "");
    answer_delete(del(&s, &m, &q), true); /* another try is another operation */
    assert_int_equal(asker_wait(&q), 0);
    stub_close(&s);
}

/* Where only other clients' mail could be expunged with it, the message stays, flagged. It is out
 * of sight, its folder can be removed with it; and who takes the flag away has mail again. */
static void test_only_flagged(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf spare = {0};
    stub_open_inbox(&s, "INBOX Old", 1);
    stub_load(&s, "Old", 9, 2);
    uint32_t old = stub_folder(&s, "Old");
    struct msg_info one = find(&s, old, 1), two = find(&s, old, 2);
    answer_delete(del(&s, &one, &q), false);
    assert_int_equal(asker_wait(&q), 0);
    answer_delete(del(&s, &two, &q), false);
    assert_int_equal(asker_wait(&q), 0);
    assert_shown(&s, old, "");
    assert_string_equal(stub_kernel(&s), "gone 1; gone 2; ");

    stub_row("Old", 9, 2, "UID 2 FLAGS (\\Deleted)"); /* that is no news */
    assert_string_equal(stub_told(&s), "expunged Old/1; expunged Old/2; ");
    stub_row("Old", 9, 2, "UID 2 FLAGS ()");
    assert_string_equal(stub_told(&s), "new Old/2; ");
    assert_shown(&s, old, "2 ");

    assert_int_equal(account_rmdir(s.account, old, &q.w), -EINPROGRESS);
    struct op *op = stub_take(OP_REMOVE);
    uidset_text(&op_as_remove(op)->spare, &spare);
    assert_string_equal(buf_str(&spare), "1"); /* not the one that was rescued */
    stub_answer(op, -ENOTEMPTY);
    assert_int_equal(asker_wait(&q), -ENOTEMPTY);
    buf_free(&spare);
    stub_close(&s);
}

/* An interrupted command that is typed again must not act twice. */
static void test_one_at_a_time(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER, other = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX Archive", 2), archive = stub_folder(&s, "Archive");
    struct msg_info m = find(&s, inbox, 1);
    struct op *op = move(&s, &m, archive, &q);
    assert_int_equal(account_move(s.account, m.gen, m.uid, archive, NULL, 0, &other.w), -EBUSY);
    assert_int_equal(account_delete(s.account, m.gen, m.uid, &other.w), -EBUSY);
    assert_int_equal(account_rmdir(s.account, archive, &other.w), -EBUSY);
    struct msg_info m2 = find(&s, inbox, 2);
    stub_answer(del(&s, &m2, &other), -EPERM);
    assert_int_equal(asker_wait(&other), -EPERM);
    stub_answer(op, -EIO);
    assert_int_equal(asker_wait(&q), -EIO);
    assert_int_equal(account_move(s.account, m.gen, m.uid, inbox, NULL, 0, &q.w), 0);
    assert_int_equal(account_rmdir(s.account, archive, &q.w), -EINPROGRESS);
    assert_int_equal(account_move(s.account, m.gen, m.uid, archive, NULL, 0, &other.w), -EBUSY);
    stub_answer(stub_take(OP_REMOVE), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(account_move(s.account, m.gen, m.uid, archive, NULL, 0, &q.w), -ESTALE);
    stub_close(&s);
}

/* The server says that a message is gone which is just being deleted. If that then fails, it was
 * not this mount that did it: the server is asked what there is. */
static void test_vanished_under_change(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 3);
    struct msg_info m = find(&s, inbox, 2);
    struct op *op = del(&s, &m, &q);
    stub_vanished("INBOX", 7, "2:3");
    assert_shown(&s, inbox, "1 2 ");
    stub_answer(op, -EIO);
    assert_int_equal(asker_wait(&q), -EIO);
    op = stub_take(OP_CHECK);
    stub_answer_look(op, 7, 4, 1, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    stub_answer_search(stub_take(OP_SEARCH), "1");
    assert_shown(&s, inbox, "1 ");
    stub_close(&s);
}

/* The folder was found under another UIDVALIDITY: nothing of what was known holds. */
static void test_stale(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 2);
    struct msg_info m = find(&s, inbox, 1);
    stub_answer(del(&s, &m, &q), -ESTALE);
    assert_int_equal(asker_wait(&q), -ESTALE);
    assert_string_equal(stub_kernel(&s), "gone 1; gone 2; ");
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &m), -ESTALE);
    stub_load(&s, "INBOX", 8, 1);
    assert_shown(&s, inbox, "1 ");
    stub_close(&s);
}

/* A message is moved into a folder while that is being loaded, to a place that a listing which
 * follows the load has not come to, or has passed: it is listed once. */
static void move_under_load(uint32_t to, const char *meanwhile, const char *loaded)
{
    struct stub s = {0};
    struct asker q = ASKER, moved = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX Archive", 1), archive = stub_folder(&s, "Archive");
    struct msg_info m = find(&s, inbox, 1);
    stub_ask(&s, archive, &q);
    stub_answer_look(stub_take(OP_CHECK), 9, 20, 3, 0);
    struct op *meta = stub_take(OP_META);
    stub_meta("Archive", 9, 1, 10, "");
    stub_meta("Archive", 9, 2, 12, "");
    struct op *op = move(&s, &m, archive, &moved);
    stub_answer_move(op, 9, to);
    assert_int_equal(asker_wait(&moved), 0);
    assert_shown(&s, archive, meanwhile);
    stub_meta("Archive", 9, 3, 14, "");
    stub_meta("Archive", 9, 4, 20, "");
    stub_answer(meta, 0);
    stub_answer_search(stub_take(OP_SEARCH), to == 20 ? "10,12,14,20" : "10:12,14,20");
    assert_int_equal(asker_wait(&q), 0);
    assert_shown(&s, archive, loaded);
    stub_close(&s);
}

static void test_move_under_load(void **state)
{
    (void)state;
    move_under_load(20, "10 12 ", "10 12 14 20 ");
    move_under_load(11, "10 12 ", "10 12 14 20 11 ");
}

/* Which UID the message got is not said: the folder is asked, also where one has just been told
 * that such a message is not there. */
static void test_move_untold(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX Archive", 1);
    stub_load(&s, "Archive", 9, 1);
    uint32_t archive = stub_folder(&s, "Archive");
    struct msg_info m = find(&s, inbox, 1);
    struct op *op = move(&s, &m, archive, &q);
    assert_int_equal(op_as_move(op)->dest_uidnext, 2);
    assert_int_equal(op_as_move(op)->dest_uidvalidity, 9);
    uidset_add(&op_as_move(op)->gone, 1, 1);
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_shown(&s, inbox, "");
    assert_shown(&s, archive, "1 ");
    assert_int_equal(account_find(s.account, archive, 2, TRUST_SERVER, 1, &m, &q.w), -EINPROGRESS);
    stub_answer_look(stub_take(OP_CHECK), 9, 3, 2, 0);
    op = stub_take(OP_META);
    stub_meta("Archive", 9, 2, 2, "");
    stub_answer(op, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_shown(&s, archive, "1 2 ");
    stub_close(&s);
}

static void test_trash(void **state)
{
    (void)state;
    struct stub s = {.config.trash = "Bin"};
    struct asker q = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX Bin", 1), bin = stub_folder(&s, "Bin");
    struct msg_info m = find(&s, inbox, 1);
    assert_int_equal(account_delete(s.account, m.gen, m.uid, &q.w), -EINPROGRESS);
    struct op *op = stub_take(OP_MOVE);
    assert_string_equal(op_as_move(op)->dest, "Bin");
    stub_answer_move(op, 9, 1);
    assert_int_equal(asker_wait(&q), 0);
    assert_shown(&s, inbox, "");

    stub_load(&s, "Bin", 9, 1);
    m = find(&s, bin, 1);
    answer_delete(del(&s, &m, &q), true); /* what is in the trash is deleted for good */
    assert_int_equal(asker_wait(&q), 0);
    assert_shown(&s, bin, "");
    stub_close(&s);
}

/* Without the trash that was asked for, nothing is deleted at all. */
static void test_trash_gone(void **state)
{
    (void)state;
    struct stub s = {.config.trash = "Bin"};
    struct asker q = ASKER;
    uint32_t inbox = stub_open_inbox(&s, "INBOX Bin", 1);
    struct msg_info m = find(&s, inbox, 1);
    assert_int_equal(account_rmdir(s.account, stub_folder(&s, "Bin"), &q.w), -EINPROGRESS);
    stub_answer(stub_take(OP_REMOVE), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(account_delete(s.account, m.gen, m.uid, &q.w), -EIO);
    assert_true(stub_quiet());
    assert_shown(&s, inbox, "1 ");
    stub_close(&s);
}

/* Of flags this mount sets nothing is known before a row tells it. */
static void test_flags(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct flag_change change = {0};
    struct buf text = {0};
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 1);
    struct msg_info m = find(&s, inbox, 1);
    assert_int_equal(flag_change_read(&change, "+\\Seen $Junk", 12), 0);
    assert_int_equal(account_store(s.account, m.gen, m.uid, &change, &q.w), -EINPROGRESS);
    struct op *op = stub_take(OP_STORE);
    flag_change_text(&op_as_store(op)->change, &text);
    assert_string_equal(buf_str(&text), "+FLAGS (\\Seen $Junk)");
    assert_int_equal(find(&s, inbox, 1).flags, 0);
    stub_row("INBOX", 7, 1, "UID 1 FLAGS (\\Seen $Junk)");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(find(&s, inbox, 1).flags, FLAG_SEEN);
    assert_string_equal(stub_told(&s), "flags INBOX/1 \\Seen $Junk; ");
    flag_change_free(&change);
    buf_free(&text);
    stub_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_delete_refused),
        cmocka_unit_test(test_only_flagged),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_vanished_under_change),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_move_under_load),
        cmocka_unit_test(test_move_untold),
        cmocka_unit_test(test_trash),
        cmocka_unit_test(test_trash_gone),
        cmocka_unit_test(test_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
