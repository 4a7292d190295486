/* Sets of keywords: each is kept once, and means the same whatever the order it comes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cache/keywords.h"
#include "imap/base/limits.h"

/* The number of the set with these names, at most ten with a space between two. */
static uint32_t number(struct keywords *k, const char *text)
{
    struct str names[10];
    size_t n = 0;
    while (*text) {
        size_t len = strcspn(text, " ");
        names[n++] = (struct str){text, len};
        text += len + strspn(text + len, " ");
    }
    return keywords_number(k, names, n);
}

static void test_sets(void **state)
{
    (void)state;
    struct keywords k = {0};
    assert_int_equal(number(&k, ""), 0);
    assert_string_equal(keywords_text(&k, 0), "");
    uint32_t ab = number(&k, "a b"), a = number(&k, "a");
    assert_int_not_equal(ab, 0);
    assert_int_not_equal(a, ab);
    assert_int_equal(number(&k, "b a"), ab);
    assert_int_equal(number(&k, "b a B A"), number(&k, "A B a b"));
    assert_int_equal(number(&k, "a a"), a);
    assert_int_not_equal(number(&k, "ab"), ab);
    assert_string_equal(keywords_text(&k, ab), "a b");
    assert_string_equal(keywords_text(&k, 999), "");

    struct keywords other = {0};
    assert_int_equal(keywords_number_of_text(&other, ""), 0);
    uint32_t there = keywords_number_of_text(&other, keywords_text(&k, ab));
    assert_int_equal(number(&other, "b a"), there);
    keywords_clear(&other);
    keywords_clear(&k);
    assert_int_equal(number(&k, "b"), 1);
    keywords_clear(&k);
}

static void test_no_room(void **state)
{
    (void)state;
    struct keywords k = {0};
    char name[LIMIT_KEYWORD + 1];
    uint32_t i = 0, last = 0;
    for (; !k.full; i++) {
        snprintf(name, sizeof name, "%0*u", (int)sizeof name - 1, i);
        uint32_t got = number(&k, name);
        assert_int_equal(got, k.full ? 0 : last + 1);
        last = got;
        assert_true(i <= LIMIT_KEYWORD_SETS / LIMIT_KEYWORD);
    }
    assert_true(i > LIMIT_KEYWORD_SETS / LIMIT_KEYWORD / 2);
    assert_true(k.bytes <= LIMIT_KEYWORD_SETS);
    snprintf(name, sizeof name, "%0*u", (int)sizeof name - 1, 7);
    assert_int_equal(number(&k, name), 8);
    assert_string_equal(keywords_text(&k, 8), name);
    keywords_clear(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests_name("keywords", tests, NULL, NULL);
}
