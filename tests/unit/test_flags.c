/* Flags as bits and as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "imap/base/limits.h"
#include "imap/wire/flags.h"

static struct str str(const char *s)
{
    return (struct str){s, strlen(s)};
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t bit;
    } rows[] = {
        {"\\Seen", FLAG_SEEN},
        {"\\seen", FLAG_SEEN},
        {"\\SEEN", FLAG_SEEN},
        {"\\Answered", FLAG_ANSWERED},
        {"\\Flagged", FLAG_FLAGGED},
        {"\\Deleted", FLAG_DELETED},
        {"\\Draft", FLAG_DRAFT},
        {"\\Recent", FLAG_RECENT},
        {"Seen", 0},
        {"\\See", 0},
        {"\\Seenn", 0},
        {"\\*", 0},
        {"\\", 0},
        {"", 0},
        {"$Junk", 0},
        {"\\\\Seen", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(flag_from_name(str(rows[i].name)), rows[i].bit);
    assert_int_equal(flag_from_name((struct str){NULL, 0}), 0);
    assert_int_equal(flag_from_name((struct str){"\\Seen\0", 6}), 0);
    assert_int_equal(flag_from_name((struct str){"\\Seenness", 5}), FLAG_SEEN);
}

/* Every combination, through the text and back. */
static void test_round_trip(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits <= FLAG_SYSTEM; bits++) {
        struct buf text = {0};
        flags_text(bits | ~(uint32_t)FLAG_SYSTEM, &text); /* other bits are not its business */
        uint32_t back = 0;
        unsigned n = 0;
        char *save = NULL, *copy = buf_steal(&text);
        for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save), n++)
            back |= flag_from_name(str(w));
        assert_int_equal(back, bits);
        assert_int_equal(n, __builtin_popcount(bits));
        free(copy);
    }
}

static void test_text_appends(void **state)
{
    (void)state;
    struct buf out = {0};
    flags_text(0, &out);
    assert_string_equal(buf_str(&out), "");
    flags_text(FLAG_SEEN, &out);
    flags_text(0, &out);
    flags_text(FLAG_DRAFT | FLAG_ANSWERED, &out);
    assert_string_equal(buf_str(&out), "\\Seen \\Answered \\Draft");
    buf_free(&out);
}

/* What a user types into setfattr must not become a second command. */
static void test_valid(void **state)
{
    (void)state;
    static const char *const good[] = {
        "\\Seen",  "\\Foo", "$Forwarded", "a",  "\\a", "NonJunk",  "a[b",
        "a.b-c_d", "1",     "}",          "+x", "-",   "$MDNSent", "imapfs:tag=yes"};
    static const char *const bad[] = {"",      "\\",    "\\*",      "*",      "a b",    " a",
                                      "a ",    "a)",    "(a",       "a{1}",   "a%",     "a\"b",
                                      "a\\b",  "\\\\a", "a]",       "a\r\nb", "a\nb",   "\x7f",
                                      "a\x01", "\t",    "\xc3\xbc", "\\\xff", "\\Seen)"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(flag_valid(str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(flag_valid(str(bad[i])));
    assert_false(flag_valid((struct str){"a\0b", 3}));
    assert_false(flag_valid((struct str){"\0", 1}));
    assert_false(flag_valid((struct str){NULL, 0}));
}

static void test_change(void **state)
{
    (void)state;
    static const struct {
        enum flag_how how;
        const char *names[5]; /* up to NULL */
        const char *text;
    } rows[] = {
        {FLAGS_REPLACE, {NULL}, "FLAGS ()"},
        {FLAGS_ADD, {"\\Seen"}, "+FLAGS (\\Seen)"},
        {FLAGS_REMOVE, {"$Junk", "\\flagged", "\\SEEN"}, "-FLAGS (\\Seen \\Flagged $Junk)"},
        {FLAGS_ADD, {"$Junk", "a", "$JUNK", "$Jun"}, "+FLAGS ($Junk a $Jun)"},
        {FLAGS_REPLACE, {"\\Deleted", "\\Draft", "x"}, "FLAGS (\\Deleted \\Draft x)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct flag_change change = {.how = rows[i].how};
        struct buf text = {0};
        for (size_t n = 0; rows[i].names[n]; n++)
            assert_int_equal(flag_change_add(&change, str(rows[i].names[n])), 0);
        flag_change_text(&change, &text);
        assert_string_equal(buf_str(&text), rows[i].text);
        buf_free(&text);
        flag_change_free(&change);
    }
}

/* What cannot be set leaves the change as it was, and the command as long as it may be. */
static void test_change_refuses(void **state)
{
    (void)state;
    static const char *const none[] = {"", "\\Recent", "\\Custom", "a b", "a)", "a\r\nb"};
    struct flag_change change = {.how = FLAGS_ADD};
    struct buf text = {0};
    char name[160];
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(flag_change_add(&change, str(none[i])), -EINVAL);
    memset(name, 'x', sizeof name);
    assert_int_equal(flag_change_add(&change, (struct str){name, LIMIT_KEYWORD + 1}), -EINVAL);
    int err = 0;
    for (unsigned i = 0; !err && i < 100; i++) {
        snprintf(name, sizeof name, "keyword%u-%050u", i, 0u);
        err = flag_change_add(&change, str(name));
    }
    assert_int_equal(err, -E2BIG);
    flag_change_text(&change, &text);
    assert_true(text.len < LIMIT_COMMAND && text.len > LIMIT_COMMAND / 2);
    buf_free(&text);
    flag_change_free(&change);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_text_appends), cmocka_unit_test(test_valid),
        cmocka_unit_test(test_change),       cmocka_unit_test(test_change_refuses),
    };
    return cmocka_run_group_tests_name("flags", tests, NULL, NULL);
}
