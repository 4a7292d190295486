/* The growable buffer and the arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdalign.h>
#include <stdlib.h>

#include "imap/base/arena.h"
#include "imap/base/buf.h"

static void test_empty(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_free(&b);
    buf_add(&b, NULL, 0);
    buf_adds(&b, "");
    buf_shift(&b, 0);
    assert_null(b.data); /* nothing was added */
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(b.len, 0);
    buf_free(&b);
    assert_null(b.data);
    buf_wipe_free(&b);
    char *s = buf_steal(&b);
    assert_string_equal(s, "");
    free(s);
}

static void test_add(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_adds(&b, "ab");
    buf_addc(&b, '\0');
    buf_add(&b, "cd\0", 3);
    buf_addf(&b, "%d-%s%c", -7, "x", 'y');
    buf_addf(&b, "%s", "");
    assert_int_equal(b.len, 11);
    assert_memory_equal(buf_str(&b), "ab\0cd\0-7-xy", 12);
    buf_reset(&b);
    assert_string_equal(buf_str(&b), "");
    buf_adds(&b, "again");
    char *s = buf_steal(&b);
    assert_string_equal(s, "again");
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
    free(s);
}

/* Growing by one byte a thousand times copies a few times only, and the room is where the end is.
 */
static void test_grow(void **state)
{
    (void)state;
    struct buf b = {0};
    unsigned grown = 0;
    for (size_t i = 0; i < 1000000; i++) {
        size_t cap = b.cap;
        buf_addc(&b, (char)i);
        assert_true(b.cap > b.len);
        grown += b.cap != cap;
    }
    assert_in_range(grown, 1, 20);
    for (size_t i = 0; i < b.len; i++)
        if (b.data[i] != (char)i)
            fail();
    char *room = buf_reserve(&b, 5000);
    assert_ptr_equal(room, b.data + b.len);
    memset(room, 'x', 5000);
    assert_int_equal(b.len, 1000000);
    assert_true(b.cap >= 1005001);
    buf_wipe_free(&b);
    assert_null(b.data);
}

/* A formatted text that just fits, and one byte more. */
static void test_format_edges(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 300; n++) {
        struct buf b = {0};
        buf_adds(&b, "12345");
        buf_addf(&b, "%*s", (int)n, "");
        buf_addc(&b, '.');
        assert_int_equal(b.len, n + 6);
        assert_int_equal(strlen(buf_str(&b)), n + 6);
        assert_int_equal(b.data[n + 5], '.');
        buf_free(&b);
    }
}

static void test_shift(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_adds(&b, "abcdef");
    buf_shift(&b, 2);
    assert_string_equal(buf_str(&b), "cdef");
    buf_shift(&b, 0);
    assert_string_equal(buf_str(&b), "cdef");
    buf_shift(&b, 4);
    assert_int_equal(b.len, 0);
    assert_string_equal(buf_str(&b), "");
    buf_free(&b);
}

/* ---- the arena ---- */

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static void test_arena(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,     2,     15,    16,    17,     100,   1000,
                                   16367, 16368, 16383, 16384, 100000, 16385, 3};
    enum { N = sizeof sizes / sizeof *sizes };
    struct arena a = {0};
    for (unsigned round = 0; round < 20; round++) {
        unsigned char *p[N];
        for (size_t i = 0; i < N; i++) {
            p[i] = arena_alloc(&a, sizes[i]);
            assert_int_equal((uintptr_t)p[i] % alignof(max_align_t), 0);
            assert_true(all_zero(p[i], sizes[i]));
            memset(p[i], (int)i + 1, sizes[i]);
        }
        for (size_t i = 0; i < N; i++)
            for (size_t k = 0; k < sizes[i]; k++)
                if (p[i][k] != i + 1)
                    fail();
        assert_true(a.total >= 180000);
        arena_reset(&a);
        assert_int_equal(a.total, 0);
    }
    arena_free(&a);
    arena_free(&a);
    arena_reset(&a);
    assert_null(a.blocks);
}

/* After a large response only a small block is kept, and small ones use it again. */
static void test_arena_keeps_little(void **state)
{
    (void)state;
    struct arena a = {0};
    arena_alloc(&a, 100);
    arena_reset(&a);
    void *first = arena_alloc(&a, 100);
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    arena_alloc(&a, (size_t)10 * 1024 * 1024);
    arena_alloc(&a, 100);
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_format_edges),
        cmocka_unit_test(test_shift),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_keeps_little),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
