/* Three lanes, a thread each. The kernel tells of a name under the lock of its directory, which a
 * rename(2) or unlink(2) there holds until the server has answered. Attributes are told without it,
 * so they, and the readers that wait for them, never stand behind such a name, nor behind those
 * that are told later. */
#include "fs/notify.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "imap/base/buf.h"
#include "imap/base/clock.h"
#include "imap/base/mem.h"

struct item {
    struct item *prev, *next;
    fuse_ino_t ino;   /* of the parent, when there is a name */
    fuse_ino_t child; /* that the name no longer means; 0: whatever it means */
    int64_t due;      /* clock_ms(): not before */
    void (*then)(void *);
    void *arg;
    char name[]; /* empty: attributes of ino */
};

struct lane {
    struct notifier *n;
    pthread_cond_t cond;
    pthread_t thread;
    bool started;
    bool busy; /* an item is being told */
    struct item *queue;
};

enum { NAMES, ATTRS, LATER, LANES };

struct notifier {
    void (*telling)(void *ctx, fuse_ino_t ino);
    void *ctx;
    pthread_mutex_t lock;
    struct fuse_session *se;
    bool running, stop;
    struct lane lanes[LANES];
    unsigned long long told;
};

struct notifier *notifier_new(void (*telling)(void *ctx, fuse_ino_t ino), void *ctx)
{
    struct notifier *n = mem_zalloc(sizeof *n);
    n->telling = telling;
    n->ctx = ctx;
    pthread_mutex_init(&n->lock, NULL);
    for (unsigned i = 0; i < LANES; i++) {
        n->lanes[i].n = n;
        pthread_condattr_t monotonic;
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&n->lanes[i].cond, &monotonic);
        pthread_condattr_destroy(&monotonic);
    }
    return n;
}

static void tell(struct notifier *n, const struct item *it)
{
    /* The answer is of no interest: the kernel may never have heard of it. */
    if (it->then) {
        it->then(it->arg);
        return;
    }
    if (!it->name[0])
        n->telling(n->ctx, it->ino);
    if (it->child)
        fuse_lowlevel_notify_delete(n->se, it->ino, it->child, it->name, strlen(it->name));
    else if (it->name[0])
        fuse_lowlevel_notify_inval_entry(n->se, it->ino, it->name, strlen(it->name));
    else
        fuse_lowlevel_notify_inval_inode(n->se, it->ino, -1, 0);
}

/* Until there is something to do; those of a lane are due in the order of their queue. */
static void wait_locked(struct lane *l)
{
    int64_t left = l->queue ? l->queue->due - clock_ms() : 0;
    struct timespec until;
    if (!l->queue) {
        pthread_cond_wait(&l->cond, &l->n->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (left + 1) % 1000 * 1000000;
    until.tv_sec += (left + 1) / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&l->cond, &l->n->lock, &until);
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;
    struct notifier *n = l->n;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_mutex_lock(&n->lock);
    while (!n->stop) {
        struct item *it = l->queue;
        if (!it || it->due > clock_ms()) {
            wait_locked(l);
            continue;
        }
        DL_DELETE(l->queue, it);
        l->busy = true;
        pthread_mutex_unlock(&n->lock);
        tell(n, it);
        free(it);
        pthread_mutex_lock(&n->lock);
        l->busy = false;
        n->told++;
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

int notifier_start(struct notifier *n, struct fuse_session *se)
{
    n->se = se;
    for (unsigned i = 0; i < LANES; i++) {
        int err = pthread_create(&n->lanes[i].thread, NULL, lane_main, &n->lanes[i]);
        if (err)
            return -err;
        n->lanes[i].started = true;
    }
    pthread_mutex_lock(&n->lock);
    n->running = true;
    pthread_mutex_unlock(&n->lock);
    return 0;
}

static void lane_stop(struct lane *l)
{
    if (l->started)
        pthread_join(l->thread, NULL);
    l->started = false;
    while (l->queue) {
        struct item *it = l->queue;
        DL_DELETE(l->queue, it);
        if (it->then)
            it->then(it->arg);
        free(it);
    }
}

void notifier_stop(struct notifier *n)
{
    pthread_mutex_lock(&n->lock);
    n->stop = true;
    n->running = false;
    for (unsigned i = 0; i < LANES; i++)
        pthread_cond_signal(&n->lanes[i].cond);
    pthread_mutex_unlock(&n->lock);
    /* Readers first: whoever holds the thread of names back may wait for one. */
    lane_stop(&n->lanes[ATTRS]);
    lane_stop(&n->lanes[LATER]);
    lane_stop(&n->lanes[NAMES]);
}

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    for (unsigned i = 0; i < LANES; i++)
        pthread_cond_destroy(&n->lanes[i].cond);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

static struct item *put_locked(struct notifier *n, fuse_ino_t ino, const char *name, int64_t due)
{
    struct lane *l = &n->lanes[name[0] ? NAMES : due ? LATER : ATTRS];
    size_t len = strlen(name) + 1;
    struct item *it = mem_zalloc(sizeof *it + len);
    it->ino = ino;
    it->due = due;
    memcpy(it->name, name, len);
    DL_APPEND(l->queue, it);
    pthread_cond_signal(&l->cond);
    return it;
}

void notify_gone(struct notifier *n, fuse_ino_t parent, const char *name, fuse_ino_t child)
{
    pthread_mutex_lock(&n->lock);
    if (n->running)
        put_locked(n, parent, name, 0)->child = child;
    pthread_mutex_unlock(&n->lock);
}

void notify_entry(struct notifier *n, fuse_ino_t parent, const char *name)
{
    notify_gone(n, parent, name, 0);
}

void notify_attr(struct notifier *n, fuse_ino_t ino)
{
    notify_entry(n, ino, "");
}

void notify_attr_later(struct notifier *n, fuse_ino_t ino, int64_t ms)
{
    pthread_mutex_lock(&n->lock);
    if (n->running)
        put_locked(n, ino, "", clock_ms() + ms);
    pthread_mutex_unlock(&n->lock);
}

bool notify_then(struct notifier *n, void (*then)(void *), void *arg)
{
    pthread_mutex_lock(&n->lock);
    const struct lane *l = &n->lanes[ATTRS];
    bool queued = n->running && (l->queue || l->busy);
    if (queued) {
        struct item *it = put_locked(n, 0, "", 0);
        it->then = then;
        it->arg = arg;
    }
    pthread_mutex_unlock(&n->lock);
    return queued;
}

bool notify_then_later(struct notifier *n, void (*then)(void *), void *arg, int64_t ms)
{
    pthread_mutex_lock(&n->lock);
    bool running = n->running;
    if (running) {
        struct item *it = put_locked(n, 0, "", clock_ms() + ms);
        it->then = then;
        it->arg = arg;
    }
    pthread_mutex_unlock(&n->lock);
    return running;
}

void notifier_status(struct notifier *n, struct buf *out)
{
    pthread_mutex_lock(&n->lock);
    size_t waiting = 0;
    for (unsigned i = 0; i < LANES; i++) {
        struct item *it;
        size_t count = 0;
        DL_COUNT(n->lanes[i].queue, it, count);
        waiting += count;
    }
    buf_addf(out, "kernel notifications: %llu\nkernel notifications waiting: %zu\n", n->told,
             waiting);
    pthread_mutex_unlock(&n->lock);
}
