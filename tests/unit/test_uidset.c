/* UID sets: small ones against a table of bits, hostile ones against the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "imap/wire/uidset.h"

static const struct {
    const char *text, *want; /* want NULL: malformed */
    uint64_t count;
} rows[] = {
    {"1", "1", 1},
    {"1:5,7,9:3", "1:9", 9},
    {"9:3", "3:9", 7},
    {"5:5", "5", 1},
    {"1,2,3", "1:3", 3},
    {"3,2,1", "1:3", 3},
    {"7,1:3,5", "1:3,5,7", 5},
    {"1:10,2:3,20,5", "1:10,20", 11},
    {"20,1:10,11:19", "1:20", 20},
    {"4294967295", "4294967295", 1},
    {"1:4294967295", "1:4294967295", UINT64_C(4294967295)}, /* CVE-2025-25186 */
    {"4294967295:1", "1:4294967295", UINT64_C(4294967295)},
    {"4294967294,4294967295,1", "1,4294967294:4294967295", 3},
    {"0000000000000000000001", "1", 1},
    {"", NULL, 0},
    {"0", NULL, 0},
    {"0:5", NULL, 0},
    {"5:0", NULL, 0},
    {"*", NULL, 0},
    {"1:*", NULL, 0},
    {"4294967296", NULL, 0},
    {"18446744073709551617", NULL, 0},
    {"99999999999999999999999999", NULL, 0},
    {"1,", NULL, 0},
    {",1", NULL, 0},
    {"1,,2", NULL, 0},
    {"1:", NULL, 0},
    {":1", NULL, 0},
    {"1:2:3", NULL, 0},
    {"1 ,2", NULL, 0},
    {" 1", NULL, 0},
    {"-1", NULL, 0},
    {"+1", NULL, 0},
    {"1\n", NULL, 0},
    {"a", NULL, 0},
    {"1)", NULL, 0},
};

static void check_shape(const struct uidset *s)
{
    for (size_t i = 0; i < s->n; i++) {
        assert_true(s->r[i].lo >= 1 && s->r[i].lo <= s->r[i].hi);
        if (i > 0)
            assert_true((uint64_t)s->r[i - 1].hi + 1 < s->r[i].lo);
    }
}

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct uidset s = {0};
        struct buf text = {0};
        int rc = uidset_parse(&s, rows[i].text, strlen(rows[i].text));
        assert_int_equal(rc, rows[i].want ? 0 : -EINVAL);
        check_shape(&s);
        uidset_text(&s, &text);
        assert_string_equal(buf_str(&text), rows[i].want ? rows[i].want : "");
        assert_int_equal(uidset_count(&s), rows[i].count);
        uidset_free(&s);
        buf_free(&text);
    }
}

static void test_parse_adds(void **state)
{
    (void)state;
    struct uidset s = {0};
    struct buf text = {0};
    assert_int_equal(uidset_parse(&s, "10:20", 5), 0);
    assert_int_equal(uidset_parse(&s, "1,30", 4), 0);
    assert_int_equal(uidset_parse(&s, "2,x", 3), -EINVAL); /* leaves no half */
    assert_int_equal(uidset_parse(&s, "21:29", 5), 0);
    assert_int_equal(uidset_parse(&s, "3,5,7,9,32,34,36,38,40,42,44", 28), 0);
    assert_int_equal(uidset_parse(&s, "50", 2), 0);
    uidset_text(&s, &text);
    assert_string_equal(buf_str(&text), "1,3,5,7,9:30,32,34,36,38,40,42,44,50");
    uidset_free(&s);
    buf_free(&text);
}

/* Random adds in a small space, compared with a bit for each UID. */
static void test_add(void **state)
{
    (void)state;
    srand(1);
    for (int round = 0; round < 2000; round++) {
        struct uidset s = {0};
        bool in[70] = {0};
        for (int k = 0; k < 12; k++) {
            uint32_t lo = 1 + (uint32_t)rand() % 60, hi = lo + (uint32_t)rand() % 6;
            for (uint32_t u = lo; u <= hi; u++)
                in[u] = true;
            if (rand() % 2)
                uidset_add(&s, lo, hi);
            else
                uidset_add(&s, hi, lo);
            check_shape(&s);
        }
        uint64_t count = 0;
        for (uint32_t u = 0; u < 70; u++) {
            assert_int_equal(uidset_has(&s, u), in[u]);
            count += in[u];
        }
        assert_int_equal(uidset_count(&s), count);
        uidset_free(&s);
    }
}

static void test_edges(void **state)
{
    (void)state;
    struct uidset s = {0};
    assert_false(uidset_has(&s, 0));
    assert_false(uidset_has(&s, 1));
    assert_int_equal(uidset_count(&s), 0);
    uidset_add(&s, 0, 0);
    assert_int_equal(s.n, 0);
    uidset_add(&s, UINT32_MAX, UINT32_MAX);
    uidset_add(&s, UINT32_MAX - 1, UINT32_MAX - 1);
    uidset_add(&s, 1, 1);
    uidset_add(&s, 0, 2);
    assert_int_equal(s.n, 2);
    assert_true(uidset_has(&s, UINT32_MAX));
    assert_false(uidset_has(&s, 0));
    assert_false(uidset_has(&s, 3));
    uidset_add(&s, 1, UINT32_MAX);
    assert_int_equal(s.n, 1);
    uidset_free(&s);
    uidset_free(&s);
}

static const struct {
    const char *from;
    uint32_t uid;
    const char *want;
} removals[] = {
    {"5", 5, ""},
    {"5", 4, "5"},
    {"5", 0, "5"},
    {"1:9", 1, "2:9"},
    {"1:9", 9, "1:8"},
    {"1:9", 5, "1:4,6:9"},
    {"1:9", 10, "1:9"},
    {"1:3,5,7:9", 5, "1:3,7:9"},
    {"1:3,5,7:9", 4, "1:3,5,7:9"},
    {"1:3,5,7:9", 8, "1:3,5,7,9"},
    {"1:3,5,7:9", 1, "2:3,5,7:9"},
    {"1:4294967295", 4294967295, "1:4294967294"},
    {"1:4294967295", 1, "2:4294967295"},
    {"4294967295", 4294967295, ""},
};

static void test_remove(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(removals) / sizeof(*removals); i++) {
        struct uidset s = {0};
        struct buf text = {0};
        assert_int_equal(uidset_parse(&s, removals[i].from, strlen(removals[i].from)), 0);
        uidset_remove(&s, removals[i].uid);
        check_shape(&s);
        uidset_text(&s, &text);
        assert_string_equal(buf_str(&text), removals[i].want);
        uidset_free(&s);
        buf_free(&text);
    }
    struct uidset none = {0};
    uidset_remove(&none, 1);
    assert_int_equal(none.n, 0);

    /* All but every third, one by one. */
    struct uidset s = {0};
    uidset_add(&s, 1, 300);
    for (uint32_t uid = 300; uid >= 1; uid--)
        if (uid % 3)
            uidset_remove(&s, uid);
    check_shape(&s);
    assert_int_equal(s.n, 100);
    for (uint32_t uid = 1; uid <= 300; uid++)
        assert_int_equal(uidset_has(&s, uid), uid % 3 == 0);
    uidset_add(&s, 1, 300);
    assert_int_equal(s.n, 1);
    uidset_free(&s);
}

/* 600,000 ranges in the worst order take no quadratic time; one range too many is refused. */
static void test_large(void **state)
{
    (void)state;
    struct uidset s = {0};
    struct buf text = {0};
    for (uint32_t uid = 1200001; uid > 1; uid -= 2)
        buf_addf(&text, "%u,", uid);
    buf_adds(&text, "1");
    assert_int_equal(uidset_parse(&s, text.data, text.len), 0);
    assert_int_equal(s.n, 600001);
    check_shape(&s);
    uidset_free(&s);

    buf_reset(&text);
    for (uint32_t i = 0; i < UIDSET_MAX_RANGES; i++)
        buf_addf(&text, "%u,", 2 * i + 1);
    assert_int_equal(uidset_parse(&s, text.data, text.len - 1), 0);
    assert_int_equal(s.n, UIDSET_MAX_RANGES);
    uidset_free(&s);
    buf_adds(&text, "4000000000");
    assert_int_equal(uidset_parse(&s, text.data, text.len), -E2BIG);
    assert_int_equal(s.n, 0);

    buf_reset(&text); /* many numbers, but one range */
    for (uint32_t i = 1; i <= UIDSET_MAX_RANGES + 10; i++)
        buf_addf(&text, "%s%u", i > 1 ? "," : "", i);
    assert_int_equal(uidset_parse(&s, text.data, text.len), 0);
    assert_int_equal(s.n, 1);
    uidset_free(&s);

    for (uint32_t uid = 1; uid < 2000000; uid += 2)
        uidset_add(&s, uid, uid);
    assert_int_equal(s.n, 1000000);
    uidset_free(&s);
    buf_free(&text);
}

static const struct {
    const char *a, *b, *join, *keep, *cut;
} pairs[] = {
    {"", "", "", "", ""},
    {"1:5", "", "1:5", "", "1:5"},
    {"", "1:5", "1:5", "", ""},
    {"1:9", "3,5:6", "1:9", "3,5:6", "1:2,4,7:9"},
    {"3,5:6", "1:9", "1:9", "3,5:6", ""},
    {"1,3,5", "2,4,6", "1:6", "", "1,3,5"},
    {"1:3,7:9", "3:7", "1:9", "3,7", "1:2,8:9"},
    {"4:4294967295", "4294967295", "4:4294967295", "4294967295", "4:4294967294"},
    {"1:4294967295", "1:4294967295", "1:4294967295", "1:4294967295", ""},
    {"10", "1:9,11:20", "1:20", "", "10"},
};

static void check_pair(void (*change)(struct uidset *, const struct uidset *), size_t i,
                       const char *want)
{
    struct uidset a = {0}, b = {0};
    struct buf text = {0};
    if (*pairs[i].a)
        assert_int_equal(uidset_parse(&a, pairs[i].a, strlen(pairs[i].a)), 0);
    if (*pairs[i].b)
        assert_int_equal(uidset_parse(&b, pairs[i].b, strlen(pairs[i].b)), 0);
    change(&a, &b);
    uidset_text(&a, &text);
    assert_string_equal(buf_str(&text), want);
    buf_free(&text);
    uidset_free(&a);
    uidset_free(&b);
}

static void test_pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        check_pair(uidset_join, i, pairs[i].join);
        check_pair(uidset_keep, i, pairs[i].keep);
        check_pair(uidset_cut, i, pairs[i].cut);
    }
}

/* Random sets against one UID after the other. */
static void test_random_pairs(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        struct uidset s[4] = {{0}};
        for (unsigned i = 0; i < 3; i++)
            for (unsigned n = (unsigned)rand() % 6; n; n--) {
                uint32_t lo = 1 + (uint32_t)rand() % 30;
                uidset_add(&s[i], lo, lo + (uint32_t)rand() % 6);
            }
        bool within = true;
        uidset_join(&s[3], &s[0]);
        uidset_cut(&s[3], &s[1]);
        for (uint32_t uid = 1; uid < 40; uid++) {
            bool left = uidset_has(&s[0], uid) && !uidset_has(&s[1], uid);
            assert_int_equal(uidset_has(&s[3], uid), left);
            within &= !left || uidset_has(&s[2], uid);
        }
        check_shape(&s[3]);
        assert_int_equal(uidset_within(&s[0], &s[1], &s[2]), within);
        for (unsigned i = 0; i < 4; i++)
            uidset_free(&s[i]);
    }
}

static void test_within(void **state)
{
    (void)state;
    struct uidset all = {0}, low = {0}, none = {0};
    uidset_add(&all, 1, UINT32_MAX);
    uidset_add(&low, 1, UINT32_MAX - 1);
    assert_true(uidset_within(&none, &none, &none));
    assert_true(uidset_within(&all, &all, &none));
    assert_true(uidset_within(&all, &low, &all));
    assert_false(uidset_within(&all, &low, &none));
    uidset_free(&all);
    uidset_free(&low);
}

static const struct {
    const char *src, *dst;
    uint32_t uid;
    int rc;
    uint32_t mapped;
} maps[] = {
    {"304,319:320", "3956:3958", 304, 0, 3956}, /* RFC 4315 §3 */
    {"304,319:320", "3956:3958", 319, 0, 3957},
    {"304,319:320", "3956:3958", 320, 0, 3958},
    {"304,319:320", "3956:3958", 305, -ENOENT, 0},
    {"320:319,304", "1:3", 320, 0, 1}, /* in the order written */
    {"320:319,304", "1:3", 304, 0, 3},
    {"1:3", "12:10", 1, 0, 12},
    {"1:3", "12:10", 3, 0, 10},
    {"1:3", "7,5,6", 2, 0, 5},
    {"7", "9", 7, 0, 9},
    {"1:4294967295", "1:4294967295", 4294967295, 0, 4294967295},
    {"1:4294967295", "4294967295:1", 1, 0, 4294967295},
    {"1:4294967295", "4294967295:1", 4294967295, 0, 1},
    {"5,5", "8,9", 5, 0, 8}, /* the first place counts */
    {"1:3", "1:4", 1, -EINVAL, 0},
    {"1:4294967295", "1", 1, -EINVAL, 0},
    {"1:3", "1:4", 9, -EINVAL, 0},
    {"", "", 1, -EINVAL, 0}, /* Outlook.com's empty sets */
    {"1", "", 1, -EINVAL, 0},
    {"", "1", 1, -EINVAL, 0},
    {"1,*", "1:2", 1, -EINVAL, 0},
    {"1", "*", 1, -EINVAL, 0},
    {"1", "0", 1, -EINVAL, 0},
    {"1:2", "1:2", 0, -ENOENT, 0},
};

static void test_map(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++) {
        uint32_t mapped = 77;
        int rc = uidset_map(maps[i].src, strlen(maps[i].src), maps[i].dst, strlen(maps[i].dst),
                            maps[i].uid, &mapped);
        assert_int_equal(rc, maps[i].rc);
        assert_int_equal(mapped, rc == 0 ? maps[i].mapped : 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),        cmocka_unit_test(test_parse_adds),
        cmocka_unit_test(test_add),          cmocka_unit_test(test_edges),
        cmocka_unit_test(test_remove),       cmocka_unit_test(test_large),
        cmocka_unit_test(test_map),          cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_random_pairs), cmocka_unit_test(test_within),
    };
    return cmocka_run_group_tests_name("uidset", tests, NULL, NULL);
}
