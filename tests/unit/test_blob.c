/* Shared bytes, and slices of them. That nothing leaks or is freed twice, the sanitizers see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/base/blob.h"

static unsigned refs(struct blob *b)
{
    return atomic_load(&b->refs);
}

static void test_copy(void **state)
{
    (void)state;
    char data[] = "ab\0cd";
    struct blob *b = blob_copy(data, 5);
    assert_non_null(b);
    memset(data, 'x', sizeof data); /* its own from now on */
    assert_int_equal(b->len, 5);
    assert_memory_equal(b->data, "ab\0cd", 5);
    assert_int_equal(refs(b), 1);
    assert_ptr_equal(blob_ref(b), b);
    assert_int_equal(refs(b), 2);
    blob_unref(b);
    assert_int_equal(refs(b), 1);
    assert_memory_equal(b->data, "ab\0cd", 5);
    blob_unref(b);
    blob_unref(NULL);
}

static void test_empty(void **state)
{
    (void)state;
    struct blob *b = blob_copy("", 0);
    assert_non_null(b);
    assert_int_equal(b->len, 0);
    blob_unref(b);
}

static void test_adopt(void **state)
{
    (void)state;
    struct buf from = {0};
    buf_adds(&from, "head body tail");
    const char *memory = from.data;
    struct blob *b = blob_adopt(&from, from.data + 5, 4);
    assert_non_null(b);
    assert_ptr_equal(b->data, memory + 5); /* not copied */
    assert_int_equal(b->len, 4);
    assert_memory_equal(b->data, "body", 4);
    assert_null(from.data); /* and no longer the buffer's */
    assert_int_equal(from.len, 0);
    assert_int_equal(from.cap, 0);
    buf_adds(&from, "other");
    assert_memory_equal(b->data, "body", 4);
    buf_free(&from);
    blob_unref(b);
}

/* The bytes of all slices, in order. */
static void joined(const struct slices *s, struct buf *out)
{
    buf_reset(out);
    for (size_t i = 0; i < s->n; i++)
        buf_add(out, s->v[i].blob->data + s->v[i].off, s->v[i].len);
}

static void test_slices(void **state)
{
    (void)state;
    struct slices s = {0};
    struct buf text = {0};
    struct blob *a = blob_copy("0123456789", 10), *b = blob_copy("abc", 3);
    slices_add(&s, a, 7, 3);
    slices_add(&s, b, 0, 3);
    slices_add(&s, a, 0, 1);
    slices_add(&s, b, 3, 0);
    assert_int_equal(s.len, 7);
    joined(&s, &text);
    assert_string_equal(buf_str(&text), "789abc0");
    assert_int_equal(refs(a), 3);
    assert_int_equal(refs(b), 3);

    blob_unref(a); /* the slices keep it */
    joined(&s, &text);
    assert_string_equal(buf_str(&text), "789abc0");

    slices_reset(&s);
    assert_int_equal(s.n, 0);
    assert_int_equal(s.len, 0);
    assert_int_equal(refs(b), 1);
    slices_add(&s, b, 1, 1); /* usable again */
    joined(&s, &text);
    assert_string_equal(buf_str(&text), "b");
    slices_free(&s);
    assert_null(s.v);
    assert_int_equal(s.cap, 0);
    assert_int_equal(refs(b), 1);
    slices_free(&s);
    blob_unref(b);
    buf_free(&text);
}

static void test_many_slices(void **state)
{
    (void)state;
    struct slices s = {0};
    struct blob *b = blob_copy("0123456789", 10);
    for (size_t i = 0; i < 1000; i++)
        slices_add(&s, b, i % 10, 1);
    assert_int_equal(s.n, 1000);
    assert_int_equal(s.len, 1000);
    assert_int_equal(refs(b), 1001);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(s.v[i].blob->data[s.v[i].off], '0' + (int)(i % 10));
    slices_reset(&s);
    slices_free(&s);
    assert_int_equal(refs(b), 1);
    blob_unref(b);
}

/* Filled by whoever made it; the memory of one that was given back is that of the next. */
static void test_piece(void **state)
{
    (void)state;
    struct blob *b = blob_piece(), *other = blob_piece();
    assert_ptr_not_equal(b, other);
    assert_int_equal(b->len, 0);
    memset(b->own, 'x', BLOB_PIECE);
    b->len = BLOB_PIECE;
    memset(other->own, 'y', 10);
    other->len = 10;
    assert_ptr_equal(b->data, b->own);
    assert_int_equal(b->data[0], 'x');
    assert_int_equal(b->data[BLOB_PIECE - 1], 'x');
    struct blob *was = b;
    blob_unref(blob_ref(b));
    assert_int_equal(b->len, BLOB_PIECE); /* somebody has it */
    blob_unref(b);
    b = blob_piece();
    assert_ptr_equal(b, was);
    assert_int_equal(b->len, 0);
    assert_int_equal(refs(b), 1);
    assert_memory_equal(other->data, "yyyyyyyyyy", 10);
    blob_unref(b);
    blob_unref(other);
}

/* However many there were, few are kept; the sanitizers see what is not freed. */
static void test_many_pieces(void **state)
{
    (void)state;
    struct blob *b[40];
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < 40; i++) {
            b[i] = blob_piece();
            assert_int_equal(b[i]->len, 0);
        }
        for (size_t i = 0; i < 40; i++)
            blob_unref(b[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_adopt),       cmocka_unit_test(test_piece),
        cmocka_unit_test(test_many_pieces), cmocka_unit_test(test_slices),
        cmocka_unit_test(test_many_slices),
    };
    return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}
