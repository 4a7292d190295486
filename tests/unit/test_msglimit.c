/* No more than so many messages a command (RFC 9738): the rest is asked for below what was told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/base/limits.h"
#include "imap/exec/msglimit.h"
#include "tests/unit/scene.h"

#define ITEMS      " (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])"
#define META(set)  "C UID FETCH " set ITEMS
#define BEGIN      HELLO(""), OPEN("SELECT", "A")
#define FOUND(...) .kind = OP_SEARCH, .text = "ALL", __VA_ARGS__

static const struct scene limits[] = {
    {"rows in three parts",
     {{.kind = OP_META, .text = "1:*"}},
     .events = "A/7 row 9 ; A/7 row 5 ; A/7 row 2 ; ",
     .steps = {BEGIN, META("1:*"), "S * 5 FETCH (UID 9 FLAGS ())",
               "S $T OK [MESSAGELIMIT 1 9] partial", META("1:8"), "S * 4 FETCH (UID 5 FLAGS ())",
               "S $T OK [MESSAGELIMIT 1 5] partial", META("1:4"), "S * 3 FETCH (UID 2 FLAGS ())",
               "S $T OK done", QUIT}},
    {"of a set",
     {{.kind = OP_META, .text = "3:5,9"}},
     .events = "A/7 row 9 ; A/7 row 4 ; ",
     .steps = {BEGIN, META("3:5,9"), "S * 5 FETCH (UID 9 FLAGS ())",
               "S $T OK [MESSAGELIMIT 1 9] partial", META("3:5"), "S * 4 FETCH (UID 4 FLAGS ())",
               "S $T OK [MESSAGELIMIT 1 3] nothing is left", QUIT}},
    {"it does not go down",
     {{.kind = OP_META, .text = "1:*"}},
     .steps = {BEGIN, META("1:*"), "S $T OK [MESSAGELIMIT 1 9] partial", META("1:8"),
               "S $T OK [MESSAGELIMIT 1 9] partial", QUIT}},
    {"no UID in it",
     {{.kind = OP_META, .text = "1:*"}},
     .steps = {BEGIN, META("1:*"), "S $T OK [MESSAGELIMIT 1000] what", QUIT}},
    {"nothing was dealt with",
     {{.kind = OP_META, .text = "1:*", .err = EFBIG}},
     .steps = {BEGIN, META("1:*"), "S $T NO [MESSAGELIMIT 1000] too many", QUIT}},
    {"begun anew after a loss",
     {{.kind = OP_META, .text = "1:*"}},
     .events = "A/7 row 9 ; A/7 row 9 ; A/7 row 5 ; ",
     .steps = {BEGIN, META("1:*"), "S * 5 FETCH (UID 9 FLAGS ())",
               "S $T OK [MESSAGELIMIT 1 9] partial", META("1:8"), AGAIN, BEGIN, META("1:*"),
               "S * 5 FETCH (UID 9 FLAGS ())", "S $T OK [MESSAGELIMIT 1 9] partial", META("1:8"),
               "S * 4 FETCH (UID 5 FLAGS ())", "S $T OK done", QUIT}},
    {"flags",
     {{.kind = OP_FLAGS, .text = "1:*"}},
     .events = "A/7 row 9 ; A/7 row 5 ; ",
     .steps = {BEGIN, "C UID FETCH 1:* (UID FLAGS)", "S * 5 FETCH (UID 9 FLAGS ())",
               "S $T OK [MESSAGELIMIT 1 9] partial", "C UID FETCH 1:8 (UID FLAGS)",
               "S * 4 FETCH (UID 5 FLAGS ())", "S $T OK done", QUIT}},
    {"SEARCH: what was found is added up",
     {{FOUND(.found = "2,5,9")}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID SEARCH ALL", "S * SEARCH 9",
               "S $T OK [MESSAGELIMIT 1 9] partial", "C UID SEARCH UID 1:8 ALL", "S * SEARCH 5",
               "S $T OK [MESSAGELIMIT 1 5] partial", "C UID SEARCH UID 1:4 ALL", "S * SEARCH 2",
               "S $T OK done", QUIT}},
    {"SEARCH: half an answer is none",
     {{FOUND(.found = "9", .err = EIO)}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID SEARCH ALL", "S * SEARCH 9",
               "S $T OK [MESSAGELIMIT 1 9] partial", "C UID SEARCH UID 1:8 ALL", "S $T OK done",
               QUIT}},
};

#define ROW_IT "C UID FETCH 5 (UID FLAGS)"

/* What is decided upon an answer is decided upon a whole one. */
static const struct scene parts[] = {
    {"SEARCH: nobody says where the rest begins",
     {{FOUND(.found = "9", .err = EIO)}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID SEARCH ALL", "S * SEARCH 9",
               "S $T OK [MESSAGELIMIT 1] partial", QUIT}},
    {"SEARCH: there is no rest",
     {{FOUND(.found = "1")}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID SEARCH ALL", "S * SEARCH 1",
               "S $T OK [MESSAGELIMIT 1 1] all", QUIT}},
    {"a bare EXPUNGE would take those with it that are not told",
     {{.kind = OP_DELETE, .err = EIO}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), "C UID FETCH 4294967295 (UID)", "S $T OK", ROW_IT,
               "S * 3 FETCH (UID 5 FLAGS ())", "S $T OK", "C UID SEARCH UID 5", "S * SEARCH 5",
               "S $T OK", ROW_IT, "S $T OK", "C UID STORE 5 +FLAGS.SILENT (\\Deleted)", "S $T OK",
               "C UID SEARCH DELETED", "S * SEARCH 5", "S $T OK [MESSAGELIMIT 1 5] partial", QUIT}},
    {"a mailbox may hold more than is told",
     {{.kind = OP_REMOVE, .delim = '/', .uidvalidity = 7, .spare = "5:6", .err = EIO}},
     .steps = {HELLO(""), "C LIST \"\" \"A\"", "S * LIST () \"/\" A", "S $T OK",
               "C LIST \"\" \"A/%\"", "S $T OK", "C STATUS \"A\" (MESSAGES)",
               "S * STATUS A (MESSAGES 2)", "S $T OK", "C EXAMINE \"A\"",
               "S * OK [UIDVALIDITY 7] x", "S $T OK [READ-ONLY] x", "C UID SEARCH UNDELETED",
               "S * SEARCH", "S $T OK [MESSAGELIMIT 1 6] partial",
               "C EXAMINE \"imapfs: no such mailbox, to close the one that is open\"", "S $T NO",
               QUIT}},
    {"what came during the first part",
     {{.kind = OP_META, .text = "1:*", .refresh = true}},
     .steps = {BEGIN, META("1:*"), "S * 5 FETCH (UID 9 FLAGS ())", "S * 10 EXISTS",
               "S $T OK [MESSAGELIMIT 1 9] partial", META("1:8"), "S $T OK", META("1:*"), "S $T OK",
               QUIT}},
    {"SEARCH: what came during the first part",
     {{FOUND(.found = "5,9:10", .refresh = true)}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID SEARCH ALL", "S * SEARCH 9", "S * 10 EXISTS",
               "S $T OK [MESSAGELIMIT 1 9] partial", "C UID SEARCH UID 1:8 ALL", "S * SEARCH 5",
               "S $T OK", "C UID SEARCH ALL", "S * SEARCH 5 9 10", "S $T OK", QUIT}},
};

/* However many parts a server makes of it, there is an end. */
static void test_end(void **state)
{
    (void)state;
    struct arg uid = {.type = ARG_ATOM}, limit = {.type = ARG_ATOM, .s = {"1", 1}, .next = &uid};
    struct response r = {.cond = COND_OK, .code = {"MESSAGELIMIT", 12}, .code_args = &limit};
    struct msglimit m = {0};
    char text[16];
    unsigned n = 0;
    do {
        snprintf(text, sizeof text, "%u", UINT32_MAX - n++);
        uid.s = (struct str){text, strlen(text)};
    } while (msglimit_more(&m, NULL, &r) && n < 1000000);
    assert_in_range(n, LIMIT_PARTS, LIMIT_PARTS + 1);
}

TEST(limits)
TEST(parts)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests_name("msglimit", tests, NULL, NULL);
}
