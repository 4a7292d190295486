/* Header fields of messages, over a pool that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stub_pool.h"

static const char fields_of_2[] =
    "From: a\r\nTo: b,\r\n c\r\nSubject: two\r\nMessage-ID: <2@x>\r\n\r\n";

struct scene {
    struct stub s;
    struct buf out;
    uint32_t gen;
};

/* INBOX with the messages 1..n, listed. */
static void begin(struct scene *c, uint32_t n, size_t prefetch)
{
    struct msg_info m;
    *c = (struct scene){.s.config.prefetch = prefetch};
    stub_open(&c->s, "INBOX Archive");
    stub_load(&c->s, "INBOX", 7, n);
    assert_int_equal(
        account_find(c->s.account, stub_folder(&c->s, "INBOX"), 1, TRUST_KNOWN, 0, &m, NULL), 0);
    c->gen = m.gen;
}

static void end(struct scene *c)
{
    stub_close(&c->s);
    buf_free(&c->out);
}

static int ask(struct scene *c, uint32_t uid, struct asker *q)
{
    buf_reset(&c->out);
    return account_header(c->s.account, c->gen, uid, &c->out, &q->w);
}

static void give(struct op *op, uint32_t uid, const char *text)
{
    uidset_remove(&op_as_header(op)->uids, uid);
    op_as_header(op)->on_bytes(op_as_header(op), uid, blob_copy(text, strlen(text)));
}

static void check_asked(const struct op *op, const char *uids)
{
    struct buf text = {0};
    uidset_text(&op_as_header(op)->uids, &text);
    assert_string_equal(buf_str(&text), uids);
    assert_string_equal(op_as_header(op)->fields, ACCOUNT_FIELDS);
    buf_free(&text);
}

static void test_one_for_all(void **state)
{
    (void)state;
    struct scene c;
    struct asker q = ASKER, p = ASKER;
    begin(&c, 3, 0);
    assert_int_equal(ask(&c, 2, &q), -EINPROGRESS);
    assert_int_equal(ask(&c, 2, &p), -EINPROGRESS);
    struct op *op = stub_take(OP_HEADER);
    check_asked(op, "2");
    assert_true(stub_quiet());
    give(op, 2, fields_of_2);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(asker_wait(&p), 0);
    stub_answer(op, 0);
    assert_int_equal(ask(&c, 2, &q), 0);
    assert_string_equal(buf_str(&c.out),
                        "From: a\r\nTo: b,\r\n c\r\nSubject: two\r\nMessage-ID: <2@x>\r\n");
    assert_true(stub_quiet());
    end(&c);
}

/* What is kept of what a stranger sends. */
static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *header, *kept;
    } rows[] = {
        {"", ""},
        {"\r\n", ""},
        {"\n", ""},
        {"From", ""},
        {":\r\n:x\r\nFrom:", "From:"},
        {"X-From: a\r\nFromm: b\r\nFro: c\r\nfrom : d\r\n\r\n", ""},
        {"sUBJECT: a\n b\n\tc\nX: d\n e\nTO:f\n\nFrom: body\n", "sUBJECT: a\n b\n\tc\nTO:f\n"},
        {" folded: first\r\nDate: x\r\n\r\n", "Date: x\r\n"},
        {"From: a\rTo: b\r\r\nTo: c\r\n\r\n", "From: a\rTo: b\r\r\nTo: c\r\n"},
        {"Subject: last line without an end", "Subject: last line without an end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene c;
        struct asker q = ASKER;
        begin(&c, 1, 0);
        assert_int_equal(ask(&c, 1, &q), -EINPROGRESS);
        struct op *op = stub_take(OP_HEADER);
        give(op, 1, rows[i].header);
        stub_answer(op, 0);
        assert_int_equal(asker_wait(&q), 0);
        assert_int_equal(ask(&c, 1, &q), 0);
        assert_string_equal(buf_str(&c.out), rows[i].kept);
        end(&c);
    }
}

/* A megabyte of recipients for each of some hundred messages. */
static void test_bounded(void **state)
{
    (void)state;
    struct scene c;
    struct asker q = ASKER;
    struct buf large = {0};
    buf_adds(&large, "To: ");
    while (large.len < 1000000)
        buf_adds(&large, "somebody@example.org,\r\n ");
    buf_adds(&large, "\r\nSubject: behind it\r\n\r\n");
    begin(&c, 100, 0);
    for (uint32_t uid = 1; uid <= 100; uid++) {
        assert_int_equal(ask(&c, uid, &q), -EINPROGRESS);
        struct op *op = stub_take(OP_HEADER);
        give(op, uid, buf_str(&large));
        stub_answer(op, 0);
        assert_int_equal(asker_wait(&q), 0);
        assert_int_equal(ask(&c, uid, &q), 0); /* the last one is kept in any case */
        assert_true(c.out.len < 70000);
        assert_non_null(strstr(buf_str(&c.out), "\r\nSubject: behind it\r\n"));
    }
    assert_int_equal(ask(&c, 99, &q), 0);
    assert_int_equal(ask(&c, 1, &q), -EINPROGRESS); /* given up meanwhile */
    stub_answer(stub_take(OP_HEADER), -EIO);
    assert_int_equal(asker_wait(&q), -EIO);
    buf_free(&large);
    end(&c);
}

static void test_gone(void **state)
{
    (void)state;
    struct scene c;
    struct asker q = ASKER;
    begin(&c, 3, 0);
    assert_int_equal(ask(&c, 2, &q), -EINPROGRESS);
    stub_answer(stub_take(OP_HEADER), 0);
    assert_int_equal(asker_wait(&q), -ESTALE);
    assert_int_equal(ask(&c, 2, &q), -EINPROGRESS); /* asked anew */
    struct op *op = stub_take(OP_HEADER);
    stub_vanished("INBOX", 7, "2");
    give(op, 2, fields_of_2); /* too late, but true */
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(ask(&c, 2, &q), -ESTALE);
    assert_int_equal(ask(&c, 4, &q), -ESTALE);
    end(&c);
}

/* It is moved by this mount while its header is asked for where it was. */
static void test_moved_meanwhile(void **state)
{
    (void)state;
    struct scene c;
    struct asker q = ASKER, mover = ASKER;
    begin(&c, 3, 0);
    stub_load(&c.s, "Archive", 9, 4);
    assert_int_equal(ask(&c, 2, &q), -EINPROGRESS);
    struct op *op = stub_take(OP_HEADER);
    assert_int_equal(
        account_move(c.s.account, c.gen, 2, stub_folder(&c.s, "Archive"), NULL, 0, &mover.w),
        -EINPROGRESS);
    stub_answer_move(stub_take(OP_MOVE), 9, 5);
    assert_int_equal(asker_wait(&mover), 0);
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(ask(&c, 2, &q), -EINPROGRESS);
    op = stub_take(OP_HEADER);
    assert_string_equal(op->mailbox, "Archive");
    check_asked(op, "5");
    give(op, 5, fields_of_2);
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(ask(&c, 2, &q), 0);
    end(&c);
}

/* The second message that is asked about in a folder brings others, the more the more were. */
static void test_ahead(void **state)
{
    (void)state;
    struct scene c;
    struct asker o = ASKER, q = ASKER, p = ASKER;
    begin(&c, 40, 8u << 20);
    assert_int_equal(ask(&c, 20, &o), -EINPROGRESS);
    struct op *first = stub_take(OP_HEADER);
    check_asked(first, "20");
    assert_int_equal(ask(&c, 21, &q), -EINPROGRESS);
    struct op *second = stub_take(OP_HEADER);
    check_asked(second, "21:29");
    assert_int_equal(ask(&c, 25, &p), -EINPROGRESS); /* it is on its way */
    assert_true(stub_quiet());
    /* Near the end those before it come, too. */
    struct asker r = ASKER;
    assert_int_equal(ask(&c, 38, &r), -EINPROGRESS);
    struct op *third = stub_take(OP_HEADER);
    check_asked(third, "30:40");
    give(third, 38, fields_of_2);
    stub_answer(third, 0); /* it had the one that was asked for only */
    assert_int_equal(asker_wait(&r), 0);
    assert_false(asker_woken(&p));
    stub_answer(second, -ENOTCONN);
    assert_int_equal(asker_wait(&p), -ENOTCONN);
    assert_int_equal(asker_wait(&q), -ENOTCONN);
    stub_answer(first, -ENOTCONN);
    assert_int_equal(asker_wait(&o), -ENOTCONN);
    end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_for_all),     cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_bounded),         cmocka_unit_test(test_gone),
        cmocka_unit_test(test_moved_meanwhile), cmocka_unit_test(test_ahead),
    };
    return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
