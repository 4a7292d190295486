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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
