/* Answers without end: rows that tell what is known, a list of the same mailboxes, chatter. What
 * brings nothing new is no progress, however fast it comes; what is long, or slow, is awaited. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scene.h"

#define META                                                                                       \
    "C UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])"
#define BEGIN  HELLO(""), OPEN("SELECT", "A")
#define SEARCH HELLO(""), OPEN("EXAMINE", "A"), "C UID SEARCH ALL"
#define LIST   HELLO(""), "C LIST \"\" \"*\""
#define STORE  BEGIN, "C UID STORE 5 +FLAGS (a)"

/* Each fails at the first connection: what only asks is not asked again. */
static const struct scene endless[] = {
    {"always another mailbox",
     {{.kind = OP_LIST, .list = "*", .err = EPROTO}},
     .steps = {LIST, "E 0 * LIST () \"/\" \"m#\"", NULL}},
    {"always the same mailbox, slowly",
     {{.kind = OP_LIST, .list = "*", .err = EPROTO}},
     .timeout = 200,
     .steps = {LIST, "E 50 * LIST () \"/\" \"A\"", NULL}},
    {"rows of one message",
     {{.kind = OP_META, .text = "1:*", .err = EPROTO}},
     .steps = {BEGIN, META, "E 0 * 3 FETCH (UID 5 FLAGS ())", NULL}},
    {"rows of one message, slowly",
     {{.kind = OP_META, .text = "1:*", .err = EPROTO}},
     .timeout = 200,
     .steps = {BEGIN, META, "E 50 * 3 FETCH (UID 5 FLAGS ())", NULL}},
    {"rows of ever more messages",
     {{.kind = OP_META, .text = "1:*", .err = EPROTO}},
     .steps = {BEGIN, META, "E 0 * # FETCH (UID # FLAGS ())", NULL}},
    {"rows and EXISTS by turns",
     {{.kind = OP_META, .text = "1:*", .err = EPROTO}},
     .steps = {BEGIN, META, "E 0 * # EXISTS\r\n* # FETCH (UID # FLAGS ())", NULL}},
    {"EXISTS and EXPUNGE by turns",
     {{.kind = OP_SEARCH, .text = "ALL", .err = EPROTO}},
     .steps = {SEARCH, "E 0 * 10 EXISTS\r\n* 1 EXPUNGE", NULL}},
    {"EXISTS while a mailbox is opened",
     {{.kind = OP_CHECK, .err = EPROTO}},
     .steps = {HELLO(""), "C SELECT \"A\"", "E 0 * # EXISTS", NULL}},
    {"what was found, again and again",
     {{.kind = OP_SEARCH, .text = "ALL", .err = EPROTO}},
     .steps = {SEARCH, "E 0 * SEARCH 3", NULL}},
    {"chatter",
     {{.kind = OP_SEARCH, .text = "ALL", .err = EPROTO}},
     .steps = {SEARCH, "E 0 * OK still at it", NULL}},
    {"chatter, slowly",
     {{.kind = OP_SEARCH, .text = "ALL", .err = EPROTO}},
     .timeout = 200,
     .steps = {SEARCH, "E 50 * OK still at it", NULL}},
    {"a change is tried again, but not for ever",
     {{.kind = OP_STORE, .text = "+FLAGS (a)", .err = ENOTCONN}},
     .steps = {STORE, "E 0 * LIST () \"/\" \"m#\"", "NEW", STORE, "E 0 * 3 FETCH (FLAGS ())", "NEW",
               STORE, "E 0 * OK x", NULL}},
    {"what was in flight behind it is asked for again",
     {{.kind = OP_SEARCH, .text = "ALL", .err = EPROTO}, {.kind = OP_QUOTA}},
     .steps = {HELLO("QUOTA"), OPEN("EXAMINE", "A"), "C UID SEARCH ALL", "C GETQUOTAROOT \"A\"",
               "E 0 * OK x", "NEW", HELLO("QUOTA"), "C GETQUOTAROOT \"A\"", "S $T OK", QUIT}},
};

static const struct scene honest[] = {
    {"a hundred thousand mailboxes",
     {{.kind = OP_LIST, .list = "*"}},
     .steps = {LIST, "N 100000 0 * LIST () \"/\" \"m#\"", "S $T OK", QUIT}},
    {"a quarter of a million messages, flagged by others meanwhile",
     {{.kind = OP_FLAGS, .text = "1:*"}},
     .steps = {HELLO(""), "C SELECT \"A\"", "S * 250000 EXISTS", "S * OK [UIDVALIDITY 7] x",
               "S $T OK", "C UID FETCH 1:* (UID FLAGS)", "N 250000 0 * # FETCH (UID # FLAGS ())",
               "N 250000 0 * # FETCH (UID # FLAGS (a))", "S $T OK", QUIT}},
    {"all of them expunged by others meanwhile",
     {{.kind = OP_FLAGS, .text = "1:*"}},
     .steps = {HELLO(""), "C SELECT \"A\"", "S * 250000 EXISTS", "S * OK [UIDVALIDITY 7] x",
               "S $T OK", "C UID FETCH 1:* (UID FLAGS)", "N 250000 0 * 1 EXPUNGE", "S $T OK",
               QUIT}},
    {"a slow list",
     {{.kind = OP_LIST, .list = "*"}},
     .timeout = 200,
     .steps = {LIST, "N 60 50 * LIST () \"/\" \"m#\"", "S $T OK", QUIT}},
    {"slow rows",
     {{.kind = OP_META, .text = "1:*"}},
     .timeout = 200,
     .steps = {HELLO(""), "C SELECT \"A\"", "S * 60 EXISTS", "S * OK [UIDVALIDITY 7] x", "S $T OK",
               META, "N 60 50 * # FETCH (UID # FLAGS ())", "S $T OK", QUIT}},
    {"slow rows, the last ones first",
     {{.kind = OP_META, .text = "1:*"}},
     .timeout = 200,
     .steps = {HELLO(""), "C SELECT \"A\"", "S * 100 EXISTS", "S * OK [UIDVALIDITY 7] x", "S $T OK",
               META, "N 30 50 * 7# FETCH (UID 7# FLAGS ())", "N 30 50 * # FETCH (UID # FLAGS ())",
               "S $T OK", QUIT}},
    {"told for a while that it takes its time",
     {{.kind = OP_SEARCH, .text = "ALL", .found = "3"}},
     .timeout = 1000,
     .steps = {SEARCH, "N 30 50 * OK still at it", "S * SEARCH 3", "S $T OK", QUIT}},
};

TEST(endless)
TEST(honest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_honest),
    };
    return cmocka_run_group_tests_name("endless", tests, NULL, NULL);
}
