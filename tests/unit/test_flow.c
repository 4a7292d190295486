/* Large literals, handed on while they come (flow.c): the same bytes in the same place, whatever
 * the server does before, behind and within them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scene.h"

/* A window of 1 MiB, and a row of it: literal, pattern, end. */
#define MIB        1048576
#define BODY(...)  .kind = OP_BODY, .len = MIB, __VA_ARGS__
#define ASK        "C UID FETCH 5 (UID BODY.PEEK[]<0.1048576>)"
#define ASK_SECOND "C UID FETCH 5 (UID BODY.PEEK[]<1048576.1048576>)"
#define ANNOUNCED  "S * 1 FETCH (UID 5 BODY[]<0> {1048576}"
#define SECOND     "S * 1 FETCH (UID 5 BODY[]<1048576> {1048576}"
#define ALL        "G 0 1048576 65536"
#define ALL_SECOND "G 1048576 1048576 65536"
#define IN_PIECES  .pattern = MIB, .pieces = true
#define START      HELLO(""), OPEN("EXAMINE", "A"), ASK
#define START_PAIR HELLO(""), OPEN("EXAMINE", "A"), ASK, ASK_SECOND
#define PAIR                                                                                       \
    {BODY(IN_PIECES)},                                                                             \
    {                                                                                              \
        BODY(.off = MIB, IN_PIECES)                                                                \
    }

static const struct scene pieces[] = {
    {"whole", {{BODY(IN_PIECES)}}, .steps = {START, ANNOUNCED, ALL, "R )\r\n", "S $T OK", QUIT}},
    {"in odd sizes",
     {{BODY(IN_PIECES)}},
     .steps = {START, "R * 1 FETCH (UID 5 BOD", "R Y[]<0> {10485", "R 76}\r", "R \n", "G 0 5 1",
               "G 5 300000 7919", "G 300005 262139 262139", "G 562144 486431 99991",
               "G 1048575 1 1", "R )", "R \r", "R \n", "S $T OK", QUIT}},
    {"all of it at once, and its end with the tagged answer",
     {{BODY(IN_PIECES)}},
     .steps = {START, ANNOUNCED, "G 0 1048576 1048576", "R )\r\nA3 OK\r\n", QUIT}},
    {"more about the message behind it",
     {{BODY(IN_PIECES)}},
     .events = "A/7 row 5 \\Seen; ",
     .steps = {START, ANNOUNCED, ALL, "R  FLAGS (\\Seen))\r\n", "S $T OK", QUIT}},
    {"more about the message before it",
     {{BODY(IN_PIECES)}},
     .events = "A/7 row 5 \\Flagged; ",
     .steps = {START, "S * 1 FETCH (FLAGS (\\Flagged) UID 5 BODY[]<0> {1048576}", ALL, "R )\r\n",
               "S $T OK", QUIT}},
    {"another literal behind it",
     {{BODY(IN_PIECES)}},
     .steps = {START, ANNOUNCED, ALL, "R  BODY[HEADER.FIELDS (FROM)] {4}\r\nab\r\n)\r\n", "S $T OK",
               QUIT}},
    {"nonsense behind it",
     {{BODY(IN_PIECES)}},
     .steps = {START, ANNOUNCED, ALL, "R  (((\r\n", "S $T OK", QUIT}},
    {"the next response begins at once",
     {{BODY(IN_PIECES)}},
     .events = "A/7 row 6 \\Seen; A/7 change 1; ",
     .steps = {START, ANNOUNCED, ALL,
               "R )\r\n* 2 FETCH (UID 6 FLAGS (\\Seen))\r\n* 10 EXISTS\r\nA3 OK\r\n", QUIT}},
    {"the whole message instead of the window",
     {{BODY(IN_PIECES)}},
     .steps = {START, "S * 1 FETCH (UID 5 BODY[] {1048576}", ALL, "R )\r\n", "S $T OK", QUIT}},
    {"the whole message, of which the second part is wanted",
     {{.kind = OP_BODY, .off = 300000, .len = 400000, .pattern = 400000, .pieces = true}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID FETCH 5 (UID BODY.PEEK[]<300000.400000>)",
               "S * 1 FETCH (UID 5 BODY[] {1048576}", ALL, "R )\r\n", "S $T OK", QUIT}},
    {"the whole message called a window, of which the end is wanted",
     {{.kind = OP_BODY, .off = 700000, .len = 400000, .pattern = MIB - 700000, .pieces = true}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID FETCH 5 (UID BODY.PEEK[]<700000.400000>)",
               "S * 1 FETCH (UID 5 BODY[]<700000.400000> {1048576}", ALL, "R )\r\n", "S $T OK",
               QUIT}},
    {"longer than what was asked for",
     {{.kind = OP_BODY, .len = 600000, .pattern = 600000, .pieces = true}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID FETCH 5 (UID BODY.PEEK[]<0.600000>)",
               ANNOUNCED, ALL, "R )\r\n", "S $T OK", QUIT}},
    {"longer by a byte",
     {{.kind = OP_BODY, .len = MIB - 1, .pattern = MIB - 1, .pieces = true}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID FETCH 5 (UID BODY.PEEK[]<0.1048575>)",
               ANNOUNCED, ALL, "R )\r\n", "S $T OK", QUIT}},
    {"asked for whole",
     {{.kind = OP_BODY, .len = 2 * MIB, .whole = true, IN_PIECES}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), "C UID FETCH 5 (UID BODY.PEEK[])",
               "S * 1 FETCH (UID 5 BODY[] {1048576}", ALL, "R )\r\n", "S $T OK", QUIT}},
    {"shorter than the window",
     {{BODY(.pattern = 700001, .pieces = true)}},
     .steps = {START, "S * 1 FETCH (UID 5 BODY[]<0> {700001}", "G 0 700001 65536", "R )\r\n",
               "S $T OK", QUIT}},
    {"the question echoed",
     {{BODY(IN_PIECES)}},
     .steps = {START, "S * 1 FETCH (UID 5 BODY[]<0.1048576> {1048576}", ALL, "R )\r\n", "S $T OK",
               QUIT}},
    {"refused at last",
     {{BODY(IN_PIECES, .err = EIO)}},
     .steps = {START, ANNOUNCED, ALL, "R )\r\n", "S $T NO sorry", QUIT}},
    {"twice: the first counts",
     {{BODY(IN_PIECES)}},
     .steps = {START, ANNOUNCED, ALL, "R )\r\n", ANNOUNCED, "G 7 1048576 65536", "R )\r\n",
               "S $T OK", QUIT}},
    {"behind another message's",
     {{BODY(IN_PIECES)}},
     .steps = {START, "S * 2 FETCH (UID 6 BODY[]<0> {1048576}", "G 7 1048576 65536", "R )\r\n",
               ANNOUNCED, ALL, "R )\r\n", "S $T OK", QUIT}},
    {"behind another window",
     {{BODY(IN_PIECES)}},
     .steps = {START, "S * 1 FETCH (UID 5 BODY[]<7> {1048576}", "G 7 1048576 65536", "R )\r\n",
               ANNOUNCED, ALL, "R )\r\n", "S $T OK", QUIT}},
    {"behind one that is nobody's",
     {{BODY(IN_PIECES)}},
     .steps = {START, "S * 2 FETCH (BODY[]<0> {1048576}", "G 7 1048576 65536", "R )\r\n", ANNOUNCED,
               ALL, "R )\r\n", "S $T OK", QUIT}},
    {"two windows",
     {PAIR},
     .steps = {START_PAIR, ANNOUNCED, ALL, "R )\r\n", SECOND, ALL_SECOND, "R )\r\n", "S A3 OK",
               "S A4 OK", QUIT}},
    {"two windows, the other way round",
     {PAIR},
     .steps = {START_PAIR, SECOND, ALL_SECOND, "R )\r\n", "S A4 OK", ANNOUNCED, ALL, "R )\r\n",
               "S A3 OK", QUIT}},
    {"two messages",
     {{BODY(IN_PIECES)}, {BODY(.uid = 6, IN_PIECES)}},
     .steps = {START, "C UID FETCH 6 (UID BODY.PEEK[]<0.1048576>)",
               "S * 2 FETCH (UID 6 BODY[]<0> {1048576}", ALL, "R )\r\n", ANNOUNCED, ALL, "R )\r\n",
               "S A3 OK", "S A4 OK", QUIT}},
    {"compressed",
     {{BODY(IN_PIECES)}},
     .compress = COMPRESS_YES,
     .steps = {HELLO("COMPRESS=DEFLATE"), "C COMPRESS DEFLATE", "Z $T OK", OPEN("EXAMINE", "A"),
               ASK, ANNOUNCED, "G 0 1048576 10007", "R )\r\n", "S $T OK", QUIT}},
};

/* Nothing is handed on before the end where it is not clear whose it is, or worth it. */
static const struct scene whole[] = {
    {"the UID behind it",
     {{BODY(.pattern = MIB)}},
     .steps = {START, "S * 1 FETCH (BODY[]<0> {1048576}", ALL, "R  UID 5)\r\n", "S $T OK", QUIT}},
    {"another literal before it",
     {{BODY(.pattern = MIB)}},
     .steps = {START, "R * 1 FETCH (UID 5 BODY[HEADER.FIELDS (FROM)] {4}\r\nab\r\n BODY[]<0> ",
               "S {1048576}", ALL, "R )\r\n", "S $T OK", QUIT}},
    {"not worth it",
     {{BODY(.pattern = 500000)}},
     .steps = {START, "S * 1 FETCH (UID 5 BODY[]<0> {500000}", "G 0 500000 65536", "R )\r\n",
               "S $T OK", QUIT}},
    {"another message's and nothing else",
     {{BODY(.err = ENODATA)}},
     .steps = {START, "S * 2 FETCH (UID 6 BODY[]<0> {1048576}", ALL, "R )\r\n", "S $T OK", QUIT}},
    {"what is only called so",
     {{BODY(.err = ENODATA)}},
     .steps = {START, "S * 1 FETCH (UID 5 X-BODY[]<0> {1048576}", ALL, "R )\r\n", "S $T OK", QUIT}},
};

/* The next attempt begins with the first byte. */
static const struct scene cut[] = {
    {"in the middle",
     {{BODY(IN_PIECES)}},
     .steps = {START, ANNOUNCED, "G 0 700000 65536", AGAIN, START, ANNOUNCED, ALL, "R )\r\n",
               "S $T OK", QUIT}},
    {"in the middle, and then all at once",
     {{BODY(.pattern = 1000, .pieces = true)}},
     .steps = {START, ANNOUNCED, "G 0 700000 65536", AGAIN, START,
               "S * 1 FETCH (UID 5 BODY[]<0> {1000}", "G 0 1000 1000", "R )\r\n", "S $T OK", QUIT}},
    {"behind the last byte",
     {{BODY(IN_PIECES)}},
     .steps = {START, ANNOUNCED, ALL, AGAIN, START, ANNOUNCED, ALL, "R )\r\n", "S $T OK", QUIT}},
    {"before the tagged answer",
     {{BODY(IN_PIECES)}},
     .steps = {START, ANNOUNCED, ALL, "R )\r\n", AGAIN, START, ANNOUNCED, ALL, "R )\r\n", "S $T OK",
               QUIT}},
    {"in the second of two",
     {PAIR},
     .steps = {START_PAIR, ANNOUNCED, ALL, "R )\r\n", "S A3 OK", SECOND, "G 1048576 600000 65536",
               AGAIN, HELLO(""), OPEN("EXAMINE", "A"), ASK_SECOND, SECOND, ALL_SECOND, "R )\r\n",
               "S $T OK", QUIT}},
    {"in the first of two",
     {PAIR},
     .steps = {START_PAIR, ANNOUNCED, "G 0 300000 65536", AGAIN, START_PAIR, ANNOUNCED, ALL,
               "R )\r\n", SECOND, ALL_SECOND, "R )\r\n", "S A7 OK", "S A8 OK", QUIT}},
};

TEST(pieces)
TEST(whole)
TEST(cut)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
