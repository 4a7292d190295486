/* Modified UTF-7 and the strict reading of UTF-8 below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "imap/wire/utf7.h"

struct row {
    const char *wire, *text; /* text NULL: the wire form is malformed */
};

/* Both directions. */
static const struct row pairs[] = {
    {"", ""},
    {"INBOX", "INBOX"},
    {"Sent Items", "Sent Items"},
    {"R&-D", "R&D"},
    {"&-&-", "&&"},
    {"-&--", "-&-"},
    {"Entw&APw-rfe", "Entwürfe"},
    {"&AOQ-&-&AOQ-", "ä&ä"},
    {"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"}, /* RFC 3501 §5.1.3 */
    {"&ZeVnLIqe-.&BBoEPgRABDcEOAQ9BDA-", "日本語.Корзина"},
    {"&2DzfDA-", "🌌"},
    {"a&2DzfDNg83ww-b", "a🌌🌌b"},
    {"&2Dzd3tg83fA-", "\xf0\x9f\x87\x9e\xf0\x9f\x87\xb0"},
    {"&IDw-", "\xe2\x80\xbc"},
    {"&2AHcAA-", "\xf0\x90\x90\x80"},
    {"&2,,f,w-", "\xf4\x8f\xbf\xbf"},
    {"&AKA-", "\xc2\xa0"},
    {"&,,8-", "\xef\xbf\xbf"},
    {"%2F\\\"*", "%2F\\\"*"},
    {"..", ".."},
    {"a/b", "a/b"},
};

/* Decoded though they ought not to have been sent. */
static const struct row lenient[] = {
    {"&AEE-", "A"},                       /* printable ASCII */
    {"R&ACY-D", "R&D"},                   /* '&' as base64 */
    {"&Jjo-&Jjo-", "☺☺"},                 /* split without need, RFC 3501 §5.1.3 */
    {"&U,BTF2XlZyyKng-", "台北日本語"},   /* the RFC's own, joined */
    {"&U,BTFw-&ZeVnLIqe-", "台北日本語"}, /* the RFC's own, split */
    {"&AC8-", "/"},
    {"&AC4ALg-", ".."},
};

static const char *const malformed[] = {
    "&",
    "a&",
    "Bad & name",
    "&Jjo!",
    "&Jjo",
    "&A-",
    "&AA-",
    "&AAA-",
    "&AAo-",
    "&AA0-",
    "&AB8-",
    "&AH8-",
    "&AIU-",
    "&AAAA-",
    "&2D0-",
    "&3Iw-",
    "&2D0AQQ-",
    "&2D3YPQ-",
    "&3IzYPQ-",
    "&APx-",
    "&APz-",
    "&AP w-",
    "&AP/8-",
    "&AP8=-",
    "&APwA-",
    "&APw&-",
    "\x7f",
    "a\tb",
    "a\rb",
    "a\nb",
    "\x1b[2J",
    "Entw\xc3\xbcrfe",
    "\xff",
    "&\xc3\xbc-",
    "&APwArg",
    "&APwAAAAA-",
    "&AAAAAAAAAA-",
};

static void check_decode(const char *wire, size_t len, const char *text)
{
    struct buf out = {0};
    buf_adds(&out, "before");
    int rc = utf7_decode(wire, len, &out);
    assert_int_equal(rc, text ? 0 : -EILSEQ);
    assert_memory_equal(out.data, "before", 6);
    assert_string_equal(buf_str(&out) + 6, text ? text : "");
    assert_int_equal(out.len, 6 + (text ? strlen(text) : 0));
    buf_free(&out);
}

static void test_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
        check_decode(pairs[i].wire, strlen(pairs[i].wire), pairs[i].text);
    for (size_t i = 0; i < sizeof(lenient) / sizeof(*lenient); i++)
        check_decode(lenient[i].wire, strlen(lenient[i].wire), lenient[i].text);
    for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++)
        check_decode(malformed[i], strlen(malformed[i]), NULL);
    check_decode("a\0b", 3, NULL);
}

static int encode(const char *text, size_t len, struct buf *out)
{
    buf_reset(out);
    buf_adds(out, "before");
    int rc = utf7_encode(text, len, out);
    assert_memory_equal(buf_str(out), "before", 6);
    if (rc < 0)
        assert_int_equal(out->len, 6);
    return rc;
}

static void test_encode(void **state)
{
    (void)state;
    struct buf out = {0};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        assert_int_equal(encode(pairs[i].text, strlen(pairs[i].text), &out), 0);
        assert_string_equal(buf_str(&out) + 6, pairs[i].wire);
    }
    /* CR, LF and NUL in a name would be a second command (CVE-2012-0036, CVE-2026-42257). */
    static const char *const control[] = {"a\rb", "a\nb",     "\t",       "\x7f",    "\x1b",
                                          "ü\n",  "\xc2\x85", "\xc2\x80", "\xc2\x9f"};
    for (size_t i = 0; i < sizeof(control) / sizeof(*control); i++)
        assert_int_equal(encode(control[i], strlen(control[i]), &out), -EINVAL);
    assert_int_equal(encode("a\0b", 3, &out), -EINVAL);
    assert_int_equal(encode("a\xff", 2, &out), -EILSEQ);
    assert_int_equal(encode("ä\xc3", 3, &out), -EILSEQ);
    assert_int_equal(encode("\xed\xa0\x80", 3, &out), -EILSEQ);
    buf_free(&out);
}

/* Every character there is, through both. */
static void test_round_trip(void **state)
{
    (void)state;
    struct buf wire = {0}, text = {0};
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp >= 0xd800 && cp <= 0xdfff)
            continue;
        char utf8[5] = "xxxxx";
        size_t n = utf8_put(cp, utf8);
        uint32_t back = 0;
        assert_int_equal(utf8_next(utf8, n, &back), n);
        assert_int_equal(back, cp);
        assert_int_equal(utf8_next(utf8, n - 1, &back), 0);
        buf_reset(&wire);
        buf_reset(&text);
        int rc = utf7_encode(utf8, n, &wire);
        assert_int_equal(rc, utf8_is_control(cp) ? -EINVAL : 0);
        if (rc < 0)
            continue;
        assert_int_equal(utf7_decode(wire.data, wire.len, &text), 0);
        assert_int_equal(text.len, n);
        assert_memory_equal(text.data, utf8, n);
    }
    buf_free(&wire);
    buf_free(&text);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2",
        "\xc2 ",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xe2\x82",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x9f\x98",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xfe",
        "\xff",
        "a\xff",
        "\xe2\x28\xa1",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid(NULL, 0));
    assert_true(utf8_valid("a\0b", 3));
    assert_true(utf8_valid("\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 16));
    assert_true(utf8_valid("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests_name("utf7", tests, NULL, NULL);
}
