#include "fs/notify.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "imap/buf.h"
#include "imap/mem.h"

struct item {
    struct item *prev, *next;
    fuse_ino_t ino;   /* of the parent, when there is a name */
    fuse_ino_t child; /* that the name no longer means; 0: whatever it means */
    void (*then)(void *);
    void *arg;
    char name[]; /* empty: attributes of ino */
};

struct notifier {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    pthread_t thread;
    struct fuse_session *se;
    bool running, stop;
    bool busy; /* an item is being told */
    struct item *queue;
    unsigned long long told;
};

struct notifier *notifier_new(void)
{
    struct notifier *n = mem_zalloc(sizeof *n);
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->cond, NULL);
    return n;
}

static void tell(struct notifier *n, const struct item *it)
{
    /* The answer is of no interest: the kernel may never have heard of it. */
    if (it->then)
        it->then(it->arg);
    else if (it->child)
        fuse_lowlevel_notify_delete(n->se, it->ino, it->child, it->name, strlen(it->name));
    else if (it->name[0])
        fuse_lowlevel_notify_inval_entry(n->se, it->ino, it->name, strlen(it->name));
    else
        fuse_lowlevel_notify_inval_inode(n->se, it->ino, -1, 0);
}

static void *notifier_main(void *arg)
{
    struct notifier *n = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_mutex_lock(&n->lock);
    while (!n->stop) {
        struct item *it = n->queue;
        if (!it) {
            pthread_cond_wait(&n->cond, &n->lock);
            continue;
        }
        DL_DELETE(n->queue, it);
        n->busy = true;
        pthread_mutex_unlock(&n->lock);
        tell(n, it);
        free(it);
        pthread_mutex_lock(&n->lock);
        n->busy = false;
        n->told++;
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

int notifier_start(struct notifier *n, struct fuse_session *se)
{
    n->se = se;
    int err = pthread_create(&n->thread, NULL, notifier_main, n);
    if (err)
        return -err;
    pthread_mutex_lock(&n->lock);
    n->running = true;
    pthread_mutex_unlock(&n->lock);
    return 0;
}

void notifier_stop(struct notifier *n)
{
    pthread_mutex_lock(&n->lock);
    n->stop = true;
    bool running = n->running;
    n->running = false;
    pthread_cond_signal(&n->cond);
    pthread_mutex_unlock(&n->lock);
    if (running)
        pthread_join(n->thread, NULL);
    while (n->queue) {
        struct item *it = n->queue;
        DL_DELETE(n->queue, it);
        if (it->then)
            it->then(it->arg);
        free(it);
    }
}

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    pthread_cond_destroy(&n->cond);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

static struct item *put_locked(struct notifier *n, fuse_ino_t ino, const char *name)
{
    size_t len = strlen(name) + 1;
    struct item *it = mem_zalloc(sizeof *it + len);
    it->ino = ino;
    memcpy(it->name, name, len);
    DL_APPEND(n->queue, it);
    pthread_cond_signal(&n->cond);
    return it;
}

void notify_gone(struct notifier *n, fuse_ino_t parent, const char *name, fuse_ino_t child)
{
    pthread_mutex_lock(&n->lock);
    if (n->running)
        put_locked(n, parent, name)->child = child;
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

bool notify_then(struct notifier *n, void (*then)(void *), void *arg)
{
    pthread_mutex_lock(&n->lock);
    bool queued = n->running && (n->queue || n->busy);
    if (queued) {
        struct item *it = put_locked(n, 0, "");
        it->then = then;
        it->arg = arg;
    }
    pthread_mutex_unlock(&n->lock);
    return queued;
}

void notifier_status(struct notifier *n, struct buf *out)
{
    pthread_mutex_lock(&n->lock);
    size_t waiting = 0;
    struct item *it;
    DL_COUNT(n->queue, it, waiting);
    buf_addf(out, "kernel notifications: %llu\nkernel notifications waiting: %zu\n", n->told,
             waiting);
    pthread_mutex_unlock(&n->lock);
}
