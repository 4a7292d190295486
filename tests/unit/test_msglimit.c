/* No more than so many messages a command (RFC 9738): the rest is asked for below what was told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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

TEST(limits)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("msglimit", tests, NULL, NULL);
}
