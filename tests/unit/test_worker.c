/* A thread with a queue: the order in which it works, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "fs/worker.h"
#include "imap/base/buf.h"
#include "imap/base/clock.h"
#include "imap/base/mem.h"

struct item {
    struct work work;
    char name;
};

/* What is done, in order: the names of the items, of those that were dropped as capitals. */
struct log {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct worker *worker;
    struct buf done;
    bool held;  /* whoever is run waits for this to end */
    bool begun; /* one is being run */
};

static void run(void *ctx, struct work *work)
{
    struct log *log = ctx;
    pthread_mutex_lock(&log->lock);
    log->begun = true;
    pthread_cond_broadcast(&log->cond);
    while (log->held)
        pthread_cond_wait(&log->cond, &log->lock);
    log->begun = false;
    buf_addc(&log->done, ((struct item *)work)->name);
    pthread_cond_broadcast(&log->cond);
    pthread_mutex_unlock(&log->lock);
    free(work);
}

static void drop(void *ctx, struct work *work)
{
    struct log *log = ctx;
    assert_false(worker_put(log->worker, work)); /* which holds no lock here, and takes no more */
    buf_addc(&log->done, (char)(((struct item *)work)->name - 'a' + 'A'));
    free(work);
}

static struct log *log_new(void)
{
    struct log *log = mem_zalloc(sizeof *log);
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->cond, NULL);
    log->worker = worker_new(run, drop, log);
    return log;
}

static void log_free(struct log *log)
{
    worker_free(log->worker);
    buf_free(&log->done);
    pthread_cond_destroy(&log->cond);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

static struct work *item(char name, int64_t due)
{
    struct item *it = mem_zalloc(sizeof *it);
    it->name = name;
    it->work.due = due;
    return &it->work;
}

static void put(struct log *log, char name)
{
    assert_true(worker_put(log->worker, item(name, 0)));
}

/* Whoever is run waits from now on. */
static void hold(struct log *log, bool held)
{
    pthread_mutex_lock(&log->lock);
    log->held = held;
    pthread_cond_broadcast(&log->cond);
    pthread_mutex_unlock(&log->lock);
}

static void await_begin(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    while (!log->begun)
        pthread_cond_wait(&log->cond, &log->lock);
    pthread_mutex_unlock(&log->lock);
}

static void await_done(struct log *log, const char *all)
{
    pthread_mutex_lock(&log->lock);
    while (log->done.len < strlen(all))
        pthread_cond_wait(&log->cond, &log->lock);
    assert_string_equal(buf_str(&log->done), all);
    pthread_mutex_unlock(&log->lock);
}

static void test_order(void **state)
{
    (void)state;
    struct log *log = log_new();
    assert_int_equal(worker_start(log->worker), 0);
    for (const char *p = "abc"; *p; p++)
        put(log, *p);
    await_done(log, "abc");
    for (const char *p = "defgh"; *p; p++) /* it may wait for an item now */
        put(log, *p);
    await_done(log, "abcdefgh");
    worker_stop(log->worker);
    assert_int_equal(worker_counts(log->worker).run, 8);
    assert_string_equal(buf_str(&log->done), "abcdefgh");
    log_free(log);
}

/* Several put at once, and nothing is lost. */
static void *put_many(void *arg)
{
    struct log *log = arg;
    for (unsigned i = 0; i < 1000; i++)
        put(log, (char)('a' + i % 26));
    return NULL;
}

static void test_crowd(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct log *log = log_new();
    assert_int_equal(worker_start(log->worker), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, put_many, log);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_lock(&log->lock);
    while (log->done.len < 4000)
        pthread_cond_wait(&log->cond, &log->lock);
    pthread_mutex_unlock(&log->lock);
    worker_stop(log->worker);
    log_free(log);
}

/* Nothing before it is due, and nothing behind it before. */
static void test_due(void **state)
{
    (void)state;
    struct log *log = log_new();
    assert_int_equal(worker_start(log->worker), 0);
    int64_t due = clock_ms() + 60;
    assert_true(worker_put(log->worker, item('a', due)));
    put(log, 'b');
    await_done(log, "ab");
    assert_true(clock_ms() >= due);
    worker_stop(log->worker);
    log_free(log);
}

/* What is due much later keeps nobody from ending. */
static void test_stop_before_due(void **state)
{
    (void)state;
    struct log *log = log_new();
    assert_int_equal(worker_start(log->worker), 0);
    assert_true(worker_put(log->worker, item('a', clock_ms() + 1000000)));
    worker_stop(log->worker);
    assert_string_equal(buf_str(&log->done), "A");
    log_free(log);
}

static void *stop_main(void *arg)
{
    worker_stop(((struct log *)arg)->worker);
    return NULL;
}

/* Closed while it is at an item, with others behind it: that one is finished, they are dropped, in
 * their order, and not before it. */
static void test_stop_while_busy(void **state)
{
    (void)state;
    pthread_t stopper;
    struct log *log = log_new();
    assert_int_equal(worker_start(log->worker), 0);
    hold(log, true);
    put(log, 'a');
    await_begin(log);
    put(log, 'b');
    put(log, 'c');
    assert_int_equal(worker_counts(log->worker).waiting, 2);
    worker_close(log->worker);
    struct work *late = item('d', 0);
    assert_false(worker_put(log->worker, late));
    assert_false(worker_put_behind(log->worker, late));
    free(late);
    pthread_create(&stopper, NULL, stop_main, log);
    assert_int_equal(worker_counts(log->worker).run, 0);
    hold(log, false);
    pthread_join(stopper, NULL);
    assert_string_equal(buf_str(&log->done), "aBC");
    assert_int_equal(worker_counts(log->worker).run, 1);
    assert_int_equal(worker_counts(log->worker).waiting, 0);
    worker_stop(log->worker); /* once more is nothing */
    log_free(log);
}

/* Only if there is something to be behind of. */
static void test_behind(void **state)
{
    (void)state;
    struct log *log = log_new();
    struct work *b = item('b', 0);
    assert_int_equal(worker_start(log->worker), 0);
    assert_false(worker_has_work(log->worker));
    assert_false(worker_put_behind(log->worker, b));
    hold(log, true);
    put(log, 'a');
    await_begin(log); /* it is not in the queue, but not done either */
    assert_true(worker_has_work(log->worker));
    assert_true(worker_put_behind(log->worker, b));
    hold(log, false);
    await_done(log, "ab");
    worker_stop(log->worker);
    log_free(log);
}

static void test_never_started(void **state)
{
    (void)state;
    struct log *log = log_new();
    struct work *a = item('a', 0);
    assert_false(worker_put(log->worker, a));
    free(a);
    worker_stop(log->worker);
    assert_int_equal(log->done.len, 0);
    log_free(log);
    worker_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_stop_before_due),
        cmocka_unit_test(test_stop_while_busy),
        cmocka_unit_test(test_behind),
        cmocka_unit_test(test_never_started),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
