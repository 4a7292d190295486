/* How old what is known of a folder is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cache/fresh.h"

/* As many probes are remembered as there is room for, and the latest of them. */
static void test_probes(void **state)
{
    (void)state;
    struct freshness fr = {0};
    assert_false(fresh_was_probed(&fr, 1, 0));
    for (uint32_t uid = 1; uid <= FRESH_PROBES + 1; uid++)
        fresh_probed(&fr, uid, 100 + uid);
    assert_false(fresh_was_probed(&fr, 1, 0));
    assert_true(fresh_was_probed(&fr, 2, 102));
    assert_false(fresh_was_probed(&fr, 2, 103));
    fresh_probed(&fr, 4, 200);
    assert_true(fresh_was_probed(&fr, 4, 200));
    assert_true(fresh_was_probed(&fr, FRESH_PROBES + 1, 0));
}

/* A message that this mount moved here got the next UID there was. */
static void test_none(void **state)
{
    (void)state;
    struct freshness fr = {0};
    assert_false(fresh_is_none(&fr, 5, 0));
    assert_false(fresh_is_last(&fr, 4, 0));
    fresh_none_from(&fr, 5, 100);
    assert_true(fresh_is_none(&fr, 5, 100));
    assert_true(fresh_is_none(&fr, 6, 100));
    assert_false(fresh_is_none(&fr, 4, 100));
    assert_false(fresh_is_none(&fr, 5, 101));
    assert_true(fresh_is_last(&fr, 4, 100));
    assert_false(fresh_is_last(&fr, 3, 100));
    assert_false(fresh_is_last(&fr, 4, 101));
}

/* What counts as out of date until the next look, and what is nothing to go by any more. */
static void test_forgotten(void **state)
{
    (void)state;
    struct freshness fr = {.synced_at = 1, .heard_at = 2, .describe_at = 3};
    fresh_probed(&fr, 4, 100);
    fresh_none_from(&fr, 5, 100);
    fresh_expire(&fr);
    assert_int_equal(fr.synced_at, 0);
    assert_int_equal(fr.heard_at, 0);
    assert_true(fresh_was_probed(&fr, 4, 100));
    assert_true(fresh_is_none(&fr, 5, 100));
    fresh_forget(&fr);
    assert_false(fresh_was_probed(&fr, 4, 100));
    assert_false(fresh_is_none(&fr, 5, 100));
    assert_int_equal(fr.describe_at, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
