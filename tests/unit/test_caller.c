/* Which signals end the wait for an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/caller.h"
#include "imap/base/buf.h"

enum { NOTHING, CATCHES, IGNORES, BLOCKS };

static const struct {
    int sig;
    int how;
    enum caller is;
} rows[] = {
    {0, NOTHING, CALLER_WAITS}, /* stopped, traced or frozen */
    {SIGKILL, NOTHING, CALLER_LEAVES},
    {SIGTERM, NOTHING, CALLER_LEAVES},
    {SIGHUP, NOTHING, CALLER_LEAVES},
    {SIGSEGV, NOTHING, CALLER_LEAVES},
    {SIGALRM, NOTHING, CALLER_LEAVES},
    {SIGUSR1, NOTHING, CALLER_LEAVES},
    {SIGIO, NOTHING, CALLER_LEAVES}, /* its default is to end the process */
    {40, NOTHING, CALLER_LEAVES},
    {64, NOTHING, CALLER_LEAVES},
    {SIGINT, NOTHING, CALLER_LEAVES},
    {SIGQUIT, NOTHING, CALLER_LEAVES},
    {SIGINT, CATCHES, CALLER_LEAVES},
    {SIGQUIT, CATCHES, CALLER_LEAVES},
    {SIGINT, IGNORES, CALLER_WAITS},
    {SIGINT, BLOCKS, CALLER_WAITS},
    {SIGTERM, CATCHES, CALLER_WAITS},
    {SIGTERM, IGNORES, CALLER_WAITS},
    {SIGTERM, BLOCKS, CALLER_WAITS},
    {SIGHUP, CATCHES, CALLER_WAITS},
    {SIGALRM, CATCHES, CALLER_WAITS},
    {SIGUSR1, CATCHES, CALLER_WAITS},
    {SIGIO, CATCHES, CALLER_WAITS},
    {40, CATCHES, CALLER_WAITS},
    {64, CATCHES, CALLER_WAITS},
    /* A traced process has what it would else not even get. */
    {SIGCHLD, NOTHING, CALLER_WAITS},
    {SIGCHLD, CATCHES, CALLER_WAITS},
    {SIGWINCH, NOTHING, CALLER_WAITS},
    {SIGURG, NOTHING, CALLER_WAITS},
    {SIGCONT, NOTHING, CALLER_WAITS},
    {SIGSTOP, NOTHING, CALLER_WAITS},
    {SIGTSTP, NOTHING, CALLER_WAITS},
    {SIGTSTP, CATCHES, CALLER_WAITS},
    {SIGTTIN, NOTHING, CALLER_WAITS},
    {SIGTTOU, NOTHING, CALLER_WAITS},
};

static unsigned long long mask(int sig, bool set)
{
    return set && sig ? 1ull << (sig - 1) : 0;
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int shared = 0; shared < 2; shared++)
            for (int others = 0; others < 2; others++) {
                struct buf status = {0};
                int sig = rows[i].sig, how = rows[i].how;
                /* SIGCHLD and SIGWINCH, caught and pending beside it, change nothing. */
                unsigned long long more = others ? mask(SIGCHLD, true) | mask(SIGWINCH, true) : 0;
                buf_addf(&status,
                         "Name:\tSigPnd: f\nTgid:\t1\nSigQ:\t0/1\nSigPnd:\t%016llx\n"
                         "ShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%016llx\n"
                         "SigCgt:\t%016llx\nCapInh:\t0\n",
                         mask(sig, !shared) | more, mask(sig, shared), mask(sig, how == BLOCKS),
                         mask(sig, how == IGNORES), mask(sig, how == CATCHES) | more);
                assert_int_equal(caller_parse(buf_str(&status)), rows[i].is);
                buf_free(&status);
            }
}

static void test_not_understood(void **state)
{
    (void)state;
    assert_int_equal(caller_parse(""), CALLER_HIDDEN);
    assert_int_equal(caller_parse("\nSigPnd:\t1\nShdPnd:\t1\nSigBlk:\t0\nSigIgn:\t0\n"),
                     CALLER_HIDDEN);
    assert_int_equal(caller_parse("\nSigPnd:\tx\nShdPnd:\t1\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\n"),
                     CALLER_HIDDEN);
}

static void test_hidden(void **state)
{
    (void)state;
    assert_int_equal(caller_look(0), CALLER_HIDDEN);
    assert_int_equal(caller_look(-1), CALLER_HIDDEN);
    assert_int_equal(caller_look(0x7fffffff), CALLER_HIDDEN);
}

static atomic_int tid;
static atomic_bool stop;

static void *main_of_thread(void *arg)
{
    (void)arg;
    atomic_store(&tid, (int)syscall(SYS_gettid));
    while (!atomic_load(&stop))
        usleep(1000);
    return NULL;
}

static void ignore(int sig)
{
    (void)sig;
}

/* What the kernel says of a thread of this process. */
static void test_a_thread(void **state)
{
    (void)state;
    sigset_t usr;
    pthread_t thread;
    struct sigaction action = {.sa_handler = ignore};
    sigemptyset(&usr);
    sigaddset(&usr, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr, NULL);
    sigaction(SIGUSR1, &action, NULL);
    assert_int_equal(pthread_create(&thread, NULL, main_of_thread, NULL), 0);
    while (!atomic_load(&tid))
        usleep(1000);
    assert_int_equal(caller_look(tid), CALLER_WAITS);
    pthread_kill(thread, SIGUSR1); /* stays pending, since it is blocked */
    assert_int_equal(caller_look(tid), CALLER_WAITS);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(caller_look(tid), CALLER_HIDDEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_not_understood),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_a_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
