/* Moves that are tried twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs/wish.h"

static const struct wish move = {7, 100, 200, "5.eml", "5.eml"};

static void test_between_the_attempts(void **state)
{
    (void)state;
    struct wishes *ws = wishes_new();
    assert_int_equal(wish_name(ws, 7, 200, "5.eml"), WISH_NONE);
    assert_false(wish_take(ws, &move));
    wish_put(ws, &move);
    assert_int_equal(wish_name(ws, 7, 200, "5.eml"), WISH_TARGET);
    assert_int_equal(wish_name(ws, 7, 100, "5.eml"), WISH_SOURCE);
    /* Nobody else's, and no other name. */
    assert_int_equal(wish_name(ws, 8, 200, "5.eml"), WISH_NONE);
    assert_int_equal(wish_name(ws, 0, 200, "5.eml"), WISH_NONE);
    assert_int_equal(wish_name(ws, 7, 201, "5.eml"), WISH_NONE);
    assert_int_equal(wish_name(ws, 7, 200, "6.eml"), WISH_NONE);
    assert_true(wish_take(ws, &move));
    assert_false(wish_take(ws, &move));
    assert_int_equal(wish_name(ws, 7, 200, "5.eml"), WISH_NONE);
    assert_int_equal(wish_name(ws, 7, 100, "5.eml"), WISH_NONE);
    wishes_free(ws);
}

/* The thread has come to something else: what it was at is not expected any more. */
static void test_another_move(void **state)
{
    (void)state;
    const struct wish others[] = {{7, 101, 200, "5.eml", "5.eml"},
                                  {7, 100, 201, "5.eml", "5.eml"},
                                  {7, 100, 200, "6.eml", "5.eml"},
                                  {7, 100, 200, "5.eml", "6.eml"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct wishes *ws = wishes_new();
        wish_put(ws, &move);
        assert_false(wish_take(ws, &others[i]));
        assert_int_equal(wish_name(ws, 7, 200, "5.eml"), WISH_NONE);
        assert_false(wish_take(ws, &move));
        wish_put(ws, &move); /* left behind: freed with the rest */
        wishes_free(ws);
    }
    wishes_free(NULL);
}

/* Threads that were killed in between leave theirs behind: not for ever. */
static void test_bounded(void **state)
{
    (void)state;
    struct wishes *ws = wishes_new();
    for (pid_t tid = 1; tid <= 1000; tid++)
        wish_put(ws, &(struct wish){tid, 100, 200, "5.eml", "6.eml"});
    assert_int_equal(wish_name(ws, 1000, 200, "6.eml"), WISH_TARGET);
    assert_int_equal(wish_name(ws, 1, 200, "6.eml"), WISH_NONE);
    assert_true(wish_take(ws, &(struct wish){999, 100, 200, "5.eml", "6.eml"}));
    assert_int_equal(wish_name(ws, 1000, 100, "5.eml"), WISH_SOURCE);
    wishes_free(ws);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_between_the_attempts),
        cmocka_unit_test(test_another_move),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests_name("wish", tests, NULL, NULL);
}
