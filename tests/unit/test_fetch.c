/* FETCH rows: items in any order, in any spelling, and without sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/feed.h"

static const struct row fetch_rows[] = {
    ROW("* 12 FETCH (FLAGS (\\Seen) UID 7)\r\n",
        "* 12 FETCH ( FLAGS ( \\Seen ) UID 7 ) => uid 7 flags(\\Seen)\n"),
    ROW("* 12 FETCH (UID 7 FLAGS ())\r\n", "* 12 FETCH ( UID 7 FLAGS ( ) ) => uid 7 flags()\n"),
    ROW("* 12 fetch (uid 7 rfc822.size 9 flags (\\seen \\DELETED $Junk))\r\n",
        "* 12 fetch ( uid 7 rfc822.size 9 flags ( \\seen \\DELETED $Junk ) ) => uid 7 "
        "flags(\\Seen \\Deleted) size 9\n"),
    /* One message in two rows. */
    ROW("* 1 FETCH (UID 7 RFC822.SIZE 3)\r\n* 1 FETCH (BODY[] {3}\r\nabc UID 7)\r\n",
        "* 1 FETCH ( UID 7 RFC822.SIZE 3 ) => uid 7 size 3\n"
        "* 1 FETCH ( BODY[] \"abc\" UID 7 ) => uid 7 body <abc>\n"),
    /* Courier and QIP. */
    ROW("* 0 FETCH (UID 7)\r\n", "* 0 FETCH ( UID 7 ) => uid 7\n"),
    ROW("* 5 FETCH ()\r\n", "* 5 FETCH ( ) =>\n"),
    ROW("* 5 FETCH\r\n", "* 5 FETCH => error 0\n"),
    ROW("* 5 FETCH NIL\r\n", "* 5 FETCH NIL => error 0\n"),
    ROW("* 5 FETCH UID 7\r\n", "* 5 FETCH UID 7 => error 0\n"),
    ROW("* 5 FETCH (UID)\r\n", "* 5 FETCH ( UID ) =>\n"),
    ROW("* 5 FETCH (UID 7 FLAGS)\r\n", "* 5 FETCH ( UID 7 FLAGS ) => uid 7\n"),
    ROW("* 5 FETCH (UID 7) \r\n", "* 5 FETCH ( UID 7 ) => uid 7\n"),
    /* Values that make no sense are left out, the others stay. */
    ROW("* 5 FETCH (RFC822.SIZE -1 UID 7)\r\n", "* 5 FETCH ( RFC822.SIZE -1 UID 7 ) => uid 7\n"),
    ROW("* 5 FETCH (RFC822.SIZE 9.3736e+06 UID 7)\r\n",
        "* 5 FETCH ( RFC822.SIZE 9.3736e+06 UID 7 ) => uid 7\n"),
    ROW("* 5 FETCH (UID 4294967296 FLAGS ())\r\n",
        "* 5 FETCH ( UID 4294967296 FLAGS ( ) ) => flags()\n"),
    ROW("* 5 FETCH (UID -1)\r\n", "* 5 FETCH ( UID -1 ) =>\n"),
    ROW("* 5 FETCH (UID (7) FLAGS \\Seen RFC822.SIZE \"9\" BODY[] (x))\r\n",
        "* 5 FETCH ( UID ( 7 ) FLAGS \\Seen RFC822.SIZE \"9\" BODY[] ( x ) ) =>\n"),
    ROW("* 5 FETCH (UID 7 MODSEQ (624140003))\r\n",
        "* 5 FETCH ( UID 7 MODSEQ ( 624140003 ) ) => uid 7 modseq 624140003\n"),
    ROW("* 5 FETCH (MODSEQ (-1) UID 7)\r\n", "* 5 FETCH ( MODSEQ ( -1 ) UID 7 ) => uid 7\n"),
    ROW("* 5 FETCH (MODSEQ 5 UID 7)\r\n", "* 5 FETCH ( MODSEQ 5 UID 7 ) => uid 7\n"),
    ROW("* 5 FETCH (MODSEQ () UID 7)\r\n", "* 5 FETCH ( MODSEQ ( ) UID 7 ) => uid 7\n"),
    ROW("* 5 FETCH (RFC822.SIZE 4294967295 UID 7)\r\n",
        "* 5 FETCH ( RFC822.SIZE 4294967295 UID 7 ) => uid 7 size 4294967295\n"),
    ROW("* 5 FETCH (RFC822.SIZE 4294967296 UID 7)\r\n",
        "* 5 FETCH ( RFC822.SIZE 4294967296 UID 7 ) => uid 7\n"),
    ROW("* 5 FETCH (RFC822.SIZE NIL UID 7)\r\n", "* 5 FETCH ( RFC822.SIZE NIL UID 7 ) => uid 7\n"),
    /* Dates. */
    ROW("* 5 FETCH (INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" UID 7)\r\n",
        "* 5 FETCH ( INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" UID 7 ) => uid 7 date "
        "837596665\n"),
    ROW("* 5 FETCH (INTERNALDATE \"00-Jan-0000 00:00:00\" UID 7)\r\n",
        "* 5 FETCH ( INTERNALDATE \"00-Jan-0000 00:00:00\" UID 7 ) => uid 7\n"),
    ROW("* 5 FETCH (INTERNALDATE NIL UID 7)\r\n",
        "* 5 FETCH ( INTERNALDATE NIL UID 7 ) => uid 7\n"),
    /* Unasked items are passed over, however they are made. */
    ROW("* 5 FETCH (X-GM-LABELS (\"\\\\Inbox\" a) ENVELOPE (NIL ((\"x\" NIL NIL {1}\r\n)))) UID 7 "
        "BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"x\") 3))\r\n",
        "* 5 FETCH ( X-GM-LABELS ( \"\\Inbox\" a ) ENVELOPE ( NIL ( ( \"x\" NIL NIL \")\" ) ) ) "
        "UID 7 BODY ( \"TEXT\" \"PLAIN\" ( \"CHARSET\" \"x\" ) 3 ) ) => uid 7\n"),
    ROW("* 5 FETCH (ENVELOPE (NIL (\"x\")) UID 7 BODY (\"TEXT\" (\"CHARSET\" \"x\") 3) FLAGS "
        "())\r\n",
        "* 5 FETCH ( ENVELOPE ( NIL ( \"x\" ) ) UID 7 BODY ( \"TEXT\" ( \"CHARSET\" \"x\" ) 3 ) "
        "FLAGS ( ) ) => uid 7 flags()\n"),
};

static const struct row section_rows[] = {
    ROW("* 5 FETCH (UID 7 BODY[HEADER.FIELDS (FROM SUBJECT)] {4}\r\nA:b\n)\r\n",
        "* 5 FETCH ( UID 7 BODY[HEADER.FIELDS (FROM SUBJECT)] \"A:b\\x0a\" ) => uid 7 header "
        "<A:b\\x0a>\n"),
    ROW("* 5 FETCH (UID 7 BODY[HEADER.FIELDS (\"FROM\" \"SUBJECT\")] {2}\r\n\r\n)\r\n",
        "* 5 FETCH ( UID 7 BODY[HEADER.FIELDS (\"FROM\" \"SUBJECT\")] \"\\x0d\\x0a\" ) => uid 7 "
        "header <\\x0d\\x0a>\n"),
    ROW("* 5 FETCH (body[header.fields (from)]  \"\" uid 7)\r\n",
        "* 5 FETCH ( body[header.fields (from)] \"\" uid 7 ) => uid 7 header <>\n"),
    ROW("* 5 FETCH (BODY[HEADER.FIELDS  ( FROM  SUBJECT ) ] {1}\r\nx UID 7)\r\n",
        "* 5 FETCH ( BODY[HEADER.FIELDS  ( FROM  SUBJECT ) ] \"x\" UID 7 ) => uid 7 header <x>\n"),
    ROW("* 5 FETCH (BODY[HEADER.FIELDS (FROM)]<0> {1}\r\nx UID 7)\r\n",
        "* 5 FETCH ( BODY[HEADER.FIELDS (FROM)]<0> \"x\" UID 7 ) => uid 7 header <x>\n"),
    ROW("* 5 FETCH (BODY[HEADER.FIELDS FROM] {1}\r\nx UID 7)\r\n",
        "* 5 FETCH ( BODY[HEADER.FIELDS FROM] \"x\" UID 7 ) => uid 7 header <x>\n"),
    ROW("* 5 FETCH (BODY[HEADER] \"x\" UID 7)\r\n",
        "* 5 FETCH ( BODY[HEADER] \"x\" UID 7 ) => uid 7 header <x>\n"),
    ROW("* 5 FETCH (RFC822.HEADER NIL UID 7)\r\n",
        "* 5 FETCH ( RFC822.HEADER NIL UID 7 ) => uid 7 header <>\n"),
    ROW("* 5 FETCH (UID 7 BODY[] {3}\r\na)b)\r\n",
        "* 5 FETCH ( UID 7 BODY[] \"a)b\" ) => uid 7 body <a)b>\n"),
    ROW("* 5 FETCH (UID 7 BODY[] \"quoted \\\"x\\\"\")\r\n",
        "* 5 FETCH ( UID 7 BODY[] \"quoted \"x\"\" ) => uid 7 body <quoted \"x\">\n"),
    ROW("* 5 FETCH (UID 7 BODY[] NIL)\r\n", "* 5 FETCH ( UID 7 BODY[] NIL ) => uid 7 body <>\n"),
    ROW("* 5 FETCH (UID 7 BODY[] {0}\r\n)\r\n",
        "* 5 FETCH ( UID 7 BODY[] \"\" ) => uid 7 body <>\n"),
    ROW("* 5 FETCH (UID 7 BODY[]<0> {1}\r\nx)\r\n",
        "* 5 FETCH ( UID 7 BODY[]<0> \"x\" ) => uid 7 body <x>@0\n"),
    ROW("* 5 FETCH (UID 7 BODY[]<0.1024> {1}\r\nx)\r\n",
        "* 5 FETCH ( UID 7 BODY[]<0.1024> \"x\" ) => uid 7 body <x>@0\n"),
    ROW("* 5 FETCH (UID 7 BODY[]<1048576> {1}\r\nx)\r\n",
        "* 5 FETCH ( UID 7 BODY[]<1048576> \"x\" ) => uid 7 body <x>@1048576\n"),
    ROW("* 5 FETCH (UID 7 BODY[]<-1> \"x\")\r\n",
        "* 5 FETCH ( UID 7 BODY[]<-1> \"x\" ) => uid 7\n"),
    ROW("* 5 FETCH (UID 7 BODY[]<> \"x\")\r\n", "* 5 FETCH ( UID 7 BODY[]<> \"x\" ) => uid 7\n"),
    ROW("* 5 FETCH (UID 7 BODY[]<99999999999999999999> \"x\")\r\n",
        "* 5 FETCH ( UID 7 BODY[]<99999999999999999999> \"x\" ) => uid 7\n"),
    ROW("* 5 FETCH (UID 7 RFC822 {1}\r\nx)\r\n",
        "* 5 FETCH ( UID 7 RFC822 \"x\" ) => uid 7 body <x>\n"),
    ROW("* 5 FETCH (UID 7 BODY[TEXT] {1}\r\nx BODY[1.2] NIL)\r\n",
        "* 5 FETCH ( UID 7 BODY[TEXT] \"x\" BODY[1.2] NIL ) => uid 7\n"),
    /* All of it at once, from a message that ends without a line end. */
    ROW("* 5 FETCH (BODY[HEADER.FIELDS (FROM SUBJECT)] {2}\r\nab FLAGS (\\Recent \\Draft) "
        "INTERNALDATE \" 1-Jan-2000 00:00:00 +0000\" BODY[]<3> {1}\r\nx RFC822.SIZE 4 UID 7)\r\n",
        "* 5 FETCH ( BODY[HEADER.FIELDS (FROM SUBJECT)] \"ab\" FLAGS ( \\Recent \\Draft ) "
        "INTERNALDATE \" 1-Jan-2000 00:00:00 +0000\" BODY[]<3> \"x\" RFC822.SIZE 4 UID 7 ) => "
        "uid 7 flags(\\Draft \\Recent) date 946684800 size 4 header <ab> body <x>@3\n"),
};

static void test_fetch(void **state)
{
    (void)state;
    CHECK_ROWS(fetch_rows);
    CHECK_ROWS(section_rows);
}

/* CVE-2018-14350. */
static void test_long_date(void **state)
{
    (void)state;
    struct buf in = {0}, want = {0};
    buf_adds(&in, "* 5 FETCH (UID 7 INTERNALDATE \"");
    buf_adds(&want, "* 5 FETCH ( UID 7 INTERNALDATE \"");
    for (unsigned i = 0; i < 500; i++) {
        buf_addc(&in, '1');
        buf_addc(&want, '1');
    }
    buf_adds(&in, "\" RFC822.SIZE 3)\r\n");
    buf_adds(&want, "\" RFC822.SIZE 3 ) => uid 7 size 3\n");
    check_stream(in.data, in.len, LIMIT_LOGIN_LINE, buf_str(&want));
    buf_free(&in);
    buf_free(&want);
}

/* The items of a row in every order. */
static void test_fetch_order(void **state)
{
    (void)state;
    static const char *const items[] = {
        "UID 7",
        "FLAGS (\\Seen)",
        "RFC822.SIZE 5",
        "BODY[HEADER.FIELDS (FROM)] {3}\r\nF:x",
        "INTERNALDATE \"17-Jul-1996 02:44:25 -0700\"",
    };
    enum { N = sizeof items / sizeof *items };
    for (unsigned code = 0; code < N * N * N * N * N; code++) {
        unsigned order[N], used = 0, rest = code;
        for (unsigned i = 0; i < N; i++, rest /= N) {
            order[i] = rest % N;
            used |= 1u << order[i];
        }
        if (used != (1u << N) - 1)
            continue;
        struct feed f;
        struct buf in = {0};
        buf_adds(&in, "* 3 FETCH (");
        for (unsigned i = 0; i < N; i++)
            buf_addf(&in, "%s%s", i ? " " : "", items[order[i]]);
        buf_adds(&in, ")\r\n");
        feed_init(&f, LIMIT_LOGIN_LINE);
        feed(&f, in.data, in.len);
        const char *got = strstr(feed_end(&f), " => ");
        assert_non_null(got);
        assert_string_equal(got, " => uid 7 flags(\\Seen) date 837596665 size 5 header <F:x>\n");
        feed_free(&f);
        buf_free(&in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_long_date),
        cmocka_unit_test(test_fetch_order),
    };
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
