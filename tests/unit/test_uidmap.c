/* Which UIDs messages have in another mailbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/wire/uidmap.h"

static struct str str(const char *s)
{
    return (struct str){s, strlen(s)};
}

static const char *text_of(const struct uidmap *m, struct buf *out)
{
    buf_reset(out);
    for (size_t i = 0; i < m->n; i++)
        buf_addf(out, "%u=%u ", m->pairs[i].from, m->pairs[i].to);
    return buf_str(out);
}

static void test_read(void **state)
{
    (void)state;
    static const struct {
        const char *wanted, *from, *to;
        const char *map;
    } rows[] = {
        {"5", "5", "50", "5=50 "},
        {"5:7", "5:7", "50:52", "5=50 6=51 7=52 "},
        {"5:7", "5:7", "52:50", "5=52 6=51 7=50 "}, /* "9:3" counts down */
        {"5:7", "7,5", "50:51", "5=51 7=50 "},
        {"6", "5:7", "50:52", "6=51 "},
        {"9", "5:7", "50:52", ""},
        {"5:7", "5:7", "50:51", ""}, /* they do not fit each other */
        {"5:7", "5:6", "50:52", ""},
        {"5:7", "5:*", "50:52", ""},
        {"5:7", "", "", ""}, /* Outlook.com */
        {"5", "1:4294967295", "1:4294967295", "5=5 "},
    };
    struct buf text = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct uidset wanted = {0};
        struct uidmap m = {0};
        assert_int_equal(uidset_parse(&wanted, rows[i].wanted, strlen(rows[i].wanted)), 0);
        bool any = uidmap_read(&m, &wanted, str(rows[i].from), str(rows[i].to));
        assert_string_equal(text_of(&m, &text), rows[i].map);
        assert_int_equal(any, *rows[i].map != '\0');
        uidset_free(&wanted);
        uidmap_free(&m);
    }
    buf_free(&text);
}

static void test_put(void **state)
{
    (void)state;
    struct uidmap m = {0};
    struct uidset cut = {0};
    struct buf text = {0};
    assert_int_equal(uidmap_get(&m, 5), 0);
    for (uint32_t uid = 1; uid <= 100; uid++)
        uidmap_put(&m, uid, uid + 1000);
    uidmap_put(&m, 5, 7); /* what is put in later is what counts */
    assert_int_equal(m.n, 100);
    assert_int_equal(uidmap_get(&m, 5), 7);
    assert_int_equal(uidmap_get(&m, 100), 1100);
    uidset_add(&cut, 2, 4);
    uidset_add(&cut, 6, 200);
    uidmap_cut(&m, &cut);
    assert_string_equal(text_of(&m, &text), "1=1001 5=7 ");
    assert_int_equal(uidmap_get(&m, 6), 0);
    uidmap_free(&m);
    assert_int_equal(uidmap_get(&m, 5), 0);
    uidset_free(&cut);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_put),
    };
    return cmocka_run_group_tests_name("uidmap", tests, NULL, NULL);
}
