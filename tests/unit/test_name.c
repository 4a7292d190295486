/* File names of messages: from headers as they are, and from headers made to do harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/name.h"
#include "imap/base/buf.h"
#include "imap/base/utf8.h"

struct row {
    const char *in, *want;
};

static void check_label(const char *hdr, size_t len, const char *want)
{
    char *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read past the end */
    char out[256];
    memcpy(exact, hdr, len);
    size_t n = name_label(exact, len, out, sizeof(out));
    free(exact);
    assert_int_equal(n, strlen(out));
    if (strcmp(out, want) != 0)
        fail_msg("%s gives %s, not %s", hdr, out, want);
}

static void check_from(const char *from, const char *want)
{
    struct buf hdr = {0}, label = {0};
    buf_addf(&hdr, "From: %s\r\nSubject: s\r\n\r\n", from);
    buf_addf(&label, "%s_s", want);
    check_label(hdr.data, hdr.len, buf_str(&label));
    buf_free(&hdr);
    buf_free(&label);
}

static void check_subject(const char *subject, const char *want)
{
    struct buf hdr = {0}, label = {0};
    buf_addf(&hdr, "Subject: %s\r\nFrom: f@x\r\n\r\n", subject);
    buf_addf(&label, "f_%s", want);
    check_label(hdr.data, hdr.len, buf_str(&label));
    buf_free(&hdr);
    buf_free(&label);
}

static const struct row from[] = {
    {"Alice Example <alice@example.org>", "Alice-Example"},
    {"\"Alice Example\" <alice@example.org>", "Alice-Example"},
    {"\"Example, Alice\" <alice@example.org>", "Example,-Alice"},
    {"Example, Alice <alice@example.org>", "Example,-Alice"},
    {"\"Alice \\\"Al\\\" Example\" <a@b>", "Alice-Al-Example"},
    {"'Alice' <a@b>", "Alice"},
    {"Alice_Example <a@b>", "Alice-Example"},
    {"J. R. \"Bob\" Dobbs <a@b>", "J.-R.-Bob-Dobbs"},
    {"alice@example.org", "alice"},
    {"<alice@example.org>", "alice"},
    {"\"\" <alice@example.org>", "alice"},
    {"\"!!!\" <alice@example.org>", "alice"},
    {"alice@example.org <alice@example.org>", "alice@example.org"},
    {"\"alice@example.org\" <alice@example.org>", "alice@example.org"},
    {"alice@example.org (Alice Example)", "Alice-Example"},
    {"alice@example.org (Alice (the \\) one) Example)", "Alice-the-one-Example"},
    {"(Alice) alice@example.org", "Alice"},
    {"(Alice) <alice@example.org>", "Alice"},
    {"Alice (at work) <alice@example.org>", "Alice"},
    {"MAILER-DAEMON (Mail Delivery System)", "Mail-Delivery-System"},
    {"MAILER-DAEMON", "MAILER-DAEMON"},
    {"root", "root"},
    {"\"john doe\"@example.org", "john-doe"},
    {"a+b@example.org", "a+b"},
    {".dot@example.org", "dot"},
    {"-rf@example.org", "rf"},
    {"alice@example.org, bob@example.org", "alice"},
    {"Alice <a@x>, Bob <b@x>", "Alice"},
    {"=?utf-8?Q?J=C3=B6rg?= <j@x>", "Jörg"},
    {"=?utf-8?B?SsO2cmc=?= Example <j@x>", "Jörg-Example"},
    {"\"=?utf-8?Q?J=C3=B6rg?=\" <j@x>", "Jörg"},
    {"=?iso-8859-1?q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>", "André-Pirard"}, /* RFC 2047 §8 */
    {"=?ISO-2022-JP?B?GyRCOzNFRBsoQg==?= <y@x>", "山田"},
    {"=?utf-8?Q?Doe,_John?= <j@x>", "Doe,-John"},
    {"=?utf-8?Q?a(b:c)<d>?= <j@x>", "a-b-c-d"},
    {"j@x (=?utf-8?Q?J=C3=B6rg?=)", "Jörg"},
    {"Jörg <j@x>", "Jörg"},
    {"J\xf6rg <j@x>", "Jörg"}, /* Latin-1 without a word about it */
    {"=?utf-8?Q?=F0=9F=8C=8C?= <j@x>", "🌌"},
    {"=?utf-8?Q?a_b=5Fc?= <j@x>", "a-b-c"},
    {"Team: alice@example.org, bob@example.org;", "Team"},
    {"undisclosed-recipients:;", "undisclosed-recipients"},
    {"", "unknown"},
    {"<>", "unknown"},
    {"\"\" <>", "unknown"},
    {"@", "unknown"},
    {"/../../etc/passwd <a@b>", "etc-passwd"},
    {"\"unclosed <a@b>", "unclosed"},
};

static void test_from(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(from) / sizeof(*from); i++)
        check_from(from[i].in, from[i].want);
}

static const struct row subject[] = {
    {"Lunch on Friday", "Lunch-on-Friday"},
    {"Re: Lunch on Friday", "Re-Lunch-on-Friday"},
    {"[list] Re: a -- b", "list-Re-a-b"},
    {"  spaces\t\tand tabs  ", "spaces-and-tabs"},
    {"", "no-subject"},
    {" ", "no-subject"},
    {"!!! ???", "no-subject"},
    {"...", "no-subject"},
    {"..", "no-subject"},
    {".hidden", "hidden"},
    {"-rf *", "rf"},
    {"--help", "help"},
    {".-.-x", "x"},
    {"snake_case stays", "snake_case-stays"},
    {"50% off, 1+1, a@b, v1.2", "50%-off,-1+1,-a@b,-v1.2"},
    {"it's \"q\" $HOME `id` *?[x]{y}|&;<>()~#=!\\^:", "it-s-q-HOME-id-x-y"},
    {"../../etc/passwd", "etc-passwd"},
    {"a/b", "a-b"},
    {"\x1b]0;title\x07\x1b[31mred\x7f", "0-title-31mred"},
    {"Z\xc3\xbcrich caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x8e\x89!", "Zürich-café-日本-🎉"},
    {"\xe2\x80\x9cquoted\xe2\x80\x9d \xe2\x80\x93 dash\xe2\x80\xa6", "“quoted”-–-dash…"},
    {"e\xcc\x81t\xc3\xa9", "e\xcc\x81té"},
    {"\xcc\x81\xcc\x81x", "x"},            /* nothing to combine with */
    {"gpj.\xe2\x80\xae.exe", "gpj.-.exe"}, /* bidi override */
    {"a\xe2\x80\x8b"
     "b\xe2\x81\xa6"
     "c\xef\xbb\xbf",
     "a-b-c"},                                              /* zero width, isolate, BOM */
    {"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb", "👩💻"}, /* ZWJ */
    {"a\xc2\xa0\xe3\x80\x80"
     "b",
     "a-b"}, /* other spaces */
    {"a\xe2\x80\xa8"
     "b\xe2\x80\xa9"
     "c",
     "a-b-c"}, /* line, paragraph separator */
    {"a\xc2\x85"
     "b",
     "a-b"}, /* C1 */
    {"a\xee\x80\x80"
     "b",
     "a-b"}, /* private use */
    {"a\xef\xbf\xbf"
     "b",
     "a-b"}, /* no character */
    {"a\xf3\xa0\x80\xa0"
     "b",
     "a-b"}, /* tag */
    {"a\xe3\x85\xa4"
     "b",
     "a-b"}, /* Hangul filler */
    {"=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"},
    {"=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"},
    {"=?utf-8?Q?Gr=C3=BC?= =?utf-8?Q?=C3=9Fe?=", "Grüße"},
    {"=?utf-8?Q?Gr=C3?=\r\n =?utf-8?Q?=BC=C3=9Fe?=", "Grüße"}, /* a character in two words */
    {"=?ISO-8859-1?Q?a?= b", "a-b"},                           /* RFC 2047 §8 */
    {"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"},
    {"=?ISO-8859-1?Q?a_?= =?ISO-8859-2?Q?_b?=", "a-b"},
    {"=?windows-1252?Q?=80_5?=", "€-5"},
    {"=?utf-8*de?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"}, /* RFC 2231 §5 */
    {"=?UTF-8?q?a=2Fb=2F..=2F?=", "a-b-.."},
    {"=?utf-8?Q?a=00b=0D=0AX-Evil:_1?=", "a-b-X-Evil-1"},
    {"=?utf-8?Q?=1B]0;x=07?=", "0-x"},
    {"=?utf-8?Q?=E2=80=AEgpj?=", "gpj"},
    {"=?utf-8?Q?=2E=2Ehidden?=", "hidden"},
    {"=?utf-8?Q?unclosed", "utf-8-Q-unclosed"},
    {"=?", "no-subject"},
    {"=?=?=?=?", "no-subject"},
};

static void test_subject(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(subject) / sizeof(*subject); i++)
        check_subject(subject[i].in, subject[i].want);
}

static const struct row headers[] = {
    {"", "unknown_no-subject"}, /* CVE-2021-44143 */
    {"\r\n", "unknown_no-subject"},
    {"\r\nFrom: a@b\r\n", "unknown_no-subject"}, /* that is the body */
    {"From: a@b", "a_no-subject"},
    {"From:a@b\nSubject:x", "a_x"},
    {"SUBJECT: x\r\nfrom: a@b\r\n\r\n", "a_x"},
    {"Subject : x\r\nFrom\t: a@b\r\n", "a_x"},
    {"From: Alice\r\n Example\r\n\t<a@b>\r\nSubject: one\r\n two\r\n\r\n", "Alice-Example_one-two"},
    {"From:\r\n a@b\r\nSubject:\r\n\tx\r\n", "a_x"},
    {"From:\n\n a@b\n", "unknown_no-subject"},
    {"From: a@b\r\nFrom: c@d\r\nSubject: 1\r\nSubject: 2\r\n", "a_1"},
    {"X-From: no\r\nFromage: no\r\nFro: no\r\nFrom: a@b\r\nX-Subject: no\r\n", "a_no-subject"},
    {" Subject: folded from nowhere\r\nSubject: x\r\n", "unknown_x"},
    {"Date: x\r\n From: no\r\nFrom: a@b\r\n", "a_no-subject"},
    {"Subject: a\rb\r\n", "unknown_a-b"},
    {"From\r\nSubject\r\n", "unknown_no-subject"},
    {"From:\r\nSubject:\r\n", "unknown_no-subject"},
};

static void test_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
        check_label(headers[i].in, strlen(headers[i].in), headers[i].want);
    check_label("Subject: a\0b\r\nFrom: a@b\0\r\n", 27, "a_a-b");
    check_label("From: a@b\r\nSubject: \0\0\r\n", 24, "a_no-subject");
}

static bool is_clean(const char *s, size_t len)
{
    return utf8_valid(s, len) && !strpbrk(s, "/ \t\r\n\"'$*?;<>()[]~#=!&|\\`^{}:");
}

/* A long field of every kind, at every length that the caller may ask for. */
static void test_cut(void **state)
{
    (void)state;
    static const char *const units[] = {
        "a",
        "ab ",
        "\xc3\xbc",
        "\xe6\x97\xa5",
        "\xf0\x9f\x8e\x89",
        "e\xcc\x81",
        "\xcc\x81",
        "/",
        "\xff",
        "_",
        "=?utf-8?Q?=C3=BC?= ",
        "=?utf-8?B?",
        "\"",
        "(",
        "<",
        ":",
        "a:b,c;",
        "\\",
        "=?",
    };
    char out[256];
    for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
        struct buf hdr = {0};
        buf_adds(&hdr, "From: ");
        for (int i = 0; i < 4000; i++)
            buf_adds(&hdr, units[u]);
        buf_adds(&hdr, " <a@b>\r\nSubject: ");
        for (int i = 0; i < 4000; i++)
            buf_adds(&hdr, units[u]);
        for (size_t cap = 1; cap <= sizeof(out); cap++) {
            memset(out, 'X', sizeof(out));
            size_t n = name_label(hdr.data, hdr.len, out, cap);
            assert_true(n < cap && n <= NAME_LABEL_MAX && out[n] == '\0' && n == strlen(out));
            assert_true(is_clean(out, n));
            assert_true(cap == 256 || out[cap] == 'X');
            assert_true(n > 0 || cap < 5);
        }
        char name[256];
        size_t n = name_compose(name, 0, out, UINT32_MAX);
        assert_true(n <= 255 && n == strlen(name));
        buf_free(&hdr);
    }
}

/* White space alone does not hide what stands behind it, and a subject behind a long From stays. */
static void test_room(void **state)
{
    (void)state;
    struct buf hdr = {0};
    char out[256];
    buf_adds(&hdr, "From: ");
    for (int i = 0; i < 100; i++)
        buf_adds(&hdr, "abcdefghi ");
    buf_adds(&hdr, "<a@b>\r\nSubject:");
    for (int i = 0; i < 10000; i++)
        buf_adds(&hdr, i % 50 ? " " : "\r\n ");
    buf_adds(&hdr, "x\r\n");
    name_label(hdr.data, hdr.len, out, sizeof(out));
    assert_string_equal(strchr(out, '_'), "_x");
    buf_reset(&hdr); /* an accent is not cut off from its letter */
    buf_adds(&hdr, "From: x\r\nSubject: ");
    for (int i = 0; i < 100; i++)
        buf_adds(&hdr, "e\xcc\x81");
    size_t n = name_label(hdr.data, hdr.len, out, 12);
    assert_string_equal(out, "x_e\xcc\x81"
                             "e\xcc\x81"
                             "e\xcc\x81");
    assert_int_equal(n, 11);
    n = name_label(hdr.data, hdr.len, out, 11);
    assert_string_equal(out, "x_e\xcc\x81"
                             "e\xcc\x81");
    assert_int_equal(n, 8);
    buf_free(&hdr);
}

static void set_zone(const char *tz)
{
    setenv("TZ", tz, 1);
    tzset();
}

static void test_compose(void **state)
{
    (void)state;
    char out[256];
    set_zone("Europe/Berlin");
    size_t n = name_compose(out, 1795077060, "Alice-Example_Lunch-on-Friday", 4711);
    assert_string_equal(out, "2026-11-19T0931_Alice-Example_Lunch-on-Friday.4711.eml");
    assert_int_equal(n, strlen(out));
    set_zone("UTC");
    name_compose(out, -1, "a_b", 1);
    assert_string_equal(out, "1969-12-31T2359_a_b.1.eml");
    name_compose(out, 0, "", 1);
    assert_string_equal(out, "1970-01-01T0000.1.eml");
    static const int64_t odd[] = {INT64_MIN, INT64_MAX, INT64_C(253402300800),
                                  INT64_C(-62167219201)};
    for (size_t i = 0; i < 4; i++) {
        name_compose(out, odd[i], "a_b", 1);
        assert_string_equal(out, "0000-00-00T0000_a_b.1.eml");
    }
    name_compose(out, -62167219200, "a_b", 1);
    assert_string_equal(out, "0000-01-01T0000_a_b.1.eml");
    name_compose(out, 253402300799, "a_b", 1);
    assert_string_equal(out, "9999-12-31T2359_a_b.1.eml");

    char label[1001];
    memset(label, 'x', 1000);
    label[1000] = '\0';
    assert_int_equal(name_compose(out, 0, label, UINT32_MAX), 255);
    assert_string_equal(out + 240, ".4294967295.eml");
    for (int i = 1; i < 999; i += 2)
        memcpy(label + i, "\xc3\xbc", 2);
    label[999] = '\0';
    n = name_compose(out, 0, label, 1);
    assert_true(utf8_valid(out, n));
    assert_int_equal(name_uid_only(out, UINT32_MAX), 14);
    assert_string_equal(out, "4294967295.eml");
    name_uid_only(out, 4711);
    assert_string_equal(out, "4711.eml");
}

static void test_parse_uid(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t uid; /* 0: not a message's name */
    } rows[] = {
        {"4711.eml", 4711},
        {"1.eml", 1},
        {"4294967295.eml", UINT32_MAX},
        {"2026-11-19T0931_Alice-Example_Lunch-on-Friday.4711.eml", 4711},
        {"x.4711.eml", 4711},
        {"x..4711.eml", 4711},
        {"a.eml.7.eml", 7},
        {"7.7.eml", 7},
        {"", 0},
        {".eml", 0},
        {"eml", 0},
        {"x.eml", 0},
        {"0.eml", 0},
        {"04711.eml", 0},
        {"x.04711.eml", 0},
        {"x.0.eml", 0},
        {"4294967296.eml", 0},
        {"42949672950.eml", 0},
        {"99999999999999999999.eml", 0},
        {"x4711.eml", 0},
        {"-4711.eml", 0},
        {"x.-1.eml", 0},
        {"x.+1.eml", 0},
        {"x. 1.eml", 0},
        {"x.1 .eml", 0},
        {"x.1.EML", 0},
        {"x.1.eml~", 0},
        {"x.1.eml.swp", 0},
        {"x.1.em", 0},
        {"x.1", 0},
        {"x.1eml", 0},
        {".x.1.eml", 0},
        {"._x.1.eml", 0},
        {".1.eml", 0},
        {"x.\xd9\xa1.eml", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint32_t uid = 0;
        if (name_parse_uid(rows[i].name, &uid) != (rows[i].uid != 0) || uid != rows[i].uid)
            fail_msg("%s gives %u", rows[i].name, uid);
    }
}

/* Names of charsets that nobody knows are let into GMime's memory only so many times. */
static void test_charsets(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char hdr[200], out[256];
        int n = snprintf(hdr, sizeof(hdr), "From: a@b\nSubject: =?x-%d?Q?abc=3D?=\n", i);
        name_label(hdr, (size_t)n, out, sizeof(out));
        if (i < 50)
            assert_string_equal(out, "a_abc");
        if (i > 200)
            assert_int_equal(strncmp(out, "a_x-", 4), 0);
    }
    check_subject("=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße");
    check_subject("=?Windows-1252?Q?Gr=FC=DFe?=", "Grüße");
    check_subject("=?utf-8-but-much-longer-than-charset-names-are?Q?a?=",
                  "utf-8-but-much-longer-than-charset-names-are-Q-a");
}

/* GMime's tables are shared; many threads name messages at once. */
static void *label_all(void *arg)
{
    (void)arg;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(subject) / sizeof(*subject); i++) {
            char hdr[300], out[256];
            int n = snprintf(hdr, sizeof(hdr), "From: %s\r\nSubject: %s\r\n",
                             from[i % (sizeof(from) / sizeof(*from))].in, subject[i].in);
            name_label(hdr, (size_t)n, out, sizeof(out));
            if (strcmp(strchr(out, '_') + 1, subject[i].want) != 0)
                return (void *)subject[i].in;
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, label_all, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from),     cmocka_unit_test(test_subject),
        cmocka_unit_test(test_headers),  cmocka_unit_test(test_cut),
        cmocka_unit_test(test_room),     cmocka_unit_test(test_compose),
        cmocka_unit_test(test_charsets), cmocka_unit_test(test_parse_uid),
        cmocka_unit_test(test_threads),
    };
    name_init();
    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
