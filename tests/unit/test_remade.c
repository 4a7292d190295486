/* A mailbox that others delete and make anew while it is selected here. Servers tell of it each in
 * another way, or not at all; what was learnt of the old one must not pass for the new one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scene.h"

#define CHECK(...)                                                                                 \
    {                                                                                              \
        .kind = OP_CHECK, __VA_ARGS__                                                              \
    }

/* The look, and another one while the mailbox is selected. */
#define LOOK_AGAIN                                                                                 \
    {                                                                                              \
        CHECK(), CHECK(.late = true)                                                               \
    }
#define LOOK_POLLED                                                                                \
    {                                                                                              \
        CHECK(), CHECK(.thorough = true, .late = true)                                             \
    }
#define LOOK_TOLD                                                                                  \
    {                                                                                              \
        CHECK(), CHECK(.changed = true, .late = true)                                              \
    }

#define BEGIN  HELLO(""), OPEN("SELECT", "A"), "GO"
#define STATUS "C STATUS \"A\" (UIDVALIDITY UIDNEXT MESSAGES)", "C NOOP"
#define BEHIND "C STATUS \"A\" (UIDVALIDITY UIDNEXT MESSAGES)"
#define ANEW                                                                                       \
    "C SELECT \"A\"", "S * 4 EXISTS", "S * OK [UIDVALIDITY 8] x", "S * OK [UIDNEXT 5] x",          \
        "S $T OK [READ-WRITE] open"
#define SAYS(items) "S * STATUS A (" items ")"

static const struct scene empty[] = {
    {"all expunged", LOOK_AGAIN,
     .steps = {HELLO(""), "C SELECT \"A\"", "S * 2 EXISTS", "S * OK [UIDVALIDITY 7] x", "S $T OK",
               "GO", "C NOOP", "S * 1 EXPUNGE", "S * 1 EXPUNGE", "S $T OK", ANEW, QUIT}},
    {"all vanished", LOOK_AGAIN, .events = "A/7 vanished 1:9; A/7 change 8; ",
     .steps = {BEGIN, "C NOOP", "S * VANISHED 1:9", "S $T OK", ANEW, QUIT}},
    {"all gone, and others there at once", LOOK_AGAIN,
     .steps = {BEGIN, "C NOOP", "S * VANISHED 1:9", "S * 4 EXISTS", "S $T OK", ANEW, QUIT}},
    {"one is left: nothing strange", LOOK_AGAIN,
     .steps = {BEGIN, "C NOOP", "S * VANISHED 1:8", "S $T OK", BEHIND,
               SAYS("UIDVALIDITY 7 MESSAGES 1"), "S $T OK", QUIT}},
    {"the last one deleted by this mount: nothing strange",
     {{.kind = OP_DELETE, .expunged = true}, CHECK(.late = true)},
     .steps = {HELLO("UIDPLUS"), "C SELECT \"A\"", "S * 1 EXISTS", "S * OK [UIDVALIDITY 7] x",
               "S $T OK", "C UID FETCH 5 (UID FLAGS)", "C UID STORE 5 +FLAGS.SILENT (\\Deleted)",
               "C UID EXPUNGE 5", "S * 1 FETCH (UID 5 FLAGS ())", "S A3 OK", "S A4 OK",
               "S * 1 EXPUNGE", "S A5 OK", "GO", "C NOOP", "S $T OK", QUIT}},
};

static const struct scene polled[] = {
    {"nothing else", LOOK_POLLED,
     .steps = {BEGIN, STATUS, SAYS("UIDVALIDITY 7 UIDNEXT 100 MESSAGES 9"), "S A3 OK", "S A4 OK",
               QUIT}},
    {"another UIDVALIDITY", LOOK_POLLED,
     .steps = {BEGIN, STATUS, SAYS("UIDVALIDITY 8 UIDNEXT 100 MESSAGES 9"), "S A3 OK", "S A4 OK",
               ANEW, QUIT}},
    {"a UIDNEXT that was before", LOOK_POLLED,
     .steps = {BEGIN, STATUS, SAYS("MESSAGES 9 UIDNEXT 5"), "S A3 OK", "S A4 OK", ANEW, QUIT}},
    {"another number of messages", LOOK_POLLED,
     .steps = {BEGIN, STATUS, SAYS("MESSAGES 4"), "S A3 OK", "S A4 OK", ANEW, QUIT}},
    {"messages that come between the two answers", LOOK_POLLED,
     .steps = {BEGIN, STATUS, SAYS("UIDVALIDITY 7 UIDNEXT 101 MESSAGES 10"), "S A3 OK",
               "S * 11 EXISTS", "S A4 OK", QUIT}},
    {"a server that counts otherwise is believed once",
     {CHECK(), CHECK(.thorough = true, .late = true), CHECK(.thorough = true, .late = true)},
     .steps = {BEGIN, STATUS, SAYS("MESSAGES 12"), "S A3 OK", "S A4 OK", OPEN("SELECT", "A"), "GO",
               STATUS, SAYS("MESSAGES 12"), "S A6 OK", "S A7 OK", QUIT}},
    {"a message that comes meanwhile is no counting otherwise",
     {CHECK(), CHECK(.thorough = true, .late = true), CHECK(.thorough = true, .late = true)},
     .steps = {BEGIN, STATUS, SAYS("MESSAGES 4"), "S A3 OK", "S A4 OK", "C SELECT \"A\"",
               "S * 5 EXISTS", "S * OK [UIDVALIDITY 7] x", "S $T OK", "GO", STATUS,
               SAYS("MESSAGES 2"), "S A6 OK", "S A7 OK", "C SELECT \"A\"", "S * 2 EXISTS",
               "S * OK [UIDVALIDITY 7] x", "S $T OK", QUIT}},
    {"no such mailbox",
     {CHECK(), CHECK(.thorough = true, .late = true, .err = ENOENT)},
     .steps = {BEGIN, STATUS, "S A3 NO [NONEXISTENT] no", "S A4 OK", "C SELECT \"A\"",
               "S $T NO [NONEXISTENT] no", QUIT}},
    {"STATUS refused for another reason", LOOK_POLLED,
     .steps = {BEGIN, STATUS, "S A3 NO not now", "S A4 OK", QUIT}},
    {"STATUS of another mailbox", LOOK_POLLED,
     .steps = {BEGIN, STATUS, "S * STATUS B (UIDVALIDITY 8 MESSAGES 1)", "S * STATUS A ()",
               "S A3 OK", "S A4 OK", QUIT}},
    {"something was told, by a server that says little", LOOK_TOLD,
     .steps = {BEGIN, STATUS, SAYS("UIDVALIDITY 8"), "S A3 OK", "S A4 OK", ANEW, QUIT}},
    {"NOOP tells something: STATUS is asked behind it", LOOK_AGAIN,
     .steps = {BEGIN, "C NOOP", "S * 10 EXISTS", "S $T OK", BEHIND, SAYS("UIDVALIDITY 8"),
               "S $T OK", ANEW, QUIT}},
    {"NOOP tells something, and it is the same mailbox", LOOK_AGAIN,
     .steps = {BEGIN, "C NOOP", "S * 10 EXISTS", "S $T OK", BEHIND,
               SAYS("UIDVALIDITY 7 MESSAGES 10"), "S $T OK", QUIT}},
    {"NOOP tells something, and STATUS is refused", LOOK_AGAIN,
     .steps = {BEGIN, "C NOOP", "S * 10 EXISTS", "S $T OK", BEHIND, "S $T NO no", QUIT}},
    {"something was told, by a server that says all", LOOK_TOLD,
     .steps = {HELLO("ENABLE QRESYNC"), "C ENABLE QRESYNC", "S * ENABLED QRESYNC", "S $T OK",
               OPEN("SELECT", "A"), "GO", "C NOOP", "S $T OK", QUIT}},
    {"what NOTIFY tells of others, it does not tell of this one", LOOK_POLLED, .events = "",
     .steps = {HELLO("NOTIFY"), "P A2 NOTIFY", "S A2 OK", OPEN("SELECT", "A"), "GO", STATUS,
               SAYS("UIDVALIDITY 7 UIDNEXT 100 MESSAGES 9"), "S A4 OK", "S A5 OK", QUIT}},
    {"just selected: nothing to doubt",
     {CHECK(.thorough = true)},
     .steps = {HELLO(""), OPEN("SELECT", "A"), QUIT}},
    {"what waits meanwhile is about what is there now",
     {CHECK(),
      CHECK(.thorough = true, .late = true),
      {.kind = OP_BODY, .len = 3, .uidvalidity = 7, .err = ESTALE, .late = true}},
     .steps = {BEGIN, STATUS, SAYS("UIDVALIDITY 8"), "S A3 OK", "S A4 OK", "C SELECT \"A\"", "GO",
               "S * 4 EXISTS", "S * OK [UIDVALIDITY 8] x", "S $T OK", "C EXAMINE \"A\"",
               "S * 4 EXISTS", "S * OK [UIDVALIDITY 8] x", "S $T OK", QUIT}},
};

TEST(empty)
TEST(polled)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_polled),
    };
    return cmocka_run_group_tests_name("remade", tests, NULL, NULL);
}
