/* How old an answer may be: trust.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/trust.h"

#define ASKED INT64_C(1000000)

/* Each demands more than the one before it, and none of them the future. */
static void test_order(void **state)
{
    (void)state;
    static const enum trust order[] = {TRUST_KNOWN, TRUST_LATELY, TRUST_RECENT, TRUST_SERVER};
    for (size_t i = 1; i < sizeof order / sizeof *order; i++)
        assert_true(trust_since(order[i - 1], ASKED) < trust_since(order[i], ASKED));
    assert_int_equal(trust_since(TRUST_SERVER, ASKED), ASKED);
}

/* What is known is good enough whenever it is asked for, also right after the machine has started;
 * what the server is to say never is, to who asks at the end of time. */
static void test_ends(void **state)
{
    (void)state;
    assert_int_equal(trust_since(TRUST_KNOWN, 0), 0);
    assert_int_equal(trust_since(TRUST_KNOWN, INT64_MAX), 0);
    assert_int_equal(trust_since(TRUST_SERVER, INT64_MAX), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
