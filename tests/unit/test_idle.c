/* Hearing of changes: when IDLE is sent and ended, and what comes meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scene.h"

/* A look, after which there is nothing to do, and a read when the script says so. */
#define OPS                                                                                        \
    {                                                                                              \
        {.kind = OP_CHECK},                                                                        \
        {                                                                                          \
            .kind = OP_BODY, .len = 3, .bytes = "abc", .late = true                                \
        }                                                                                          \
    }

#define BEGIN  HELLO("IDLE"), OPEN("SELECT", "A")
#define ACCEPT "C IDLE", "S + idling"
#define ASK    "C UID FETCH 5 (UID BODY.PEEK[]<0.3>)"
#define ANSWER "S * 1 FETCH (UID 5 BODY[]<0> {3}", "R abc)\r\n"

static const struct scene idles[] = {
    {"DONE goes before the next command", OPS,
     .steps = {BEGIN, ACCEPT, "GO", "L DONE", ASK, "S A3 OK done", ANSWER, "S A4 OK", QUIT}},
    {"what is told meanwhile", OPS,
     .events = "A/7 change 1; A/7 change 2; A/7 change 4; A/7 row 8 \\Seen; A/7 vanished 5; ",
     .steps = {BEGIN, ACCEPT, "S * 10 EXISTS", "S * 3 EXPUNGE", "S * 3 FETCH (FLAGS (\\Seen))",
               "S * 4 FETCH (UID 8 FLAGS (\\Seen))", "S * VANISHED 5", "S * OK still here", "GO",
               "L DONE", ASK, "S A3 OK done", ANSWER, "S A4 OK", QUIT}},
    {"told between DONE and its answer", OPS, .events = "A/7 change 1; ",
     .steps = {BEGIN, ACCEPT, "GO", "L DONE", ASK, "S * 10 EXISTS", "S A3 OK done", ANSWER,
               "S A4 OK", QUIT}},
    {"work comes before the server has agreed", OPS,
     .steps = {BEGIN, "C IDLE", "GO", "S + idling", "L DONE", ASK, "S A3 OK done", ANSWER,
               "S A4 OK", QUIT}},
    {"all that waits goes with DONE, before anything is answered",
     {{.kind = OP_CHECK},
      {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true},
      {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true},
      {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true}},
     .steps = {BEGIN, ACCEPT, "GO", "GO", "GO", "L DONE", ASK, ASK, ASK, "S A3 OK done", ANSWER,
               "S A4 OK", ANSWER, "S A5 OK", ANSWER, "S A6 OK", QUIT}},
    {"consent that comes twice is ended once",
     {{.kind = OP_CHECK},
      {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true},
      {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true}},
     .steps = {BEGIN, ACCEPT, "GO", "L DONE", ASK, "S + idling", "GO", ASK, "S A3 OK done", ANSWER,
               "S A4 OK", ANSWER, "S A5 OK", QUIT}},
    {"the server ends it: again", OPS,
     .steps = {BEGIN, ACCEPT, "S $T OK enough", ACCEPT, "GO", "L DONE", ASK, "S A4 OK done", ANSWER,
               "S A5 OK", QUIT}},
    {"NO", OPS, .steps = {BEGIN, "C IDLE", "S $T NO no", "GO", ASK, ANSWER, "S $T OK", QUIT}},
    {"NO: it holds for one session",
     {{.kind = OP_CHECK},
      {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true},
      {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true}},
     .steps = {BEGIN, "C IDLE", "S $T NO going down", "CUT", "GO", "NEW", HELLO("IDLE"),
               OPEN("EXAMINE", "A"), ASK, ANSWER, "S $T OK", ACCEPT, "GO", "L DONE", ASK,
               "S A7 OK done", ANSWER, "S A8 OK", QUIT}},
    {"BAD", OPS, .steps = {BEGIN, "C IDLE", "S $T BAD what", "GO", ASK, ANSWER, "S $T OK", QUIT}},
    {"a pause is asked for: not until it is over", OPS,
     .steps = {BEGIN, "C IDLE", "S $T NO Suggested Backoff Time: 1500 milliseconds", "GO", ASK,
               ANSWER, "S $T OK", QUIT}},
    {"a pause is asked for: again behind it",
     {{.kind = OP_CHECK}, {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true}},
     .steps = {BEGIN, "C IDLE", "S $T NO Suggested Backoff Time: 300 milliseconds", ACCEPT, "GO",
               "L DONE", ASK, "S A4 OK done", ANSWER, "S A5 OK", QUIT}},
    {"no answer: another connection", OPS, .timeout = 500,
     .steps = {BEGIN, "C IDLE", "GO", "EOF", "NEW", HELLO("IDLE"), OPEN("EXAMINE", "A"), ASK,
               ANSWER, "S $T OK", QUIT}},
    {"no answer: that may have been the line, and it is asked once more",
     {{.kind = OP_CHECK},
      {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true},
      {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true}},
     .timeout = 1500,
     .steps = {BEGIN, "C IDLE", "GO", "EOF", "NEW", HELLO("IDLE"), OPEN("EXAMINE", "A"), ASK,
               ANSWER, "S $T OK", ACCEPT, "GO", "L DONE", ASK, "S A7 OK done", ANSWER, "S A8 OK",
               QUIT}},
    {"lost meanwhile: nothing is heard any more", OPS, .events = "deaf; ",
     .steps = {BEGIN, ACCEPT, "CUT", "GO", "NEW", HELLO("IDLE"), OPEN("EXAMINE", "A"), ASK, ANSWER,
               "S $T OK", QUIT}},
    {"not where the server does not offer it", OPS,
     .steps = {HELLO(""), OPEN("SELECT", "A"), "GO", ASK, ANSWER, "S $T OK", QUIT}},
};

TEST(idles)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idles),
    };
    return cmocka_run_group_tests_name("idle", tests, NULL, NULL);
}
