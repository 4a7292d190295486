/* A connection that is compressed (RFC 4978), against servers that cut it anywhere and that break
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scene.h"

#define COMPRESSED(caps)                                                                           \
    HELLO("COMPRESS=DEFLATE " caps), "C COMPRESS DEFLATE", "Z $T OK from here on"
#define SEARCH(...) .kind = OP_SEARCH, .text = "ALL", __VA_ARGS__
#define ASK         "C UID SEARCH ALL"

static const struct scene good[] = {
    {"a command and its answer",
     {{SEARCH(.found = "3")}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "S * SEARCH 3", "S $T OK", QUIT}},
    {"compressed bytes behind the OK",
     {{.kind = OP_MOVE, .dest = "B", .new_uid = 50, .expunged = true}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED("UIDPLUS MOVE"), "S * OK behind it", OPEN("SELECT", "A"),
               "C UID MOVE 5 \"B\"", "S * OK [COPYUID 7 5 50] moved", "S * 3 EXPUNGE", "S $T OK",
               QUIT}},
    {"the OK is followed by half of a line",
     {{SEARCH(.found = "3")}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), "R * OK half", "R  and half\r\n", OPEN("EXAMINE", "A"), ASK,
               "S * SEARCH 3", "S $T OK", QUIT}},
    /* The last bytes have come, but are not yet decompressed: nothing else wakes the client. */
    {"a little that becomes a lot",
     {{SEARCH(.found = "")}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "S * SEARCH", "F 5 $T OK", QUIT}},
    {"a literal",
     {{.kind = OP_BODY, .len = 3, .bytes = "abc"}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), "C UID FETCH 5 (UID BODY.PEEK[]<0.3>)",
               "R * 1 FETCH (UID 5 BODY[]<0> {3}\r\n", "R a", "R bc)", "R \r\n", "S $T OK", QUIT}},
    {"refused, and data behind the refusal",
     {{.kind = OP_MOVE, .dest = "B", .new_uid = 50, .expunged = true}},
     .compress = COMPRESS_YES,
     .steps = {HELLO("COMPRESS=DEFLATE"), "C COMPRESS DEFLATE",
               "R $T NO [COMPRESSIONACTIVE] no\r\n* CAPABILITY IMAP4rev1 UIDPLUS MOVE\r\n",
               OPEN("SELECT", "A"), "C UID MOVE 5 \"B\"", "S * OK [COPYUID 7 5 50] moved",
               "S * 3 EXPUNGE", "S $T OK", QUIT}},
};

/* Each is a lost connection; the next one is compressed again. */
static const struct scene broken[] = {
    {"what is no deflate",
     {{SEARCH(.found = "3")}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "W \x07", "EOF", "NEW", COMPRESSED(""),
               OPEN("EXAMINE", "A"), ASK, "S * SEARCH 3", "S $T OK", QUIT}},
    {"clear text",
     {{SEARCH(.found = "3")}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "W $T OK\r\n", "EOF", "NEW",
               COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "S * SEARCH 3", "S $T OK", QUIT}},
    {"cut in the middle",
     {{SEARCH(.found = "3")}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "R * SEARCH 3", "W \xd2\x52\xf0", AGAIN,
               COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "S * SEARCH 3", "S $T OK", QUIT}},
    {"the end of the stream, without the end of the connection",
     {{SEARCH(.found = "3")}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "W \xd3\x02\xfc", "EOF", "NEW",
               COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "S * SEARCH 3", "S $T OK", QUIT}},
    {"a line of 100 MiB in 100 KiB",
     {{SEARCH(.found = "3")}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "F 100 $T OK", "EOF", "NEW",
               COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "S * SEARCH 3", "S $T OK", QUIT}},
    {"no compression the second time",
     {{SEARCH(.found = "3")}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, AGAIN, HELLO(""), OPEN("EXAMINE", "A"),
               ASK, "S * SEARCH 3", "S $T OK", QUIT}},
    {"never anything else",
     {{SEARCH(.err = ENOTCONN)}},
     .compress = COMPRESS_YES,
     .steps = {COMPRESSED(""), OPEN("EXAMINE", "A"), ASK, "W \x07", "EOF", "NEW", COMPRESSED(""),
               OPEN("EXAMINE", "A"), ASK, "W \x07", "EOF", "NEW", COMPRESSED(""),
               OPEN("EXAMINE", "A"), ASK, "W \x07", "EOF", NULL}},
};

TEST(good)
TEST(broken)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests_name("compress", tests, NULL, NULL);
}
