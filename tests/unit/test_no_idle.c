/* When an IDLE without an answer means that the server cannot do it, and not the line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/base/clock.h"
#include "imap/pool/pool_state.h"

static void test_unanswered(void **state)
{
    static const struct {
        const char *name;
        bool works;    /* one was accepted before */
        int heard[3];  /* ms from now: when the server answered something for the last time */
        bool fails[3]; /* that none may be sent any more */
    } cases[] = {
        {"once", false, {-1000}, {false}},
        {"on a connection on which other things were answered since",
         false,
         {-1000, 1},
         {false, true}},
        {"on several connections at once", false, {-1000, -900, -800}, {false, false, false}},
        {"on several at once, and then again", false, {-1000, -900, 1}, {false, false, true}},
        {"one was accepted before", true, {-1000, 1, 1}, {false, false, false}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pool p = {0};
        if (cases[i].works)
            pool_idle_works(&p);
        for (int n = 0; n < 3 && cases[i].heard[n]; n++) {
            pool_idle_unanswered(&p, clock_ms() + cases[i].heard[n]);
            if (pool_may_idle(&p) == cases[i].fails[n])
                fail_msg("%s: %d", cases[i].name, n + 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unanswered)};
    return cmocka_run_group_tests_name("no idle", tests, NULL, NULL);
}
