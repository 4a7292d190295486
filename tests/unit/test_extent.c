/* Where a message ends is found out from the bytes alone, however long it is and whatever was asked
 * for first; and who has no end is given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cache/extent.h"
#include "imap/base/limits.h"

/* What a server that has `size` bytes sends for a window, of which it never sends more than `cap`.
 */
static size_t answer(uint64_t size, uint64_t off, size_t len, size_t cap)
{
    uint64_t n = off < size ? size - off : 0;
    n = n < len ? n : len;
    return n < cap ? (size_t)n : cap;
}

/* Asks until the end is known; returns how many questions that took. */
static unsigned find(struct extent *e, uint64_t size, size_t cap)
{
    uint64_t off;
    while (!extent_known(e)) {
        assert_true(extent_probe(e, &off));
        extent_asked(e);
        extent_learn(e, off, answer(size, off, EXTENT_STEP, cap), EXTENT_STEP, false);
    }
    assert_int_equal(e->seen, size);
    return e->probes;
}

static const uint64_t sizes[] = {1,      2,      4096,   65535,   65536,     65537,
                                 100156, 131072, 327836, 1000000, 104857600, 4000000000};

static void test_from_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct extent e = {0};
        assert_in_range(find(&e, sizes[i], SIZE_MAX), 1, 50);
    }
}

/* A window somewhere has been answered: in the message, at its end, behind it. */
static void test_from_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const uint64_t starts[] = {0, sizes[i] / 2, sizes[i] - 1, sizes[i], 3 * sizes[i]};
        for (size_t k = 0; k < sizeof starts / sizeof *starts; k++) {
            struct extent e = {0};
            extent_learn(&e, starts[k], answer(sizes[i], starts[k], 262144, SIZE_MAX), 262144,
                         false);
            if (starts[k] < sizes[i] || starts[k] == sizes[i])
                assert_in_range(find(&e, sizes[i], SIZE_MAX), 0, 50);
            else if (starts[k] < LIMIT_MESSAGE)
                assert_in_range(find(&e, sizes[i], SIZE_MAX), 1, 50);
        }
    }
}

/* A server that sends less at once than it is asked for has not sent its last byte. */
static void test_capped(void **state)
{
    (void)state;
    struct extent e = {0};
    assert_in_range(find(&e, 65000, 1000), 65, 67);
}

static void test_certain(void **state)
{
    (void)state;
    struct extent e = {0};
    extent_learn(&e, 0, 1000, 65536, true);
    assert_true(extent_known(&e));
    assert_int_equal(e.seen, 1000);
}

/* Empty, and bytes behind that after all. */
static void test_contradiction(void **state)
{
    (void)state;
    struct extent e = {0};
    extent_learn(&e, 1000, 0, 65536, false);
    assert_false(extent_known(&e));
    extent_learn(&e, 0, 65536, 65536, false);
    assert_false(extent_known(&e));
    find(&e, 70000, SIZE_MAX);
}

static void test_without_end(void **state)
{
    (void)state;
    struct extent e = {0};
    uint64_t off;
    while (extent_probe(&e, &off)) {
        assert_false(extent_known(&e));
        assert_in_range(e.probes, 0, 100);
        extent_asked(&e);
        extent_learn(&e, off, EXTENT_STEP, EXTENT_STEP, false);
    }
    assert_true(e.probes < 40);
    e = (struct extent){0};
    while (extent_probe(&e, &off)) {
        extent_asked(&e);
        extent_learn(&e, off, 1, EXTENT_STEP, false); /* a byte at a time */
    }
    assert_int_equal(e.probes, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_nothing),  cmocka_unit_test(test_from_anywhere),
        cmocka_unit_test(test_capped),        cmocka_unit_test(test_certain),
        cmocka_unit_test(test_contradiction), cmocka_unit_test(test_without_end),
    };
    return cmocka_run_group_tests_name("extent", tests, NULL, NULL);
}
