/* Framing and parsing: whatever way the bytes arrive, the same comes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/feed.h"

/* ---- every kind of response ---- */

static const struct row status_rows[] = {
    ROW("* OK ready\r\n", "* OK |ready\n"),
    ROW("* OK\r\n", "* OK\n"),
    ROW("* NO\r\n", "* NO\n"), /* CVE-2018-14349 */
    ROW("* NO \r\n", "* NO\n"),
    ROW("* NO\n", "* NO\n"),
    ROW("* ok Ready\r\n", "* OK |Ready\n"),
    ROW("* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n", "* PREAUTH [CAPABILITY IMAP4rev1] |hi\n"),
    ROW("* BYE Autologout; idle for too long\r\n", "* BYE |Autologout; idle for too long\n"),
    ROW("* BAD what\r\n", "* BAD |what\n"),
    ROW("A1 OK LOGIN completed\r\n", "A1 OK |LOGIN completed\n"),
    ROW("A1 NO [AUTHENTICATIONFAILED] no\r\n", "A1 NO [AUTHENTICATIONFAILED] |no\n"),
    ROW("A1 OK\r\n", "A1 OK\n"),
    ROW("A1 BAD\r\nA2 OK x\r\n", "A1 BAD\nA2 OK |x\n"),
    /* No text behind the code: Gmail, iCloud. */
    ROW("A7 OK [READ-WRITE]\r\n", "A7 OK [READ-WRITE]\n"),
    ROW("* OK [UIDNEXT 4392]\r\n", "* OK [UIDNEXT 4392]\n"),
    ROW("* OK [UIDNEXT 4392] \r\n", "* OK [UIDNEXT 4392]\n"),
    ROW("A7 OK [COPYUID 38505 304,319:320 3956:3958] Done\r\n",
        "A7 OK [COPYUID 38505 304,319:320 3956:3958] |Done\n"),
    ROW("A7 OK [COPYUID 38505  ] Done\r\n", "A7 OK [COPYUID 38505] |Done\n"),
    ROW("* NO [BADCHARSET (\"UTF-8\" US-ASCII)] no\r\n",
        "* NO [BADCHARSET ( \"UTF-8\" US-ASCII )] |no\n"),
    ROW("* OK [X \"a ] b\" c] text ] more\r\n", "* OK [X \"a ] b\" c] |text ] more\n"),
    ROW("* OK [never closed\r\n", "* OK |[never closed\n"),
    ROW("* OK []\r\n", "* OK\n"),
    ROW("* OK [ALERT] \xe2\x98\xba \xff\r\n", "* OK [ALERT] |\xe2\x98\xba \xff\n"),
    /* Fastmail's PERMANENTFLAGS, and worse. */
    ROW("* OK [PERMANENTFLAGS (\\Answered \\Seen \\*)] ok\r\n",
        "* OK [PERMANENTFLAGS ( \\Answered \\Seen \\* )] |ok\n"),
    ROW("* OK [PERMANENTFLAGS ()] ok\r\n", "* OK [PERMANENTFLAGS ( )] |ok\n"),
    ROW("* OK [PERMANENTFLAGS (\\Seen] ok\r\n", "* OK [PERMANENTFLAGS] |ok\n"),
    ROW("* OK [PERMANENTFLAGS \\Seen)] ok\r\n", "* OK [PERMANENTFLAGS] |ok\n"),
    ROW("* OK [PERMANENTFLAGS]\r\n", "* OK [PERMANENTFLAGS]\n"),
    /* What looks like a literal in free text is text. */
    ROW("* OK see {5}\r\nA1 OK {2147483648}\r\n", "* OK |see {5}\nA1 OK |{2147483648}\n"),
    ROW("* BYE {-1}\r\n+ go {3}\r\nA1 NO [ALERT] {99999999999999999999}\r\n",
        "* BYE |{-1}\n+ |go {3}\nA1 NO [ALERT] |{99999999999999999999}\n"),
    ROW("*  OK  two  {5}\r\n", "* OK |two  {5}\n"),
    ROW("+ go ahead\r\n", "+ |go ahead\n"),
    ROW("+\r\n+ \r\n+\n", "+\n+\n+\n"), /* Yandex */
    ROW("+ dGVzdA==\r\n", "+ |dGVzdA==\n"),
};

static const struct row data_rows[] = {
    ROW("* CAPABILITY IMAP4rev1 AUTH=PLAIN LITERAL+\r\n",
        "* CAPABILITY IMAP4rev1 AUTH=PLAIN LITERAL+\n"),
    ROW("* CAPABILITY\r\n", "* CAPABILITY\n"),
    ROW("* 23 EXISTS\r\n", "* 23 EXISTS\n"),
    ROW("* 23 EXISTS \r\n", "* 23 EXISTS\n"),
    ROW("*  23   EXISTS\r\n", "* 23 EXISTS\n"),
    ROW("* 0 RECENT\r\n", "* 0 RECENT\n"),
    ROW("* 4294967295 EXISTS\r\n", "* 4294967295 EXISTS\n"),
    ROW("* 44 EXPUNGE\n", "* 44 EXPUNGE\n"),
    ROW("* FLAGS (\\Answered \\Flagged $Junk)\r\n", "* FLAGS ( \\Answered \\Flagged $Junk )\n"),
    ROW("* SEARCH 2 84 882\r\n", "* SEARCH 2 84 882\n"),
    ROW("* SEARCH\r\n* SEARCH \r\n", "* SEARCH\n* SEARCH\n"),
    ROW("* SEARCH 2 3 (MODSEQ 917)\r\n", "* SEARCH 2 3 ( MODSEQ 917 )\n"),
    ROW("* ESEARCH (TAG \"A5\") UID ALL 2,10:11\r\n", "* ESEARCH ( TAG \"A5\" ) UID ALL 2,10:11\n"),
    ROW("* ESEARCH (TAG \"A5\") UID\r\n", "* ESEARCH ( TAG \"A5\" ) UID\n"),
    ROW("* LIST (\\HasNoChildren) \"/\" INBOX\r\n", "* LIST ( \\HasNoChildren ) \"/\" INBOX\n"),
    ROW("* LIST () NIL \"\"\r\n", "* LIST ( ) NIL \"\"\n"),
    ROW("* LIST () \"\\\\\" \"a\\\\b \\\"c\\\"\"\r\n", "* LIST ( ) \"\\\" \"a\\b \"c\"\"\n"),
    ROW("* LIST () \"|\" {7}\r\nSent (1)\r\n", "?\n"),
    ROW("* LIST () \"|\" {8}\r\nSent (1)\r\n", "* LIST ( ) \"|\" \"Sent (1)\"\n"),
    ROW("* LIST () \"/\" [Gmail]/Spam\r\n", "* LIST ( ) \"/\" [Gmail]/Spam\n"),
    ROW("* LIST () \"/\" \"[Gmail]/All Mail\"\r\n", "* LIST ( ) \"/\" \"[Gmail]/All Mail\"\n"),
    ROW("* LIST () \".\" Entw\xc3\xbcrfe\r\n", "* LIST ( ) \".\" Entw\xc3\xbcrfe\n"),
    ROW("* LIST () \"/\" NIL\r\n", "* LIST ( ) \"/\" NIL\n"),
    ROW("* LIST () \"/\" \"a\tb\001c\"\r\n", "* LIST ( ) \"/\" \"a\\x09b\\x01c\"\n"), /* Exchange */
    ROW("* LIST () \"/\" \"a\0b\"\r\n", "* LIST ( ) \"/\" \"a\\x00b\"\n"),
    ROW("* STATUS INBOX (MESSAGES 3 UNSEEN 0)\r\n", "* STATUS INBOX ( MESSAGES 3 UNSEEN 0 )\n"),
    ROW("* STATUS \"a b\" ()\r\n", "* STATUS \"a b\" ( )\n"), /* CVE-2022-4121 */
    ROW("* STATUS INBOX\r\n", "* STATUS INBOX\n"),
    ROW("* STATUS INBOX (MESSAGES -1 UIDNEXT 9.3736e+06)\r\n",
        "* STATUS INBOX ( MESSAGES -1 UIDNEXT 9.3736e+06 )\n"),
    ROW("* QUOTA \"\" (STORAGE 10 512)\r\n", "* QUOTA \"\" ( STORAGE 10 512 )\n"),
    ROW("* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\r\n",
        "* NAMESPACE ( ( \"INBOX.\" \".\" ) ) NIL NIL\n"),
    ROW("* NAMESPACE ((\"\" \"/\")(\"#mh/\" \"/\" \"X\" (\"a\"))) nil NIL\r\n",
        "* NAMESPACE ( ( \"\" \"/\" ) ( \"#mh/\" \"/\" \"X\" ( \"a\" ) ) ) NIL NIL\n"),
    ROW("* VANISHED (EARLIER) 41,43:116\r\n", "* VANISHED ( EARLIER ) 41,43:116\n"),
    ROW("* ENABLED CONDSTORE\r\n* ENABLED\r\n", "* ENABLED CONDSTORE\n* ENABLED\n"),
    ROW("* ID (\"name\" \"Dovecot\" \"x\" NIL)\r\n* ID NIL\r\n",
        "* ID ( \"name\" \"Dovecot\" \"x\" NIL )\n* ID NIL\n"),
    ROW("* XYZZY a (b (c) \"d\")\r\n", "* XYZZY a ( b ( c ) \"d\" )\n"),
    ROW("* SEARCH 1 2\r\nA3 OK a\r\n* 1 EXISTS\r\nA4 OK b\r\n+ \r\n* BY",
        "* SEARCH 1 2\nA3 OK |a\n* 1 EXISTS\nA4 OK |b\n+\n...\n"),
    /* DavMail's spaces. */
    ROW("* LIST  (\\HasChildren  )  \"/\"  \"a\"  \r\n", "* LIST ( \\HasChildren ) \"/\" \"a\"\n"),
    ROW("* FLAGS ( a  b ) \r\n", "* FLAGS ( a b )\n"),
};

/* Not understood, and yet the next response is. */
static const struct row nonsense_rows[] = {
    ROW("\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
    ROW("\n\n", "?\n?\n"),
    ROW("*\r\n* \r\n", "?\n?\n"),
    ROW("A1\r\nA1 \r\n", "?\n?\n"),
    ROW("A1 WHAT is this\r\n", "?\n"),
    ROW("HTTP/1.1 400 Bad Request\r\n", "?\n"),
    ROW("* 4294967296 EXISTS\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
    ROW("* 99999999999999999999999 FETCH (UID 1)\r\n", "?\n"),
    ROW("* 12\r\n", "?\n"),
    ROW("* -1 EXISTS\r\n", "* -1 EXISTS\n"), /* nobody handles a "-1" */
    ROW("* 9.3736e+06 EXISTS\r\n", "* 9.3736e+06 EXISTS\n"),
    ROW("* LIST (\\HasNoChildren \"/\" INBOX\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
    ROW("* LIST \\HasNoChildren) \"/\" INBOX\r\n", "?\n"),
    ROW("* LIST () \"/\" \"open\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
    ROW("* LIST () \"/\" \"\\\r\n", "?\n"),
    ROW("* X )\r\n* X (\r\n* X {\r\n* X {}\r\n* X {+}\r\n* X {a}\r\n* X ~{\r\n",
        "?\n?\n?\n?\n?\n?\n?\n"),
    ROW("* X {3} y\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
};

static void test_kinds(void **state)
{
    (void)state;
    CHECK_ROWS(status_rows);
    CHECK_ROWS(data_rows);
    CHECK_ROWS(nonsense_rows);
}

/* ---- strings ---- */

static const struct row string_rows[] = {
    ROW("* X {0}\r\n\r\n", "* X \"\"\n"), /* CVE-2017-1000257 */
    ROW("* X ({0}\r\n {0}\r\n)\r\n", "* X ( \"\" \"\" )\n"),
    ROW("* X {1}\r\na\r\n", "* X \"a\"\n"),
    ROW("* X {3}\na\r\n\r\n", "* X \"a\\x0d\\x0a\"\n"), /* a bare LF ends the line */
    ROW("* X {2}\r\n\r\n\r\n", "* X \"\\x0d\\x0a\"\n"),
    ROW("* X {4}\r\n{9}\r\r\n", "* X \"{9}\\x0d\"\n"),
    ROW("* X {5}\r\n{9}\r\n\r\n", "* X \"{9}\\x0d\\x0a\"\n"), /* a literal in a literal is bytes */
    ROW("* X {3}\r\n\"\"\" {2}\r\n\")\r\n", "* X \"\"\"\"\" \"\")\"\n"),
    ROW("* X {3+}\r\nabc\r\n", "* X \"abc\"\n"),
    ROW("* X ~{3}\r\na\0b\r\n", "* X \"a\\x00b\"\n"), /* RFC 3516 */
    ROW("* X {000000000000000000000000003}\r\nabc\r\n", "* X \"abc\"\n"),
    ROW("* X {3}\r\nab", "...\n"),
    ROW("* X {3}\r\nabc", "...\n"),
    ROW("* X {67108864}\r\n", "...\n"), /* the largest: announced, not sent */
    ROW("* X {67108865}\r\n", "! a literal of an impossible size\n"),
    ROW("* X {2147483648}\r\n", "! a literal of an impossible size\n"),
    ROW("* X {4294967296}\r\n", "! a literal of an impossible size\n"),
    ROW("* X {-1}\r\n", "! a literal of an impossible size\n"),
    ROW("* X {99999999999999999999}\r\n", "! a literal of an impossible size\n"),
    ROW("* X {18446744073709551617}\r\n", "! a literal of an impossible size\n"),
    ROW("* 1 EXISTS\r\n* X {-1}\r\n* 2 EXISTS\r\n",
        "* 1 EXISTS\n! a literal of an impossible size\n"),
    /* In a quoted string it is text. */
    ROW("* X \"{5}\"\r\n", "* X \"{5}\"\n"),
    ROW("* X \"a {5}\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
    ROW("* X \"\\\" {4294967296}\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
    ROW("* X \"\\\\\" {1}\r\na\r\n", "* X \"\\\" \"a\"\n"),
    /* Proton: unescaped quotes and 8-bit bytes. */
    ROW("* X \"a\"b\" c\r\n", "* X \"a\"b\" c\n"),
    ROW("* X (\"Jos\xe9 \"Pepe\"x\" NIL)\r\n", "* X ( \"Jos\xe9 \"Pepe\"x\" NIL )\n"),
    ROW("* X \"\" \"\" (\"\")\r\n", "* X \"\" \"\" ( \"\" )\n"),
    ROW("* X \"\\a\\\\\"\r\n", "* X \"a\\\"\n"),
    ROW("* X \"NIL\" nil NILS\r\n", "* X \"NIL\" NIL NILS\n"),
};

/* Where a string ends is where a literal may begin: framing and parsing agree on it, or a message's
 * bytes would be taken for the server's words, or the server's words for a message. */
static const struct row quote_rows[] = {
    ROW("* 1 FETCH (UID 5 X \"a\"b\" BODY[] {3}\r\nabc)\r\n",
        "* 1 FETCH ( UID 5 X \"a\"b\" BODY[] \"abc\" ) => uid 5 body <abc>\n"),
    ROW("* 1 FETCH (UID 5 X \"a\"b\"c\" BODY[] {3}\r\nabc)\r\n",
        "* 1 FETCH ( UID 5 X \"a\"b\"c\" BODY[] \"abc\" ) => uid 5 body <abc>\n"),
    ROW("* 1 FETCH (UID 5 X (\"a\"b\") BODY[] {3}\r\nabc)\r\n",
        "* 1 FETCH ( UID 5 X ( \"a\"b\" ) BODY[] \"abc\" ) => uid 5 body <abc>\n"),
    ROW("* 1 FETCH (UID 5 BODY[HEADER.FIELDS (\"A\" \"B\")] {3}\r\nabc)\r\n",
        "* 1 FETCH ( UID 5 BODY[HEADER.FIELDS (\"A\" \"B\")] \"abc\" ) => uid 5 header <abc>\n"),
    ROW("* 1 FETCH (UID 5 X \"\\\\\" BODY[] {3}\r\nabc)\r\n",
        "* 1 FETCH ( UID 5 X \"\\\" BODY[] \"abc\" ) => uid 5 body <abc>\n"),
    ROW("* 1 FETCH (UID 5 X \"a\\\" BODY[] {3}\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
    /* A string that never ends holds no literal either. */
    ROW("* 1 FETCH (UID 5 X \"a\"b BODY[] {32}\r\n0123456789abcdef0123456789abcd\r\n)\r\n",
        "?\n?\n?\n"),
    ROW("* X \"a\"{3}\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
    ROW("* X \"a\" {1}\r\n\" \"{3}\r\n* 1 EXISTS\r\n", "?\n* 1 EXISTS\n"),
    /* Brackets hold a section together, and are nothing special elsewhere. */
    ROW("* 1 FETCH (FLAGS ($a[b) UID 5)\r\n",
        "* 1 FETCH ( FLAGS ( $a[b ) UID 5 ) => uid 5 flags()\n"),
    ROW("* 1 FETCH (FLAGS ([ a] \\Seen) UID 5 BODY[] {3}\r\nabc)\r\n",
        "* 1 FETCH ( FLAGS ( [ a] \\Seen ) UID 5 BODY[] \"abc\" ) => uid 5 flags(\\Seen) body "
        "<abc>\n"),
    ROW("* LIST () \"/\" a[b\r\n* LIST () \"/\" [Gmail]/Spam\r\n",
        "* LIST ( ) \"/\" a[b\n* LIST ( ) \"/\" [Gmail]/Spam\n"),
    ROW("* 1 FETCH (BINARY[1 2] NIL BINARY.SIZE[1] 3)\r\n",
        "* 1 FETCH ( BINARY[1 2] NIL BINARY.SIZE[1] 3 ) =>\n"),
};

static void test_strings(void **state)
{
    (void)state;
    CHECK_ROWS(string_rows);
    CHECK_ROWS(quote_rows);
}

/* A literal is no reason to keep more than was sent: the frame asks for nothing and holds nothing,
 * and the bytes of it are not looked at. */
static void test_big_literal(void **state)
{
    (void)state;
    enum { BIG = 20 * 1000 * 1000 };
    struct frame f = {.max_line = LIMIT_LOGIN_LINE};
    struct buf in = {0};
    size_t end = 0;
    const char *why = NULL;
    buf_addf(&in, "* 1 FETCH (UID 9 BODY[]<0> {%d}\r\n", BIG);
    size_t head = in.len;
    assert_int_equal(frame_scan(&f, in.data, in.len, &end, &why), PARSE_MORE);
    assert_int_equal(f.pos, head + BIG);
    memset(buf_reserve(&in, BIG), '\n', BIG);
    in.len += BIG;
    assert_int_equal(frame_scan(&f, in.data, in.len, &end, &why), PARSE_MORE);
    assert_int_equal(f.pos, head + BIG);
    buf_adds(&in, ")\r\n* 1 EX");
    assert_int_equal(frame_scan(&f, in.data, in.len, &end, &why), PARSE_DONE);
    assert_int_equal(end, head + BIG + 3);
    assert_int_equal(f.pos, 0);

    struct arena a = {0};
    struct response r;
    struct fetch_row row;
    assert_int_equal(response_parse(&a, in.data, end, &r), 0);
    assert_int_equal(fetch_decode(&r, &row), 0);
    assert_int_equal(row.uid, 9);
    assert_int_equal(row.body.n, BIG);
    assert_ptr_equal(row.body.p, in.data + head); /* borrowed, not copied */
    assert_in_range(a.total, 1, 4096);
    arena_free(&a);
    buf_free(&in);
}

/* All literals of one response together have a limit. */
static void test_response_limit(void **state)
{
    (void)state;
    struct frame f = {.max_line = LIMIT_LOGIN_LINE};
    struct buf in = {0};
    size_t end = 0;
    const char *why = NULL;
    buf_adds(&in, "* X {60000000}\r\n");
    assert_int_equal(frame_scan(&f, in.data, in.len, &end, &why), PARSE_MORE);
    char *room = buf_reserve(&in, 60000000);
    memset(room, 'a', 60000000);
    in.len += 60000000;
    buf_adds(&in, " {60000000}\r\n");
    assert_int_equal(frame_scan(&f, in.data, in.len, &end, &why), PARSE_BAD);
    assert_string_equal(why, "a literal of an impossible size");
    buf_free(&in);
}

/* Thousands of tiny literals (CVE-2026-42245). Each byte is looked at a fixed number of times: the
 * position never goes back, and what lies before the current line cannot be read again, because it
 * is taken away. */
static void test_tiny_literals(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    struct buf text = {0};
    buf_adds(&text, "* X (");
    for (unsigned i = 0; i < COUNT; i++)
        buf_addf(&text, "{%u}\r\n%s ", i % 3, &"ab"[2 - i % 3]);
    buf_adds(&text, ")\r\n");

    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (text.len + page - 1) / page * page;
    char *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    memcpy(map, text.data, text.len);
    struct frame f = {.max_line = LIMIT_LINE};
    size_t end = 0, gone = 0, pos = 0;
    const char *why = NULL;
    enum parse_result p = PARSE_MORE;
    for (size_t len = 1; len <= text.len && p == PARSE_MORE; len++) {
        p = frame_scan(&f, map, len, &end, &why);
        assert_true(p == PARSE_DONE || f.pos >= pos);
        assert_true(p == PARSE_DONE || f.pos >= len);
        pos = f.pos;
        size_t spent = f.line / page * page;
        if (p == PARSE_MORE && spent > gone) {
            assert_int_equal(mprotect(map, spent, PROT_NONE), 0);
            gone = spent;
        }
    }
    assert_int_equal(p, PARSE_DONE);
    assert_int_equal(end, text.len);
    munmap(map, room);

    /* The tree costs a fixed amount for each. */
    struct arena a = {0};
    struct response r;
    assert_int_equal(response_parse(&a, text.data, text.len, &r), 0);
    unsigned n = 0;
    for (const struct arg *arg = r.args->child; arg; arg = arg->next, n++)
        assert_int_equal(arg->s.n, n % 3);
    assert_int_equal(n, COUNT);
    assert_in_range(a.total, COUNT, COUNT * 100);
    arena_free(&a);
    buf_free(&text);
}

/* ---- limits ---- */

static void test_line_limit(void **state)
{
    (void)state;
    struct buf in = {0};
    while (in.len < 98)
        buf_addc(&in, 'x');
    buf_adds(&in, "\r\n");
    check_stream(in.data, in.len, 100, "?\n");
    check_stream(in.data, in.len, 99, "! a response line without end\n");
    check_stream(in.data, 98, 100, "...\n");
    check_stream(in.data, 98, 97, "! a response line without end\n");

    /* Literals do not count. */
    buf_reset(&in);
    buf_adds(&in, "* X {90}\r\n");
    for (unsigned i = 0; i < 90; i++)
        buf_addc(&in, '\n');
    struct buf want = {0};
    buf_adds(&want, "* X \"");
    for (unsigned i = 0; i < 90; i++)
        buf_adds(&want, "\\x0a");
    buf_adds(&want, "\" b\n");
    buf_adds(&in, " b\r\n");
    check_stream(in.data, in.len, 14, buf_str(&want));
    check_stream(in.data, in.len, 13, "! a response line without end\n");
    buf_free(&in);
    buf_free(&want);
}

static void parse_one(const struct buf *in, int want)
{
    struct arena a = {0};
    struct response r;
    struct frame f = {.max_line = LIMIT_LINE};
    size_t end = 0;
    const char *why = NULL;
    char *copy = malloc(in->len);
    assert_non_null(copy);
    memcpy(copy, in->data, in->len);
    assert_int_equal(frame_scan(&f, copy, in->len, &end, &why), PARSE_DONE);
    assert_int_equal(end, in->len);
    assert_int_equal(response_parse(&a, copy, in->len, &r), want);
    arena_free(&a);
    free(copy);
}

static void test_nesting(void **state)
{
    (void)state;
    static const struct {
        unsigned deep;
        bool closed;
        int want;
    } cases[] = {{LIMIT_NESTING, true, 0},
                 {LIMIT_NESTING + 1, true, -EPROTO},
                 {100000, true, -EPROTO},
                 {100000, false, -EPROTO},
                 {LIMIT_NESTING, false, -EPROTO}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf in = {0};
        buf_adds(&in, "* X ");
        for (unsigned k = 0; k < cases[i].deep; k++)
            buf_addc(&in, '(');
        for (unsigned k = 0; cases[i].closed && k < cases[i].deep; k++)
            buf_addc(&in, ')');
        buf_adds(&in, "\r\n");
        parse_one(&in, cases[i].want);
        buf_free(&in);
    }
    /* Side by side is not deep. */
    struct buf in = {0};
    buf_adds(&in, "* X ");
    for (unsigned k = 0; k < 10000; k++)
        buf_adds(&in, "(a)");
    buf_adds(&in, "\r\n");
    parse_one(&in, 0);
    buf_free(&in);
}

/* A code's arguments too deep, or a code of any length: the text is still there. */
static void test_hostile_code(void **state)
{
    (void)state;
    struct buf in = {0};
    buf_adds(&in, "A1 OK [PERMANENTFLAGS ");
    for (unsigned k = 0; k < 100000; k++)
        buf_addc(&in, '(');
    buf_adds(&in, "] text\r\n");
    struct arena a = {0};
    struct response r;
    assert_int_equal(response_parse(&a, in.data, in.len, &r), 0);
    assert_true(str_is(r.code, "PERMANENTFLAGS"));
    assert_null(r.code_args);
    assert_true(str_is(r.text, "text"));
    arena_free(&a);
    buf_free(&in);
}

static void test_tokens(void **state)
{
    (void)state;
    struct buf in = {0};
    buf_adds(&in, "* SEARCH");
    for (unsigned i = 0; i < LIMIT_TOKENS; i++)
        buf_add(&in, " 1", 2);
    buf_adds(&in, "\r\n");
    parse_one(&in, 0);
    in.len -= 2;
    buf_adds(&in, " 1\r\n");
    parse_one(&in, -EPROTO);
    buf_free(&in);
}

static void test_number(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum arg_type type;
        uint64_t max;
        bool good;
        uint64_t want;
    } rows[] = {
        {"0", ARG_ATOM, UINT32_MAX, true, 0},
        {"007", ARG_ATOM, UINT32_MAX, true, 7},
        {"4294967295", ARG_ATOM, UINT32_MAX, true, UINT32_MAX},
        {"4294967296", ARG_ATOM, UINT32_MAX, false, 0},
        {"4294967296", ARG_ATOM, INT64_MAX, true, UINT64_C(4294967296)},
        {"9223372036854775807", ARG_ATOM, INT64_MAX, true, INT64_MAX},
        {"9223372036854775808", ARG_ATOM, INT64_MAX, false, 0},
        {"18446744073709551615", ARG_ATOM, UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", ARG_ATOM, UINT64_MAX, false, 0},
        {"99999999999999999999999", ARG_ATOM, UINT64_MAX, false, 0},
        {"11", ARG_ATOM, 10, false, 0},
        {"10", ARG_ATOM, 10, true, 10},
        {"", ARG_ATOM, UINT32_MAX, false, 0},
        {"-1", ARG_ATOM, UINT32_MAX, false, 0},
        {"+1", ARG_ATOM, UINT32_MAX, false, 0},
        {" 1", ARG_ATOM, UINT32_MAX, false, 0},
        {"1a", ARG_ATOM, UINT32_MAX, false, 0},
        {"9.3736e+06", ARG_ATOM, UINT32_MAX, false, 0},
        {"12", ARG_STRING, UINT32_MAX, false, 0},
        {"12", ARG_LIST, UINT32_MAX, false, 0},
        {"12", ARG_NIL, UINT32_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arg arg = {.type = rows[i].type, .s = {rows[i].text, strlen(rows[i].text)}};
        uint64_t n = 77;
        assert_int_equal(arg_number(&arg, rows[i].max, &n), rows[i].good);
        assert_int_equal(n, rows[i].good ? rows[i].want : 77);
    }
    uint64_t n;
    assert_false(arg_number(NULL, UINT32_MAX, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),         cmocka_unit_test(test_strings),
        cmocka_unit_test(test_big_literal),   cmocka_unit_test(test_response_limit),
        cmocka_unit_test(test_tiny_literals), cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_nesting),       cmocka_unit_test(test_hostile_code),
        cmocka_unit_test(test_tokens),        cmocka_unit_test(test_number),
    };
    return cmocka_run_group_tests_name("parser", tests, NULL, NULL);
}
