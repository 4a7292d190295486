/* Folder names: what a server may call a mailbox, what a user may type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/mboxname.h"
#include "imap/wire/utf7.h"

enum {
    U7 = 1,     /* the wire has modified UTF-7 */
    U8 = 2,     /* the wire has UTF-8 */
    ANY = 3,    /* the same under both */
    ONEWAY = 4, /* shown so, but not what the shown name would be sent as */
};

static const struct {
    int mode;
    const char *wire, *shown;
} rows[] = {
    {ANY, "INBOX", "INBOX"},
    {ANY, "Sent Items", "Sent Items"},
    {ANY, "-x", "-x"},
    {ANY, "~x", "~x"},
    {ANY, ".hidden", ".hidden"},
    {ANY, "...", "..."},
    {ANY, "a.b", "a.b"},
    {ANY, "[Gmail]", "[Gmail]"},
    {U7, "Entw&APw-rfe", "Entwürfe"},
    {U8, "Entwürfe", "Entwürfe"},
    {U7, "R&-D", "R&D"},
    {U8, "R&D", "R&D"},
    {U8, "R&-D", "R&-D"},
    {U7, "&ZeVnLIqe-", "日本語"},
    {U7, "&2DzfDA-", "🌌"},
    /* Never a path (CVE-2021-20247, CVE-2018-14355). */
    {ANY, ".", "%2E"},
    {ANY, "..", "%2E%2E"},
    {ANY, "a/b", "a%2Fb"},
    {ANY, "/", "%2F"},
    {ANY, "../../etc", "..%2F..%2Fetc"},
    {ANY, ".search", "%2Esearch"},
    {ANY, ".parts", "%2Eparts"},
    {ANY, ".imapfs", "%2Eimapfs"},
    {ANY, ".Search", ".Search"},
    {ANY, ".search2", ".search2"},
    {ANY | ONEWAY, "", "%20"},
    {U7 | ONEWAY, "&AC4ALg-", "%2E%2E"},
    {U7 | ONEWAY, "&AC8-", "%2F"},
    {U7 | ONEWAY, "&AC4-search", "%2Esearch"},
    /* The escape itself. */
    {ANY, "100%", "100%"},
    {ANY, "100% sure", "100% sure"},
    {ANY, "%2F", "%252F"},
    {ANY, "%2f", "%252f"},
    {ANY, "%41", "%2541"},
    {ANY, "%252F", "%25252F"},
    {ANY, "%%2F", "%%252F"},
    {ANY, "%20", "%2520"},
    {ANY, "%", "%"},
    {ANY, "%4", "%4"},
    {ANY, "%zz", "%zz"},
    /* Broken UTF-7 (Yandex) and bytes that are no text. */
    {U7, "Bad & name", "Bad %26 name"},
    {U7, "a&", "a%26"},
    {U7, "&Jjo!", "%26Jjo!"},
    {U7, "&AAo-", "%26AAo-"},
    {U7, "&AAA-x", "%26AAA-x"},
    {U7, "&2D0-", "%262D0-"},
    {U7, "&%2F", "%26%252F"},
    {ANY, "a\xff", "a%FF"},
    {ANY, "\xc0\xae\xc0\xae", "%C0%AE%C0%AE"},
    {ANY, "\xed\xa0\x80", "%ED%A0%80"},
    {ANY, "%\xff", "%%FF"},
    {U7, "ü&\xff", "ü%26%FF"},
    {U7, "ü& x", "ü%26 x"},
    {U7 | ONEWAY, "Entwürfe", "Entwürfe"}, /* raw UTF-8 */
    {U7 | ONEWAY, "R&ACY-D", "R&D"},
    {U7 | ONEWAY, "&AEE-", "A"},
    /* Control characters are shown, but nobody can make one (Exchange sends them). */
    {ANY | ONEWAY, "a\tb", "a%09b"},
    {ANY | ONEWAY, "a\r\nb", "a%0D%0Ab"},
    {ANY | ONEWAY, "\x1b[2J", "%1B[2J"},
    {ANY | ONEWAY, "\x7f", "%7F"},
    {ANY | ONEWAY, "\xc2\x85", "%C2%85"},
    /* Bidi controls. */
    {U8, "gpj.\xe2\x80\xae.exe", "gpj.%E2%80%AE.exe"},
    {U7, "gpj.&IC4-.exe", "gpj.%E2%80%AE.exe"},
    {U8, "a\xe2\x80\xa8", "a%E2%80%A8"},
    {U8, "\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f\xe2\x81\xa6\xe2\x81\xa9",
     "%D8%9C%E2%80%8E%E2%80%8F%E2%81%A6%E2%81%A9"},
};

static void check_row(const char *wire, size_t len, const char *shown, bool utf8, bool back)
{
    struct buf out = {0};
    buf_adds(&out, "x");
    mboxname_show(wire, len, utf8, &out);
    if (strcmp(buf_str(&out) + 1, shown) != 0)
        fail_msg("shown %s, not %s", buf_str(&out) + 1, shown);
    buf_reset(&out);
    int rc = mboxname_wire(shown, 0, utf8, &out);
    if (back && (rc != 0 || strcmp(buf_str(&out), wire) != 0))
        fail_msg("%s is sent as %s (%d), not %s", shown, buf_str(&out), rc, wire);
    if (!back && rc == 0 && strcmp(buf_str(&out), wire) == 0)
        fail_msg("%s does come back", shown);
    buf_free(&out);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        for (int utf8 = 0; utf8 < 2; utf8++)
            if (rows[i].mode & (utf8 ? U8 : U7))
                check_row(rows[i].wire, strlen(rows[i].wire), rows[i].shown, utf8,
                          !(rows[i].mode & ONEWAY));
    check_row("a\0b", 3, "a%00b", false, false);
    check_row("a\0b", 3, "a%00b", true, false);
}

static const struct {
    const char *shown;
    char delim;
    int mode, rc;
    const char *wire;
} typed[] = {
    {"Projects", '/', ANY, 0, "Projects"},
    {"Entwürfe", '.', U7, 0, "Entw&APw-rfe"},
    {"Entwürfe", '.', U8, 0, "Entwürfe"},
    {"R&D", '/', U7, 0, "R&-D"},
    {"R&D", '/', U8, 0, "R&D"},
    {"100%", '/', ANY, 0, "100%"},
    {"50%off", '/', ANY, 0, "50%off"},
    {"a%2Fb", '.', ANY, 0, "a/b"},
    {"a%2Fb", 0, ANY, 0, "a/b"},
    {"a%2Fb", '/', ANY, -EINVAL, NULL},
    {"a.b", '.', ANY, -EINVAL, NULL},
    {"a.b", '/', ANY, 0, "a.b"},
    {"a|b", '|', ANY, -EINVAL, NULL},
    {"a\\b", '\\', ANY, -EINVAL, NULL},
    {"%2E%2E", '/', ANY, 0, ".."},
    {"%2E%2E", '.', ANY, -EINVAL, NULL},
    {"%2Esearch", '/', ANY, 0, ".search"},
    /* Not what a name would be shown as: the text itself. */
    {"%41", '/', ANY, 0, "%41"},
    {"a%2fb", '/', ANY, 0, "a%2fb"},
    {"a%2Eb", '.', ANY, 0, "a%2Eb"},
    {"a%2Fb%41", '.', ANY, 0, "a%2Fb%41"},
    {"100%25", '/', ANY, 0, "100%25"},
    {"a%26-b", '/', U7, 0, "a%26-b"},
    {"a%26b", '/', U8, 0, "a%26b"},
    {"%FFFD", '/', ANY, 0,
     "\xff"
     "FD"},
    {"%C3%BC", '/', ANY, 0, "%C3%BC"},
    /* Refused, never sent (CVE-2012-0036, CVE-2026-42257). */
    {"", '/', ANY, -EINVAL, NULL},
    {"%20", '/', ANY, -EINVAL, NULL},
    {".", '/', ANY, -EINVAL, NULL},
    {"..", '/', ANY, -EINVAL, NULL},
    {"a/b", '.', ANY, -EINVAL, NULL},
    {"a\rb", '/', ANY, -EINVAL, NULL},
    {"a\nb", '/', ANY, -EINVAL, NULL},
    {"a\r\nA1 DELETE INBOX", '/', ANY, -EINVAL, NULL},
    {"a\tb", '/', ANY, -EINVAL, NULL},
    {"\x1b[m", '/', ANY, -EINVAL, NULL},
    {"\x7f", '/', ANY, -EINVAL, NULL},
    {"\xc2\x85", '/', ANY, -EINVAL, NULL},
    {"a%0Ab", '/', ANY, -EINVAL, NULL},
    {"a%0ab", '/', ANY, -EINVAL, NULL},
    {"a%0D", '/', ANY, -EINVAL, NULL},
    {"a%00", '/', ANY, -EINVAL, NULL},
    {"%1B[m", '/', ANY, -EINVAL, NULL},
    {"%7F", '/', ANY, -EINVAL, NULL},
    {"%C2%85", '/', ANY, -EINVAL, NULL},
    {"a%0A%41", '/', ANY, -EINVAL, NULL},
    {"%250A", '/', ANY, 0, "%0A"}, /* the text, harmless */
    {"\xff", '/', ANY, -EILSEQ, NULL},
    {"a\xc3", '/', ANY, -EILSEQ, NULL},
    {"\xed\xa0\x80", '/', ANY, -EILSEQ, NULL},
};

static void test_typed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(typed) / sizeof(*typed); i++) {
        for (int utf8 = 0; utf8 < 2; utf8++) {
            if (!(typed[i].mode & (utf8 ? U8 : U7)))
                continue;
            struct buf out = {0};
            buf_adds(&out, "x");
            int rc = mboxname_wire(typed[i].shown, typed[i].delim, utf8, &out);
            if (rc != typed[i].rc)
                fail_msg("%s: %d, not %d", typed[i].shown, rc, typed[i].rc);
            assert_string_equal(buf_str(&out) + 1, rc == 0 ? typed[i].wire : "");
            buf_free(&out);
        }
    }
}

static void test_cut(void **state)
{
    (void)state;
    struct buf wire = {0}, a = {0}, b = {0};
    for (int i = 0; i < 255; i++)
        buf_addc(&wire, 'a');
    mboxname_show(wire.data, wire.len, true, &a);
    assert_int_equal(a.len, 255);
    assert_int_equal(a.data[250], 'a');
    buf_addc(&wire, 'a');
    buf_reset(&a);
    mboxname_show(wire.data, wire.len, true, &a);
    assert_int_equal(a.len, 255);
    assert_int_equal(a.data[246], '~');

    /* What differs only behind the cut differs in the suffix; the cut splits neither character nor
     * escape. */
    static const char *const units[] = {"ü", "日", "🌌", "/", "\xff", "x日/🌌"};
    for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
        for (int pad = 0; pad < 12; pad++) {
            buf_reset(&wire);
            buf_reset(&a);
            buf_reset(&b);
            for (int i = 0; i < pad; i++)
                buf_addc(&wire, 'x');
            for (int i = 0; i < 300; i++)
                buf_adds(&wire, units[u]);
            mboxname_show(wire.data, wire.len, true, &a);
            buf_addc(&wire, 'x');
            mboxname_show(wire.data, wire.len, true, &b);
            assert_true(a.len <= 255 && a.len > 240 && a.len == b.len);
            assert_true(utf8_valid(a.data, a.len));
            assert_memory_equal(a.data, b.data, a.len - 8);
            assert_memory_not_equal(a.data, b.data, a.len);
            assert_int_equal(a.data[a.len - 9], '~');
            assert_true(a.data[a.len - 10] != '%' && a.data[a.len - 11] != '%');
        }
    }
    buf_free(&wire);
    buf_free(&a);
    buf_free(&b);
}

/* Short names over the characters that matter, all of them, both ways. */
static void test_exhaustive(void **state)
{
    (void)state;
    static const char set[] = "%2F5&-A./\xc3\xbc";
    size_t k = sizeof(set) - 1;
    for (int utf8 = 0; utf8 < 2; utf8++) {
        for (size_t code = 0; code < k * k * k * k * k; code++) {
            char wire[5];
            size_t rest = code;
            for (int i = 0; i < 5; i++, rest /= k)
                wire[i] = set[rest % k];
            struct buf shown = {0}, back = {0}, text = {0}, strict = {0};
            mboxname_show(wire, 5, utf8, &shown);
            assert_true(shown.len > 0 && !memchr(shown.data, '/', shown.len));
            bool legal = utf8 || utf7_decode(wire, 5, &text) < 0 ||
                         (utf7_encode(text.data, text.len, &strict) == 0 && strict.len == 5 &&
                          memcmp(strict.data, wire, 5) == 0);
            if (!utf8 && utf8_valid(wire, 5) && memchr(wire, 0xc3, 5))
                legal = false; /* raw UTF-8 */
            int rc = mboxname_wire(buf_str(&shown), 0, utf8, &back);
            if (legal && (rc != 0 || back.len != 5 || memcmp(back.data, wire, 5) != 0))
                fail_msg("%.5s is shown as %s and sent as %s", wire, buf_str(&shown),
                         buf_str(&back));
            buf_free(&shown);
            buf_free(&back);
            buf_free(&text);
            buf_free(&strict);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_typed),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_exhaustive),
    };
    return cmocka_run_group_tests_name("mboxname", tests, NULL, NULL);
}
