/* What -d tells of the states that a connection goes through, one line each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "imap/base/log.h"
#include "tests/unit/scene.h"

#define UP                                                                                         \
    "0 connection: down -> connecting; 0 session: CLOSED -> GREETING; "                            \
    "0 session: GREETING -> SETUP; 0 connection: connecting -> up; "                               \
    "0 session: SETUP -> OPEN; "
#define OPENED "0 SELECT: NONE -> ASKED; 0 SELECT: ASKED -> OPEN; "
#define LEFT   "0 session: OPEN -> LOGOUT; 0 session: LOGOUT -> CLOSED; "
#define DOWN   "0 SELECT: OPEN -> NONE; 0 connection: up -> down; "

#define ASK  "C UID FETCH 5 (UID BODY.PEEK[]<0.3>)"
#define BODY "S * 1 FETCH (UID 5 BODY[]<0> {3}", "R abc)\r\n"

static const struct {
    struct scene scene;
    const char *states; /* of connection 0; those of the pool, which end it all, are left out */
} rows[] = {
    {{"a look", {{.kind = OP_CHECK}}, .steps = {HELLO(""), OPEN("SELECT", "A"), QUIT}},
     UP OPENED LEFT DOWN},
    {{"IDLE",
      {{.kind = OP_CHECK}, {.kind = OP_BODY, .len = 3, .bytes = "abc", .late = true}},
      .steps = {HELLO("IDLE"), OPEN("SELECT", "A"), "C IDLE", "S + idling", "GO", "L DONE", ASK,
                "S A3 OK done", BODY, "S A4 OK", QUIT}},
     UP OPENED "0 IDLE: OFF -> ASKED; 0 IDLE: ASKED -> ON; 0 IDLE: ON -> ENDING; "
               "0 IDLE: ENDING -> OFF; " LEFT DOWN},
    {{"one mailbox after another, in doubt",
      {{.kind = OP_CHECK},
       {.kind = OP_CHECK, .mailbox = "B", .late = true},
       {.kind = OP_CHECK, .mailbox = "B", .late = true}},
      .steps = {HELLO(""), OPEN("SELECT", "A"), "GO", "C SELECT \"B\"", "S * OK [CLOSED] x",
                "S * 2 EXISTS", "S * OK [UIDVALIDITY 7] x", "S $T OK", "GO", "C NOOP",
                "S * 1 EXPUNGE", "S * 1 EXPUNGE", "S $T OK", OPEN("SELECT", "B"), QUIT}},
     UP OPENED "0 SELECT: OPEN -> NONE; 0 SELECT: NONE -> CLOSING; 0 SELECT: CLOSING -> ASKED; "
               "0 SELECT: ASKED -> OPEN; 0 SELECT: OPEN -> DOUBTED; 0 SELECT: DOUBTED -> NONE; "
               "0 SELECT: NONE -> CLOSING; 0 SELECT: CLOSING -> OPEN; " LEFT DOWN},
    {{"the server ends it",
      {{.kind = OP_BODY, .len = 3, .bytes = "abc"}},
      .steps = {HELLO(""), OPEN("EXAMINE", "A"), ASK, "S * BYE enough", AGAIN, HELLO(""),
                OPEN("EXAMINE", "A"), ASK, BODY, "S $T OK", QUIT}},
     UP OPENED "0 session: OPEN -> BYE; 0 session: BYE -> CLOSED; " DOWN UP OPENED LEFT DOWN},
};

/* The lines "imapfs: imap[0] WHAT: OLD -> NEW" of what was logged. */
static void find_states(FILE *log, struct buf *out)
{
    static const char before[] = "imapfs: imap[";
    char line[1024];
    rewind(log);
    while (fgets(line, sizeof line, log)) {
        char *bracket = strchr(line, ']');
        if (strncmp(line, before, sizeof before - 1) != 0 || !bracket || !strstr(line, " -> "))
            continue;
        buf_addf(out, "%c%.*s; ", line[sizeof before - 1], (int)strcspn(bracket + 1, "\n"),
                 bracket + 1);
    }
}

static void test_states(void **state)
{
    unsigned wrong = 0;
    (void)state;
    log_init(true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf seen = {0};
        FILE *log = tmpfile();
        int err = dup(STDERR_FILENO);
        assert_non_null(log);
        dup2(fileno(log), STDERR_FILENO);
        play(&rows[i].scene);
        dup2(err, STDERR_FILENO);
        close(err);
        find_states(log, &seen);
        fclose(log);
        if (strcmp(buf_str(&seen), rows[i].states) != 0) {
            print_error("%s: %s\n", rows[i].scene.name, buf_str(&seen));
            wrong++;
        }
        buf_free(&seen);
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_states)};
    return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
