/* What a server repeats of the login is kept out of what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "imap/conn/secrets.h"

static const struct {
    const char *password; /* of the user "alice" */
    const char *in, *want;
} rows[] = {
    {"wonderland", "nothing of it", "nothing of it"},
    {"wonderland", "", ""},
    {"wonderland", "wonderland", "[secret]"},
    {"wonderland", "A1 LOGIN \"alice\" \"wonderland\"", "A1 LOGIN \"alice\" \"[secret]\""},
    {"wonderland", "xwonderlandx wonderland", "x[secret]x [secret]"},
    {"wonderland", "alice wrote this", "alice wrote this"},
    /* Quoted, and as the quotes are seen by who undoes them. */
    {"a \"b\" \\c", "LOGIN alice \"a \\\"b\\\" \\\\c\"", "LOGIN alice \"[secret]\""},
    {"a \"b\" \\c", "a \"b\" \\c!", "[secret]!"},
    /* Base64: NUL alice NUL wonderland, with the identity in front, and the password alone, with
     * padding and without. */
    {"wonderland", "AUTHENTICATE PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=", "AUTHENTICATE PLAIN [secret]="},
    {"wonderland", "YWxpY2UAYWxpY2UAd29uZGVybGFuZA==", "[secret]=="},
    {"wonderland", "(d29uZGVybGFuZA)", "([secret])"},
    /* Cut by the server, or by whoever cuts lines. */
    {"wonderland", "BAD LOGIN alice wonderl", "BAD LOGIN alice [secret]"},
    {"wonderland", "BAD LOGIN alice wond", "BAD LOGIN alice [secret]"},
    {"wonderland", "BAD LOGIN alice won", "BAD LOGIN alice won"},
    {"wonderland", "AGFsaWNlAHdvbmRl", "[secret]"},
    /* Short ones are words, or nothing of the text would be left. */
    {"a", "a cat: \"a\", a", "[secret] cat: \"[secret]\", [secret]"},
    {"abc", "abcd abc", "abcd [secret]"},
    {"", "a server says", "a server says"},
    /* 8-bit. */
    {"p\xc3\xa4ss", "= p\xc3\xa4ss =", "= [secret] ="},
};

static void test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct secrets s = {0};
        struct buf text = {0};
        secrets_add_password(&s, "alice", rows[i].password);
        buf_adds(&text, rows[i].in);
        assert_int_equal(secrets_hide(&s, &text), strcmp(rows[i].in, rows[i].want) != 0);
        assert_string_equal(buf_str(&text), rows[i].want);
        secrets_free(&s);
        buf_free(&text);
    }
}

static void test_added(void **state)
{
    (void)state;
    struct secrets s = {0};
    struct buf text = {0};
    secrets_add(&s, "", 0);
    secrets_add(&s, "one\0two", 7);
    secrets_add(&s, "one\0two", 7);
    secrets_add(&s, "three", 5);
    assert_int_equal(s.n, 2);
    buf_add(&text, "<one\0two> three", 15);
    assert_true(secrets_hide(&s, &text));
    assert_string_equal(buf_str(&text), "<[secret]> [secret]");
    secrets_free(&s);
    assert_false(secrets_hide(&s, &text));
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_added),
    };
    return cmocka_run_group_tests_name("secrets", tests, NULL, NULL);
}
