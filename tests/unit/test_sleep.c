/* The machine was suspended between two operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scene.h"

#define FLAG_IT "C UID STORE 5 +FLAGS (\\Seen)"
#define FLAGGED "S * 3 FETCH (UID 5 FLAGS (\\Seen))", "S $T OK"

/* Two operations, and a sleep of `ms` between them. */
static void play_sleep(const char *name, int64_t ms, const char *const *steps)
{
    static const struct want flag = {.kind = OP_STORE, .text = "+FLAGS (\\Seen)"};
    struct script server;
    struct buf why = {0};
    struct run run = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct result results[2] = {{.run = &run}, {.run = &run}};
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
    for (unsigned i = 0; i < 2; i++) {
        pool_submit(pool, make_op(&flag, &results[i]));
        wait_done(&run, i + 1);
        clock_pretend_sleep(i == 0 ? ms : 0);
    }
    pool_stop(pool);
    pool_free(pool);
    script_end(&server);
    if (server.error[0])
        fail_msg("%s: %s", name, server.error);
    for (unsigned i = 0; i < 2; i++) {
        check(name, &flag, &results[i]);
        op_free(results[i].op);
    }
    buf_free(&run.events);
    buf_free(&why);
}

static void test_long(void **state)
{
    static const char *const steps[] = {
        HELLO(""), OPEN("SELECT", "A"), FLAG_IT, FLAGGED, "EOF", "NEW",
        HELLO(""), OPEN("SELECT", "A"), FLAG_IT, FLAGGED, QUIT};
    (void)state;
    play_sleep("a long sleep", 6000, steps);
}

static void test_short(void **state)
{
    static const char *const steps[] = {
        HELLO(""), OPEN("SELECT", "A"), FLAG_IT, FLAGGED, FLAG_IT, FLAGGED, QUIT};
    (void)state;
    play_sleep("a short sleep", 4000, steps);
}

static void test_clock(void **state)
{
    (void)state;
    int64_t mark = clock_slept_ms();
    assert_false(clock_slept_since(&mark));
    clock_pretend_sleep(CLOCK_SLEEP);
    assert_false(clock_slept_since(&mark));
    clock_pretend_sleep(500);
    assert_true(clock_slept_since(&mark));
    assert_false(clock_slept_since(&mark)); /* told once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_clock), cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_short)};
    return cmocka_run_group_tests_name("sleep", tests, NULL, NULL);
}
