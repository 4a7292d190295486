#include "fs/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/base/mem.h"

struct worker {
    void (*run)(void *ctx, struct work *work);
    void (*drop)(void *ctx, struct work *work);
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows; no other is taken under it */
    pthread_cond_t cond;  /* there is something to do, or nothing any more */
    bool started;         /* there is a thread to be joined; not under the lock */
    bool running;         /* items are taken */
    bool idle;            /* the thread waits for an item, and nobody has woken it yet */
    bool busy;            /* an item is being run */
    struct work *queue;
    struct worker_counts counts;
};

struct worker *worker_new(void (*run)(void *ctx, struct work *work),
                          void (*drop)(void *ctx, struct work *work), void *ctx)
{
    struct worker *w = mem_zalloc(sizeof *w);
    pthread_condattr_t monotonic;
    w->run = run;
    w->drop = drop;
    w->ctx = ctx;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return w;
}

static void wait_until_due_locked(struct worker *w, int64_t due)
{
    struct timespec until;
    int64_t left = due - clock_ms() + 1;
    left = left > 0 ? left : 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += left % 1000 * 1000000;
    until.tv_sec += left / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&w->cond, &w->lock, &until);
}

/* The next item, when it is due; NULL: it is time to end. */
static struct work *next_locked(struct worker *w)
{
    while (w->running) {
        struct work *work = w->queue;
        if (work && (!work->due || work->due <= clock_ms())) {
            DL_DELETE(w->queue, work);
            w->counts.waiting--;
            return work;
        }
        w->idle = !work;
        if (work)
            wait_until_due_locked(w, work->due);
        else
            pthread_cond_wait(&w->cond, &w->lock);
        w->idle = false;
    }
    return NULL;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct work *work;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_mutex_lock(&w->lock);
    while ((work = next_locked(w))) {
        w->busy = true;
        pthread_mutex_unlock(&w->lock);
        w->run(w->ctx, work);
        pthread_mutex_lock(&w->lock);
        w->busy = false;
        w->counts.run++;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int worker_start(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    int err = pthread_create(&w->thread, NULL, worker_main, w);
    w->started = w->running = !err;
    pthread_mutex_unlock(&w->lock);
    return -err;
}

static bool has_work_locked(const struct worker *w)
{
    return w->running && (w->queue || w->busy);
}

bool worker_has_work(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool has = has_work_locked(w);
    pthread_mutex_unlock(&w->lock);
    return has;
}

/* The thread is woken without the lock, which it would run into, and only if it waits: most items
 * come while it is at another. */
static bool put(struct worker *w, struct work *work, bool behind)
{
    pthread_mutex_lock(&w->lock);
    bool taken = behind ? has_work_locked(w) : w->running, wake = taken && w->idle;
    if (taken) {
        DL_APPEND(w->queue, work);
        w->counts.waiting++;
        w->idle = false;
    }
    pthread_mutex_unlock(&w->lock);
    if (wake)
        pthread_cond_signal(&w->cond);
    return taken;
}

bool worker_put(struct worker *w, struct work *work)
{
    return put(w, work, false);
}

bool worker_put_behind(struct worker *w, struct work *work)
{
    return put(w, work, true);
}

void worker_close(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->running = false;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

void worker_stop(struct worker *w)
{
    worker_close(w);
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
    pthread_mutex_lock(&w->lock);
    struct work *left = w->queue, *work, *next;
    w->queue = NULL;
    w->counts.waiting = 0;
    pthread_mutex_unlock(&w->lock);
    DL_FOREACH_SAFE (left, work, next)
        w->drop(w->ctx, work);
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct worker_counts worker_counts(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct worker_counts counts = w->counts;
    pthread_mutex_unlock(&w->lock);
    return counts;
}
