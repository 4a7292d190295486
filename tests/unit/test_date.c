/* INTERNALDATE, as the RFC has it and as servers send it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "imap/wire/date.h"

static const struct {
    const char *text;
    int64_t when;
} good[] = {
    {"17-Jul-1996 02:44:25 -0700", 837596665},
    {"01-Jan-1970 00:00:00 +0000", 0},
    {" 1-Jan-1970 00:00:00 +0000", 0},
    {"1-Jan-1970 00:00:00 +0000", 0},
    {"01-Jan-1970 00:00:00", 0}, /* no zone */
    {"01-Jan-1970 00:00:00 ", 0},
    {"01-Jan-1970 00:00:00+0000", 0},
    {"01-jan-1970  00:00:00  -0000 ", 0},
    {"01-JAN-1970 01:00:00 +0100", 0},
    {"31-Dec-1969 23:59:59 +0000", -1},
    {"31-Dec-1969 18:30:00 -0530", 0},
    {"29-Feb-2000 12:00:00 +0000", 951825600},
    {"29-Feb-2024 00:00:00 +0000", 1709164800},
    {"19-Jan-2038 03:14:08 +0000", INT64_C(2147483648)},
    {"31-Dec-2016 23:59:60 +0000", 1483228800}, /* a leap second */
    {"31-Dec-9999 23:59:59 +0000", INT64_C(253402300799)},
    {"01-Jan-0001 00:00:00 +0000", INT64_C(-62135596800)},
    {"19-Nov-2026 09:31:00 +0100", 1795077060},
    {"19-Nov-2026 09:31:00 +1400", 1795030260},
};

static const char *const bad[] = {
    "",
    " ",
    "00-Jan-0000",
    "00-Jan-0000 00:00:00 +0000", /* Domino */
    "00-Jan-2020 00:00:00 +0000",
    "32-Jan-2020 00:00:00 +0000",
    "30-Feb-2020 00:00:00 +0000",
    "29-Feb-2023 00:00:00 +0000",
    "29-Feb-1900 00:00:00 +0000",
    "31-Apr-2020 00:00:00 +0000",
    "01-Foo-2020 00:00:00 +0000",
    "01-Ja-2020 00:00:00 +0000",
    "01-J",
    "01-Jan-2020",
    "01-Jan-20 00:00:00 +0000",
    "01-Jan-02020 00:00:00 +0000",
    "01-Jan-2020 24:00:00 +0000",
    "01-Jan-2020 00:60:00 +0000",
    "01-Jan-2020 00:00:61 +0000",
    "01-Jan-2020 00:00 +0000",
    "01-Jan-2020 0:00:00 +0000",
    "01-Jan-2020 00:00:00 +2400",
    "01-Jan-2020 00:00:00 +0060",
    "01-Jan-2020 00:00:00 +000",
    "01-Jan-2020 00:00:00 +00000",
    "01-Jan-2020 00:00:00 0000",
    "01-Jan-2020 00:00:00 +0000 x",
    "01-Jan-2020 00:00:00 GMT",
    "Wed, 17 Jul 1996 02:44:25 +0000",
    "1996-07-17 02:44:25 +0000",
    "01/Jan/2020 00:00:00 +0000",
    "-1-Jan-2020 00:00:00 +0000",
    "001-Jan-2020 00:00:00 +0000",
    "01-\x0a\x01\x0e-2020 00:00:00 +0000",
    "NIL",
    "01-Jan-2020\n00:00:00 +0000",
    "99999999999999999999-Jan-2020 00:00:00 +0000",
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        int64_t when = 42;
        assert_int_equal(date_parse(good[i].text, strlen(good[i].text), &when), 0);
        assert_int_equal(when, good[i].when);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        int64_t when = 42;
        assert_int_equal(date_parse(bad[i], strlen(bad[i]), &when), -EINVAL);
        assert_int_equal(when, 42);
    }
    int64_t when = 42;
    assert_int_equal(date_parse("01-Jan-2020\0 00:00:00", 21, &when), -EINVAL);
}

/* Every prefix of a date ends somewhere inside the bytes that are there. */
static void test_prefixes(void **state)
{
    (void)state;
    static const char text[] = "17-Jul-1996 02:44:25 -0700";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        char *exact = malloc(n + 1);
        int64_t when;
        memcpy(exact, text, n);
        int rc = date_parse(exact, n, &when);
        assert_int_equal(rc, n == 20 || n == 21 ? 0 : -EINVAL);
        free(exact);
    }
}

/* 500 characters, which was CVE-2018-14350 elsewhere. */
static void test_long(void **state)
{
    (void)state;
    char text[500];
    int64_t when;
    static const char *const start[] = {"", "17-Jul-1996 02:44:25 -", "17-Jul-1996 02:44:25 +0000"};
    for (size_t i = 0; i < 3; i++) {
        memset(text, '1', sizeof(text));
        memcpy(text, start[i], strlen(start[i]));
        assert_int_equal(date_parse(text, sizeof(text), &when), -EINVAL);
    }
    memset(text, ' ', sizeof(text));
    assert_int_equal(date_parse(text, sizeof(text), &when), -EINVAL);
}

static void test_format(void **state)
{
    (void)state;
    char out[32];
    date_format(837596665, out);
    assert_string_equal(out, "17-Jul-1996 09:44:25 +0000");
    date_format(0, out);
    assert_string_equal(out, "01-Jan-1970 00:00:00 +0000");
    date_format(-1, out);
    assert_string_equal(out, "31-Dec-1969 23:59:59 +0000");
    date_format(INT64_MAX, out);
    assert_string_equal(out, "31-Dec-9999 23:59:59 +0000");
    date_format(INT64_MIN, out);
    assert_string_equal(out, "01-Jan-0001 00:00:00 +0000");
}

/* Against the C library, in a zone and a locale that must not matter. */
static void test_civil(void **state)
{
    (void)state;
    setlocale(LC_ALL, "");
    setenv("TZ", "America/St_Johns", 1);
    tzset();
    for (int64_t when = -62135596800; when <= 253402300799; when += 86400 * 3 + 12345) {
        static const char names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        char out[32], want[64];
        struct tm tm;
        time_t t = when;
        int64_t back = 0;
        assert_non_null(gmtime_r(&t, &tm));
        snprintf(want, sizeof(want), "%02d-%s-%04d %02d:%02d:%02d +0000", tm.tm_mday,
                 names[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        date_format(when, out);
        if (strcmp(out, want) != 0)
            fail_msg("%s, not %s", out, want);
        if (date_parse(out, strlen(out), &back) != 0 || back != when)
            fail_msg("%s does not come back", out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),  cmocka_unit_test(test_prefixes), cmocka_unit_test(test_long),
        cmocka_unit_test(test_format), cmocka_unit_test(test_civil),
    };
    return cmocka_run_group_tests_name("date", tests, NULL, NULL);
}
