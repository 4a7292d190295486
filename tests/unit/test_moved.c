/* What becomes known of a message that this mount moved, over a pool that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/wire/flags.h"
#include "tests/unit/stub_pool.h"

/* The messages 1..n in INBOX, and one, under UIDVALIDITY 9, in Archive. */
static void open_both(struct stub *s, uint32_t n)
{
    stub_open_inbox(s, "INBOX Archive", n);
    stub_load(s, "Archive", 9, 1);
}

static struct msg_info find(struct stub *s, const char *folder, uint32_t uid)
{
    struct msg_info m;
    int err = account_find(s->account, stub_folder(s, folder), uid, TRUST_KNOWN, 0, &m, NULL);
    assert_int_equal(err, 0);
    return m;
}

static uint32_t alias(struct stub *s, const char *folder, const char *name)
{
    return account_alias(s->account, stub_folder(s, folder), name);
}

/* Begins to move a message of INBOX; the operation is the caller's to answer. */
static struct op *move(struct stub *s, const struct msg_info *m, const char *dest, const char *name,
                       struct asker *q)
{
    int err = account_move(s->account, m->gen, m->uid, stub_folder(s, dest), name, 0, &q->w);
    assert_int_equal(err, -EINPROGRESS);
    return stub_take(OP_MOVE);
}

/* The server says OK, with COPYUID. */
static void moved(struct op *op, uint32_t uidvalidity, uint32_t uid, struct asker *q)
{
    stub_answer_move(op, uidvalidity, uid);
    assert_int_equal(asker_wait(q), 0);
}

static void test_sure(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct msg_info now;
    open_both(&s, 2);
    struct msg_info m = find(&s, "INBOX", 1);
    moved(move(&s, &m, "Archive", "x.eml", &q), 9, 2, &q);
    assert_string_equal(stub_told(&s), "new Archive/2; expunged INBOX/1; ");
    assert_int_equal(alias(&s, "Archive", "x.eml"), 2);
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &now), 0);
    assert_int_equal(now.folder, stub_folder(&s, "Archive"));
    assert_int_equal(now.uid, 2);
    assert_int_equal(now.size, 1001);
    assert_string_equal(now.label, "m1");
    stub_close(&s);
}

/* Another client has deleted Archive and made it anew, which this mount learns from COPYUID first:
 * what has the message's new UID in the Archive that it knows is another message. */
static void test_remade(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct msg_info now;
    stub_open_inbox(&s, "INBOX Archive", 2);
    stub_load(&s, "Archive", 7, 1);
    struct msg_info m = find(&s, "INBOX", 1);
    moved(move(&s, &m, "Archive", "x.eml", &q), 8, 1, &q);
    assert_int_equal(alias(&s, "Archive", "x.eml"), 0);
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &now), -ESTALE);

    /* It is looked at without being asked for; and what was moved is found there. */
    stub_answer_look(stub_take(OP_CHECK), 8, 2, 1, 0);
    struct op *meta = stub_take(OP_META);
    stub_meta("Archive", 8, 1, 1, "");
    stub_answer(meta, 0);
    assert_int_equal(alias(&s, "Archive", "x.eml"), 1);
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &now), 0);
    assert_int_equal(now.gen, find(&s, "Archive", 1).gen);
    stub_close(&s);
}

/* Archive is made anew under the same UIDVALIDITY: what has the moved message's UID there is
 * another message, which nobody gets by the old number or by the name that was given. */
static void test_remade_alike(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct msg_info now;
    open_both(&s, 2);
    uint32_t archive = stub_folder(&s, "Archive");
    struct msg_info m = find(&s, "INBOX", 1);
    moved(move(&s, &m, "Archive", "x.eml", &q), 9, 2, &q);
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &now), 0);
    assert_int_equal(alias(&s, "Archive", "x.eml"), 2);

    stub_ask(&s, archive, &q);
    stub_answer_look(stub_take(OP_CHECK), 9, 1, 0, 0);
    assert_int_equal(asker_wait(&q), 0);
    stub_ask(&s, archive, &q);
    stub_answer_look(stub_take(OP_CHECK), 9, 3, 2, 0);
    struct op *meta = stub_take(OP_META);
    stub_meta("Archive", 9, 1, 1, "");
    stub_meta("Archive", 9, 2, 2, "");
    stub_answer(meta, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    assert_int_equal(asker_wait(&q), 0);
    find(&s, "Archive", 2);
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &now), -ESTALE);
    assert_int_equal(alias(&s, "Archive", "x.eml"), 0);
    stub_close(&s);
}

/* Nothing is known of Archive but what COPYUID says. */
static void test_unknown(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct msg_info now;
    struct buf shown = {0};
    stub_open_inbox(&s, "INBOX Archive", 2);
    struct msg_info m = find(&s, "INBOX", 1), second = find(&s, "INBOX", 2);
    moved(move(&s, &m, "Archive", "x.eml", &q), 9, 5, &q);
    assert_int_equal(alias(&s, "Archive", "x.eml"), 5);
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &now), 0);
    assert_int_equal(now.uid, 5);

    /* Remade, in silence. */
    moved(move(&s, &second, "Archive", "y.eml", &q), 10, 5, &q);
    assert_int_equal(alias(&s, "Archive", "y.eml"), 0);
    assert_int_equal(account_msg(s.account, second.gen, second.uid, &now), -ESTALE);

    stub_ask(&s, stub_folder(&s, "Archive"), &q);
    stub_answer_look(stub_take(OP_CHECK), 10, 6, 1, 0);
    struct op *meta = stub_take(OP_META);
    stub_meta("Archive", 10, 1, 5, "");
    stub_answer(meta, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, stub_folder(&s, "Archive"), &shown), "5 ");
    assert_int_equal(alias(&s, "Archive", "x.eml"), 0);
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &now), -ESTALE);
    assert_int_equal(alias(&s, "Archive", "y.eml"), 5);
    assert_int_equal(account_msg(s.account, second.gen, second.uid, &now), 0);
    buf_free(&shown);
    stub_close(&s);
}

/* The server told of the message where it is now before it answered the move. */
static void test_told_before(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf flags = {0};
    open_both(&s, 2);
    struct msg_info m = find(&s, "INBOX", 1);
    struct op *op = move(&s, &m, "Archive", "x.eml", &q);
    stub_meta("Archive", 9, 2, 2, "\\Seen Urgent");
    stub_vanished("INBOX", 7, "1");
    moved(op, 9, 2, &q);
    assert_string_equal(stub_told(&s), "new Archive/2; expunged INBOX/1; ");
    struct msg_info now = find(&s, "Archive", 2);
    assert_int_equal(account_flags(s.account, now.gen, now.uid, &flags), 0);
    assert_string_equal(buf_str(&flags), "\\Seen Urgent");
    assert_int_equal(now.size, 1002); /* as the server told it there */
    buf_free(&flags);
    stub_close(&s);
}

/* A flag that was set while the move was under way. */
static void test_flagged_meanwhile(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    open_both(&s, 2);
    struct msg_info m = find(&s, "INBOX", 1);
    struct op *op = move(&s, &m, "Archive", "x.eml", &q);
    stub_row("INBOX", 7, 1, "UID 1 FLAGS (\\Seen)");
    moved(op, 9, 2, &q);
    assert_int_equal(find(&s, "Archive", 2).flags, FLAG_SEEN);
    stub_close(&s);
}

/* Moves a message of INBOX to Archive under a name that the message `name_of` has by itself. */
static void move_as(struct stub *s, uint32_t uid, const char *name, uint32_t name_of,
                    uint32_t new_uid)
{
    struct asker q = ASKER;
    struct msg_info m = find(s, "INBOX", uid);
    int err =
        account_move(s->account, m.gen, m.uid, stub_folder(s, "Archive"), name, name_of, &q.w);
    assert_int_equal(err, -EINPROGRESS);
    moved(stub_take(OP_MOVE), 9, new_uid, &q);
}

/* A given name holds until there is a message that has it by itself, and for good if that is older:
 * then it is gone, or the name would not have been given. */
static void test_anothers_name(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    open_both(&s, 3);
    move_as(&s, 1, "own 5", 5, 2);
    move_as(&s, 2, "own 4", 4, 3);
    move_as(&s, 3, "own 1", 1, 6);
    assert_non_null(strstr(buf_str(&s.kernel), "came 2; stale own 5; "));
    assert_int_equal(alias(&s, "Archive", "own 5"), 2);
    assert_int_equal(alias(&s, "Archive", "own 1"), 6);
    stub_ask(&s, stub_folder(&s, "Archive"), &q);
    stub_answer_look(stub_take(OP_CHECK), 9, 7, 4, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("Archive", 9, 2, 2, "");
    stub_meta("Archive", 9, 3, 3, "");
    stub_meta("Archive", 9, 4, 6, "");
    stub_answer(op, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(alias(&s, "Archive", "own 5"), 0);
    assert_int_equal(alias(&s, "Archive", "own 4"), 0);
    assert_int_equal(alias(&s, "Archive", "own 1"), 6);
    stub_close(&s);
}

/* What is presumed of a message that was moved is asked for with what else is new. */
static void test_asked_after(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    open_both(&s, 2);
    struct msg_info m = find(&s, "INBOX", 1);
    moved(move(&s, &m, "Archive", "x.eml", &q), 9, 2, &q);
    stub_told(&s);
    stub_ask(&s, stub_folder(&s, "Archive"), &q);
    stub_answer_look(stub_take(OP_CHECK), 9, 3, 2, 0);
    struct op *op = stub_take(OP_META);
    assert_string_equal(stub_uids(op), "2:*");
    stub_meta("Archive", 9, 2, 2, "\\Answered"); /* such is this server's COPY */
    stub_answer(op, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_told(&s), "flags Archive/2 \\Answered; ");
    assert_int_equal(find(&s, "Archive", 2).flags, FLAG_ANSWERED);
    stub_close(&s);
}

/* Begins to read all of it; the operation is the caller's to answer. */
static struct op *read_all(struct stub *s, const struct msg_info *m, struct asker *q)
{
    struct slices got = {0};
    uint64_t end;
    int err = account_read(s->account, m->gen, m->uid, 0, 8192, &got, &end, &q->w);
    assert_int_equal(err, -EINPROGRESS);
    return stub_take(OP_BODY);
}

static void send_body(struct op *op, size_t len)
{
    static const char bytes[8192];
    op_as_body(op)->on_bytes(op_as_body(op), 0, blob_copy(bytes, len));
    stub_answer(op, 0);
}

/* As long as was announced, which tells how long a window may be. */
static void read_honest(struct stub *s, uint32_t uid)
{
    struct asker q = ASKER;
    struct msg_info m = find(s, "INBOX", uid);
    send_body(read_all(s, &m, &q), m.size);
    assert_int_equal(asker_wait(&q), 0);
}

/* Where it was, it turned out to be shorter than was announced: the kernel knows it by that number
 * with what was announced, and hears of the end wherever it is read. */
static void test_shorter(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct slices got = {0};
    uint64_t end;
    open_both(&s, 2);
    struct msg_info m = find(&s, "INBOX", 1);
    read_honest(&s, 2);
    send_body(read_all(&s, &m, &q), 500);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(find(&s, "INBOX", 1).size, 500);
    moved(move(&s, &m, "Archive", NULL, &q), 9, 2, &q);
    account_read(s.account, m.gen, m.uid, 0, 4096, &got, &end, &q.w);
    assert_int_equal(end, 500);
    stub_close(&s);
}

/* It turns out to be longer when it has just left: the kernel may know it by either number. */
static void test_longer(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER, reader = ASKER;
    open_both(&s, 5);
    stub_row("INBOX", 7, 5, "UID 5 RFC822.SIZE 6000");
    read_honest(&s, 5);
    struct msg_info m = find(&s, "INBOX", 3);
    struct op *op = read_all(&s, &m, &reader);
    moved(move(&s, &m, "Archive", NULL, &q), 9, 2, &q);
    send_body(op, 4000);
    assert_int_equal(asker_wait(&reader), 0);
    assert_int_equal(find(&s, "Archive", 2).size, 4000);
    assert_non_null(strstr(buf_str(&s.kernel), "size 2; "));
    assert_non_null(strstr(buf_str(&s.kernel), "size 3; "));
    stub_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sure),         cmocka_unit_test(test_remade),
        cmocka_unit_test(test_remade_alike), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_told_before),  cmocka_unit_test(test_flagged_meanwhile),
        cmocka_unit_test(test_asked_after),  cmocka_unit_test(test_shorter),
        cmocka_unit_test(test_longer),       cmocka_unit_test(test_anothers_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
