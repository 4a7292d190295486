/* The tree of folders: what a LIST makes of it, what this mount's own changes do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stub_pool.h"

/* The server's answer to LIST names this mailbox; `attribute` may be NULL. */
static void say(struct op *op, const char *mailbox, const char *attribute)
{
    struct arg a = {.type = ARG_ATOM};
    if (attribute)
        a.s = (struct str){attribute, strlen(attribute)};
    op_as_list(op)->on_list(op_as_list(op), (struct str){mailbox, strlen(mailbox)}, '/',
                            attribute ? &a : NULL);
}

/* Has LIST asked and answered with these; returns what who waits for it is told. */
static int list(struct stub *s, const char *mailboxes)
{
    struct asker q = ASKER;
    assert_int_equal(account_refresh_tree(s->account, TRUST_SERVER, INT64_MAX, &q.w), -EINPROGRESS);
    stub_answer_list(stub_take(OP_LIST), mailboxes);
    return asker_wait(&q);
}

/* The same when the answer leaves out what is to be gone, which one LIST alone does not prove. */
static void list_twice(struct stub *s, const char *mailboxes)
{
    struct asker q = ASKER;
    assert_int_equal(account_refresh_tree(s->account, TRUST_SERVER, INT64_MAX, &q.w), -EINPROGRESS);
    stub_answer_list(stub_take(OP_LIST), mailboxes);
    assert_false(asker_woken(&q));
    stub_answer_list(stub_take(OP_LIST), mailboxes);
    assert_int_equal(asker_wait(&q), 0);
}

/* What is below the folder, in the order of their ids: "A[B C] INBOX "; what holds no messages has
 * a '-' behind its name. */
static void add_below(struct stub *s, uint32_t id, struct buf *out)
{
    struct folder_info f[2];
    size_t n;
    uint32_t after = 0;
    const char *gap = "";
    while (account_children(s->account, id, after, f, 2, &n) == 0 && n)
        for (size_t i = 0; i < n; i++) {
            buf_addf(out, "%s%s%s", gap, f[i].name, f[i].selectable ? "" : "-");
            size_t len = out->len;
            buf_addc(out, '[');
            add_below(s, f[i].id, out);
            if (out->len == len + 1)
                out->len = len;
            else
                buf_addc(out, ']');
            gap = " ";
            after = f[i].id;
        }
}

static void assert_tree(struct stub *s, const char *tree)
{
    struct buf out = {0};
    add_below(s, ACCOUNT_ROOT, &out);
    assert_string_equal(buf_str(&out), tree);
    buf_free(&out);
}

static uint32_t child(struct stub *s, uint32_t parent, const char *name)
{
    struct folder_info info;
    assert_int_equal(account_child(s->account, parent, name, &info), 0);
    assert_int_equal(info.parent, parent);
    return info.id;
}

static void assert_mailbox(struct stub *s, uint32_t id, const char *mailbox)
{
    struct folder_detail d;
    assert_int_equal(account_folder_detail(s->account, id, &d), 0);
    assert_string_equal(d.mailbox, mailbox);
    free(d.mailbox);
}

/* Levels that LIST does not name are there, and hold no messages. */
static void test_listed(void **state)
{
    (void)state;
    struct stub s = {0};
    struct folder_info info;
    stub_open(&s, "INBOX A/B A/C/D E");
    assert_tree(&s, "INBOX A-[B C-[D]] E");
    assert_int_equal(list(&s, "E INBOX A/B A/C/D A/C F"), 0);
    assert_tree(&s, "INBOX A-[B C[D]] E F");
    assert_string_equal(stub_kernel(&s), "");
    assert_int_equal(account_child(s.account, ACCOUNT_ROOT, "inbox", &info), 0);
    assert_int_equal(account_child(s.account, ACCOUNT_ROOT, "e", &info), -ENOENT);
    assert_int_equal(account_child(s.account, info.id + 1000, "e", &info), -ESTALE);
    stub_close(&s);
}

/* Mailboxes that are shown alike are told apart, and stay so. */
static void test_twins(void **state)
{
    (void)state;
    struct stub s = {0};
    stub_open(&s, "INBOX &AOQ- \xc3\xa4");
    assert_tree(&s, "INBOX \xc3\xa4 \xc3\xa4~2");
    uint32_t first = child(&s, ACCOUNT_ROOT, "\xc3\xa4");
    assert_mailbox(&s, first, "&AOQ-");
    assert_int_equal(list(&s, "\xc3\xa4 &AOQ- INBOX"), 0);
    assert_int_equal(child(&s, ACCOUNT_ROOT, "\xc3\xa4"), first);
    stub_close(&s);
}

/* One LIST that leaves something out proves nothing; the one that confirms it does. */
static void test_gone(void **state)
{
    (void)state;
    struct stub s = {0};
    struct folder_info info;
    struct asker q = ASKER;
    stub_open(&s, "INBOX A A/B C");
    uint32_t a = child(&s, ACCOUNT_ROOT, "A"), b = child(&s, a, "B");

    assert_int_equal(account_refresh_tree(s.account, TRUST_SERVER, INT64_MAX, &q.w), -EINPROGRESS);
    stub_answer_list(stub_take(OP_LIST), "INBOX C");
    stub_answer_list(stub_take(OP_LIST), "INBOX A A/B C");
    assert_int_equal(asker_wait(&q), 0);
    assert_true(stub_quiet());
    assert_int_equal(child(&s, a, "B"), b);
    assert_string_equal(stub_kernel(&s), "");

    list_twice(&s, "INBOX C");
    assert_tree(&s, "INBOX C");
    assert_string_equal(stub_kernel(&s), "stale B; stale A; ");
    assert_int_equal(account_folder(s.account, a, &info), -ESTALE);
    assert_int_equal(account_folder(s.account, b, &info), -ESTALE);

    assert_int_equal(list(&s, "INBOX C A"), 0);
    assert_true(child(&s, ACCOUNT_ROOT, "A") != a); /* it may be another mailbox */
    assert_int_equal(account_folder(s.account, a, &info), -ESTALE);
    stub_close(&s);
}

/* What is above others that are still there goes on as a level that holds no messages. */
static void test_gone_above_others(void **state)
{
    (void)state;
    struct stub s = {0};
    stub_open(&s, "INBOX A A/B");
    uint32_t a = child(&s, ACCOUNT_ROOT, "A");
    list_twice(&s, "INBOX A/B");
    assert_tree(&s, "INBOX A-[B]");
    assert_int_equal(child(&s, ACCOUNT_ROOT, "A"), a);
    stub_close(&s);
}

static void test_nothing_listed(void **state)
{
    (void)state;
    struct stub s = {0};
    stub_open(&s, "INBOX A");
    assert_int_equal(list(&s, ""), -EIO);
    assert_tree(&s, "INBOX A");
    stub_close(&s);
}

/* Who waits for a folder that goes asks again, and what its sync still brings counts for nothing.
 */
static void test_gone_under_sync(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER, rows = ASKER;
    struct msg_info info;
    size_t n;
    stub_open(&s, "INBOX A");
    uint32_t a = child(&s, ACCOUNT_ROOT, "A");
    stub_ask(&s, a, &q);
    assert_int_equal(account_list(s.account, a, 0, &info, 1, &n, &rows.w), -EINPROGRESS);
    struct op *look = stub_take(OP_CHECK);
    list_twice(&s, "INBOX");
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(asker_wait(&rows), 0);
    assert_int_equal(account_sync(s.account, a, TRUST_SERVER, INT64_MAX, &q.w), -ESTALE);
    stub_answer_look(look, 7, 2, 1, 0);
    assert_true(stub_quiet());
    stub_close(&s);
}

/* A mailbox that was loaded holds no messages any more, and later it does. */
static void test_noselect(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    stub_open(&s, "INBOX A");
    stub_load(&s, "A", 7, 2);
    uint32_t a = child(&s, ACCOUNT_ROOT, "A");
    assert_int_equal(account_refresh_tree(s.account, TRUST_SERVER, INT64_MAX, &q.w), -EINPROGRESS);
    struct op *op = stub_take(OP_LIST);
    say(op, "INBOX", NULL);
    say(op, "A", "\\Noselect");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_kernel(&s), "gone 1; gone 2; ");
    assert_tree(&s, "INBOX A-");
    assert_int_equal(account_sync(s.account, a, TRUST_SERVER, INT64_MAX, &q.w), 0);
    assert_string_equal(stub_shown(&s, a, &shown), "");

    assert_int_equal(list(&s, "INBOX A"), 0);
    assert_int_equal(child(&s, ACCOUNT_ROOT, "A"), a);
    stub_load(&s, "A", 8, 1);
    assert_string_equal(stub_shown(&s, a, &shown), "1 ");
    buf_free(&shown);
    stub_close(&s);
}

/* What is below a folder that is renamed stays what it was, messages and all; and a LIST that was
 * asked before says nothing of how it is now. */
static void test_rename_of_a_parent(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER, listed = ASKER;
    struct msg_info before, after;
    struct buf shown = {0};
    stub_open(&s, "INBOX A A/B A/B/C");
    uint32_t a = child(&s, ACCOUNT_ROOT, "A"), b = child(&s, a, "B"), c = child(&s, b, "C");
    struct asker loaded = ASKER;
    stub_ask(&s, b, &loaded);
    stub_answer_look(stub_take(OP_CHECK), 7, 2, 1, 0);
    struct op *meta = stub_take(OP_META);
    stub_meta("A/B", 7, 1, 1, "");
    stub_answer(meta, 0);
    assert_int_equal(asker_wait(&loaded), 0);
    assert_int_equal(account_find(s.account, b, 1, TRUST_SERVER, 0, &before, NULL), 0);

    assert_int_equal(account_refresh_tree(s.account, TRUST_SERVER, INT64_MAX, &listed.w),
                     -EINPROGRESS);
    struct op *early = stub_take(OP_LIST);
    assert_int_equal(account_rename(s.account, a, ACCOUNT_ROOT, "D", &q.w), -EINPROGRESS);
    struct op *op = stub_take(OP_RENAME);
    assert_string_equal(op->mailbox, "A");
    stub_answer_list(early, "INBOX A A/B A/B/C");
    assert_false(asker_woken(&listed));
    assert_true(stub_quiet()); /* while that goes on, LIST would tell nothing */
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_kernel(&s), "stale A; ");
    assert_tree(&s, "INBOX D[B[C]]");
    assert_int_equal(child(&s, ACCOUNT_ROOT, "D"), a);
    assert_mailbox(&s, b, "D/B");
    assert_mailbox(&s, c, "D/B/C");
    assert_int_equal(account_find(s.account, b, 1, TRUST_SERVER, 0, &after, NULL), 0);
    assert_int_equal(after.gen, before.gen);
    stub_meta("D/B", 7, 2, 2, ""); /* that is its name now */
    assert_string_equal(stub_shown(&s, b, &shown), "1 2 ");

    stub_answer_list(stub_take(OP_LIST), "INBOX D D/B D/B/C");
    assert_int_equal(asker_wait(&listed), 0);
    assert_int_equal(child(&s, child(&s, a, "B"), "C"), c);
    buf_free(&shown);
    stub_close(&s);
}

static void test_rename_refused(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    stub_open(&s, "INBOX A A/B");
    uint32_t a = child(&s, ACCOUNT_ROOT, "A"), b = child(&s, a, "B");
    assert_int_equal(account_rename(s.account, a, b, "C", &q.w), -EINVAL); /* into itself */
    assert_int_equal(account_rename(s.account, stub_folder(&s, "INBOX"), a, "C", &q.w), -EPERM);
    assert_int_equal(account_rename(s.account, a, ACCOUNT_ROOT, "C", &q.w), -EINPROGRESS);
    stub_answer(stub_take(OP_RENAME), -EEXIST);
    assert_int_equal(asker_wait(&q), -EEXIST);
    assert_tree(&s, "INBOX A[B]");
    assert_int_equal(account_refresh_tree(s.account, TRUST_SERVER, 0, &q.w),
                     -EINPROGRESS); /* LIST is to tell */
    stub_answer_list(stub_take(OP_LIST), "INBOX A A/B");
    assert_int_equal(asker_wait(&q), 0);
    stub_close(&s);
}

/* A LIST from before a folder was made does not make it vanish. */
static void test_made_under_list(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER, listed = ASKER;
    stub_open(&s, "INBOX");
    assert_int_equal(account_refresh_tree(s.account, TRUST_SERVER, INT64_MAX, &listed.w),
                     -EINPROGRESS);
    struct op *early = stub_take(OP_LIST);
    assert_int_equal(account_mkdir(s.account, ACCOUNT_ROOT, "A", &q.w), -EINPROGRESS);
    struct op *op = stub_take(OP_CREATE);
    assert_string_equal(op->mailbox, "A");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    uint32_t a = child(&s, ACCOUNT_ROOT, "A");
    stub_answer_list(early, "INBOX");
    assert_false(asker_woken(&listed));
    stub_answer_list(stub_take(OP_LIST), "INBOX A");
    assert_int_equal(asker_wait(&listed), 0);
    assert_int_equal(child(&s, ACCOUNT_ROOT, "A"), a);
    assert_true(stub_quiet());
    stub_close(&s);
}

static void test_removed(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    stub_open(&s, "INBOX A A/B");
    uint32_t a = child(&s, ACCOUNT_ROOT, "A"), b = child(&s, a, "B");
    assert_int_equal(account_rmdir(s.account, a, &q.w), -ENOTEMPTY);
    assert_int_equal(account_rmdir(s.account, stub_folder(&s, "INBOX"), &q.w), -EPERM);
    assert_int_equal(account_rmdir(s.account, b, &q.w), -EINPROGRESS);
    assert_int_equal(account_rmdir(s.account, b, &q.w), -EBUSY);
    stub_answer(stub_take(OP_REMOVE), -ENOTEMPTY);
    assert_int_equal(asker_wait(&q), -ENOTEMPTY);
    assert_tree(&s, "INBOX A[B]");
    assert_int_equal(account_rmdir(s.account, b, &q.w), -EINPROGRESS);
    stub_answer(stub_take(OP_REMOVE), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_tree(&s, "INBOX A");
    assert_string_equal(stub_kernel(&s), "stale B; ");
    stub_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listed),         cmocka_unit_test(test_twins),
        cmocka_unit_test(test_gone),           cmocka_unit_test(test_gone_above_others),
        cmocka_unit_test(test_nothing_listed), cmocka_unit_test(test_gone_under_sync),
        cmocka_unit_test(test_noselect),       cmocka_unit_test(test_rename_of_a_parent),
        cmocka_unit_test(test_rename_refused), cmocka_unit_test(test_made_under_list),
        cmocka_unit_test(test_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
