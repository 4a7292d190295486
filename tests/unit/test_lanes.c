/* Who gets his turn when more is wanted than fits into a connection, or one thing ends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/base/limits.h"
#include "tests/unit/scene.h"

enum { READS = LIMIT_PIPELINE + 3 };

#define ASK  "C UID FETCH 5 (UID BODY.PEEK[]<0.3>)"
#define BODY "S * 1 FETCH (UID 5 BODY[]<0> {3}", "R abc)\r\n"

static unsigned long wakeups(struct pool *pool)
{
    static const char label[] = "wake-ups of connections: ";
    struct buf status = {0};
    pool_status(pool, &status);
    const char *at = strstr(buf_str(&status), label);
    unsigned long n = at ? strtoul(at + strlen(label), NULL, 10) : 0;
    buf_free(&status);
    return n;
}

/* The server takes its time over a full pipeline: nobody looks at the queue again and again. */
static void test_full(void **state)
{
    static const char *const steps[] = {HELLO(""),  OPEN("EXAMINE", "A"),
                                        "K 473 20", /* the whole pipeline, in 400 ms */
                                        BODY,       "S A3 OK",
                                        BODY,       "S A4 OK",
                                        BODY,       "S A5 OK",
                                        BODY,       "S A6 OK",
                                        BODY,       "S A7 OK",
                                        BODY,       "S A8 OK",
                                        BODY,       "S A9 OK",
                                        BODY,       "S A10 OK",
                                        BODY,       "S A11 OK",
                                        BODY,       "S A12 OK",
                                        BODY,       "S A13 OK",
                                        BODY,       "S A14 OK",
                                        ASK,        BODY,
                                        "S $T OK",  ASK,
                                        BODY,       "S $T OK",
                                        ASK,        BODY,
                                        "S $T OK",  QUIT};
    static const struct want want = {.kind = OP_BODY, .len = 3, .bytes = "abc"};
    (void)state;
    struct script server;
    struct buf why = {0};
    struct run run = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct result results[READS] = {0};
    assert_true(script_start(&server, steps));
    struct pool_config config = {.host = "127.0.0.1",
                                 .port = server.port,
                                 .tls_mode = TLS_NONE,
                                 .user = "user",
                                 .password = "pass",
                                 .timeout = SCRIPT_PATIENCE,
                                 .connections = 1};
    struct pool *pool = pool_open(&config, &events, &run, &why);
    assert_non_null(pool);
    for (unsigned i = 0; i < READS; i++) {
        results[i].run = &run;
        pool_submit(pool, make_op(&want, &results[i]));
    }
    wait_done(&run, READS);
    unsigned long n = wakeups(pool);
    pool_stop(pool);
    pool_free(pool);
    script_end(&server);
    assert_string_equal(server.error, "");
    for (unsigned i = 0; i < READS; i++) {
        check("a full pipeline", &want, &results[i]);
        op_free(results[i].op);
        buf_free(&results[i].bytes);
    }
    assert_in_range(n, 1, 500);
    buf_free(&run.events);
    buf_free(&why);
}

/* A look that nobody waits for, at a mailbox that the server dies of. */
static const struct scene poison[] = {
    {"not for ever, and others come first",
     {{.kind = OP_CHECK, .patient = true, .err = ENOTCONN},
      {.kind = OP_BODY, .mailbox = "B", .len = 3, .bytes = "abc"}},
     .steps = {HELLO(""), "C SELECT \"A\"", AGAIN, HELLO(""), OPEN("EXAMINE", "B"), ASK, BODY,
               "S $T OK", "C SELECT \"A\"", AGAIN, HELLO(""), "C SELECT \"A\"", "CUT", NULL}},
};

TEST(poison)

/* Somebody comes to wait for such a look, which is under way: he does not wait for a server that
 * has gone. */
static const struct scene hurried[] = {
    {"for no longer than others",
     {{.kind = OP_CHECK, .patient = true, .hurried = true, .err = ETIMEDOUT}},
     .timeout = 400,
     .steps = {HELLO(""), "C SELECT \"A\"", "GO", "EOF", NULL}},
};

TEST(hurried)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full), cmocka_unit_test(test_poison),
                                       cmocka_unit_test(test_hurried)};
    return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
