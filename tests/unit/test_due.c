/* What is looked at without anyone asking: after which word of the server, when, and how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stub_pool.h"

/* The look that the watcher begins at that folder. */
static struct op *take_look(const char *mailbox)
{
    struct op *op = stub_take(OP_CHECK);
    assert_string_equal(op->mailbox, mailbox);
    assert_true(op->patient);
    return op;
}

/* Answers a look as by NOOP: all that was told unasked before is all that there is to be told. */
static void answer(struct op *op, uint32_t uidvalidity, uint32_t uidnext, uint32_t exists)
{
    op_as_check(op)->state =
        (struct mailbox_state){.uidvalidity = uidvalidity, .uidnext = uidnext, .exists = exists};
    stub_answer(op, 0);
}

/* Nothing else was due so far: what comes next is the look at "Last", after a word of the server
 * that the watcher has heard behind all others. Once for a test. */
static void assert_no_other(struct stub *s)
{
    (void)s;
    stub_changed("Last", 7, CHANGE_EXISTS);
    answer(take_look("Last"), 7, 2, 1);
    struct op *op = stub_take(OP_META);
    assert_string_equal(op->mailbox, "Last");
    stub_answer(op, 0);
}

static void setup(struct stub *s)
{
    *s = (struct stub){0};
    stub_open(s, "INBOX Last Never");
    stub_load(s, "INBOX", 7, 3);
    stub_load(s, "Last", 7, 1);
    int64_t loaded = clock_ms(); /* so that the LIST is older than what the server says next */
    while (clock_ms() == loaded)
        ;
}

/* The server says how INBOX is. */
static void say_status(uint32_t uidvalidity, uint32_t uidnext, uint32_t exists)
{
    const struct mailbox_state now = {
        .uidvalidity = uidvalidity, .uidnext = uidnext, .exists = exists};
    stub_pool.events->status(stub_pool.ctx, (struct str){"INBOX", 5}, &now);
}

/* At once, and then at most once a second. */
static void test_spacing(void **state)
{
    (void)state;
    struct stub s;
    setup(&s);
    int64_t began = clock_ms();
    stub_changed("INBOX", 7, CHANGE_EXPUNGE);
    answer(take_look("INBOX"), 7, 4, 3);
    stub_answer_search(stub_take(OP_SEARCH), "1:3");
    assert_true(clock_ms() - began < STUB_PATIENCE);
    stub_changed("INBOX", 7, CHANGE_EXPUNGE);
    stub_changed("INBOX", 7, CHANGE_FLAGS);
    struct op *op = take_look("INBOX");
    assert_true(clock_ms() - began >= 1000);
    answer(op, 7, 4, 3);
    stub_answer(stub_take(OP_FLAGS), 0); /* both hints are seen to, in one run */
    stub_answer_search(stub_take(OP_SEARCH), "1:3");
    assert_no_other(&s);
    assert_true(stub_quiet());
    stub_close(&s);
}

/* What is heard while a sync runs may be news to it. */
static void test_under_sync(void **state)
{
    (void)state;
    struct stub s;
    struct asker q = ASKER;
    setup(&s);
    stub_ask(&s, stub_folder(&s, "INBOX"), &q);
    struct op *look = stub_take(OP_CHECK);
    assert_false(look->patient);
    stub_changed("INBOX", 7, CHANGE_EXPUNGE);
    answer(look, 7, 4, 3);
    struct op *search = stub_take(OP_SEARCH); /* heard before the look was answered */
    stub_changed("INBOX", 7, CHANGE_EXPUNGE);
    stub_answer_search(search, "1:3");
    assert_int_equal(asker_wait(&q), 0);
    answer(take_look("INBOX"), 7, 4, 3);
    stub_answer_search(stub_take(OP_SEARCH), "1:3");
    assert_no_other(&s);
    stub_close(&s);
}

/* Who lists a folder for the first time hears all; before that nobody wants to know. */
static void test_not_loaded(void **state)
{
    (void)state;
    struct stub s;
    setup(&s);
    stub_changed("Never", 0, CHANGE_EXISTS);
    stub_changed("INBOX", 8, CHANGE_EXISTS); /* of a mailbox that is no more */
    stub_pool.events->deaf(stub_pool.ctx);
    struct op *first = stub_take(OP_CHECK), *second = stub_take(OP_CHECK);
    assert_string_not_equal(first->mailbox, "Never");
    assert_string_not_equal(second->mailbox, "Never");
    assert_string_not_equal(first->mailbox, second->mailbox);
    assert_true(stub_quiet());
    stub_answer(first, -ECONNRESET);
    stub_answer(second, -ECONNRESET);
    stub_close(&s);
}

/* What the server says of mailboxes that nobody has selected is compared with what is known; and
 * after news there is a second look, since it may leave out what followed closely. */
static void test_status(void **state)
{
    (void)state;
    struct stub s;
    setup(&s);
    say_status(7, 4, 3);
    say_status(7, 0, UINT32_MAX);
    assert_no_other(&s);

    say_status(7, 5, 4);
    struct op *op = take_look("INBOX");
    assert_true(op_as_check(op)->changed);
    assert_false(op_as_check(op)->thorough);
    answer(op, 7, 5, 4);
    struct op *meta = stub_take(OP_META);
    stub_meta("INBOX", 7, 4, 4, "");
    stub_answer(meta, 0);
    op = take_look("INBOX");
    assert_false(op_as_check(op)->changed);
    answer(op, 7, 5, 4);

    say_status(8, 1, 0); /* another mailbox has its name */
    op = take_look("INBOX");
    assert_true(op_as_check(op)->thorough);
    answer(op, 8, 1, 0);
    stub_close(&s);
}

/* A look that nobody waits for and that fails is not begun again and again, but what is known is
 * not believed any more. Perhaps the mailbox is gone: LIST is asked. */
static void test_fails(void **state)
{
    (void)state;
    struct stub s;
    struct asker q = ASKER;
    setup(&s);
    uint32_t inbox = stub_folder(&s, "INBOX");
    assert_int_equal(account_sync(s.account, inbox, TRUST_SERVER, 1, &q.w), 0);
    stub_changed("INBOX", 7, CHANGE_EXISTS);
    stub_answer(take_look("INBOX"), -ENOENT);
    stub_answer_list(stub_take(OP_LIST), "INBOX Last Never");
    assert_no_other(&s);
    assert_int_equal(account_sync(s.account, inbox, TRUST_SERVER, 1, &q.w), -EINPROGRESS);
    answer(stub_take(OP_CHECK), 7, 4, 3);
    assert_int_equal(asker_wait(&q), 0);
    stub_close(&s);
}

/* Who comes to wait for a look that nobody waited for has it hurried, and hears of its end. */
static void test_hurried(void **state)
{
    (void)state;
    struct stub s;
    struct asker q = ASKER;
    setup(&s);
    stub_changed("INBOX", 7, CHANGE_EXISTS);
    struct op *look = take_look("INBOX");
    stub_ask(&s, stub_folder(&s, "INBOX"), &q);
    assert_false(look->patient);
    assert_true(stub_quiet());
    stub_answer(look, -ETIMEDOUT);
    assert_int_equal(asker_wait(&q), -ETIMEDOUT);
    stub_close(&s);
}

/* After a word about mailboxes there is a LIST, and a second one. */
static void test_folders(void **state)
{
    (void)state;
    struct stub s;
    setup(&s);
    int64_t began = clock_ms();
    stub_pool.events->folders(stub_pool.ctx);
    struct op *list = stub_take(OP_LIST);
    stub_answer_list(list, "INBOX Last Never");
    list = stub_take(OP_LIST);
    assert_true(clock_ms() - began >= 1000);
    stub_answer_list(list, "INBOX Last Never New");
    stub_folder(&s, "New");
    assert_no_other(&s);
    stub_close(&s);
}

/* One that is under way when that is heard may be from before it. */
static void test_folders_under_list(void **state)
{
    (void)state;
    struct stub s;
    struct asker q = ASKER;
    setup(&s);
    assert_int_equal(account_refresh_tree(s.account, TRUST_SERVER, INT64_MAX, &q.w), -EINPROGRESS);
    struct op *early = stub_take(OP_LIST);
    stub_pool.events->folders(stub_pool.ctx);
    assert_no_other(&s);
    stub_answer_list(early, "INBOX Last Never");
    assert_int_equal(asker_wait(&q), 0);
    stub_answer_list(stub_take(OP_LIST), "INBOX Last Never New");
    stub_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spacing),    cmocka_unit_test(test_under_sync),
        cmocka_unit_test(test_not_loaded), cmocka_unit_test(test_status),
        cmocka_unit_test(test_fails),      cmocka_unit_test(test_hurried),
        cmocka_unit_test(test_folders),    cmocka_unit_test(test_folders_under_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
