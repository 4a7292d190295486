#include "fs/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <utlist.h>

#include "fs/fs.h"
#include "imap/base/mem.h"

struct item {
    struct item *prev, *next;
    uint32_t gen, uid;
    struct blob *bytes; /* NULL: forget them */
};

struct store {
    void (*stored)(void *ctx, uint32_t gen, uint32_t uid, size_t len, bool ok);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    pthread_t thread;
    struct fuse_session *se;
    bool running, stop;
    bool idle; /* the thread waits */
    struct item *queue;
    unsigned long long taken, refused;
};

struct store *store_new(void (*stored)(void *, uint32_t, uint32_t, size_t, bool), void *ctx)
{
    struct store *s = mem_zalloc(sizeof *s);
    s->stored = stored;
    s->ctx = ctx;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->cond, NULL);
    return s;
}

/* The kernel may not know the file, or not any more: then it will ask. */
static bool tell(struct store *s, const struct item *it)
{
    fuse_ino_t ino = ino_message(it->gen, it->uid);
    if (!it->bytes)
        return fuse_lowlevel_notify_inval_inode(s->se, ino, 0, 0) == 0;
    struct fuse_bufvec v = FUSE_BUFVEC_INIT(it->bytes->len);
    v.buf[0].mem = (void *)(uintptr_t)it->bytes->data;
    return fuse_lowlevel_notify_store(s->se, ino, 0, &v, 0) == 0;
}

static void finish(struct store *s, struct item *it, bool ok)
{
    if (it->bytes)
        s->stored(s->ctx, it->gen, it->uid, it->bytes->len, ok);
    blob_unref(it->bytes);
    free(it);
}

static void *store_main(void *arg)
{
    struct store *s = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        struct item *it = s->queue;
        if (!it) {
            s->idle = true;
            pthread_cond_wait(&s->cond, &s->lock);
            continue;
        }
        s->idle = false;
        DL_DELETE(s->queue, it);
        pthread_mutex_unlock(&s->lock);
        bool ok = tell(s, it);
        finish(s, it, ok);
        pthread_mutex_lock(&s->lock);
        s->taken += ok;
        s->refused += !ok;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int store_start(struct store *s, struct fuse_session *se)
{
    s->se = se;
    int err = pthread_create(&s->thread, NULL, store_main, s);
    if (err)
        return -err;
    pthread_mutex_lock(&s->lock);
    s->running = true;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

void store_stop(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    bool running = s->running;
    s->running = false;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
    if (running)
        pthread_join(s->thread, NULL);
    while (s->queue) {
        struct item *it = s->queue;
        DL_DELETE(s->queue, it);
        finish(s, it, false);
    }
}

void store_free(struct store *s)
{
    if (!s)
        return;
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void put(struct store *s, uint32_t gen, uint32_t uid, struct blob *bytes)
{
    struct item *it = mem_alloc(sizeof *it);
    *it = (struct item){.gen = gen, .uid = uid, .bytes = bytes};
    pthread_mutex_lock(&s->lock);
    if (!s->stop)
        DL_APPEND(s->queue, it);
    bool wake = s->idle;
    s->idle = false;
    bool dropped = s->stop;
    pthread_mutex_unlock(&s->lock);
    if (wake)
        pthread_cond_signal(&s->cond);
    if (dropped) {
        blob_unref(bytes);
        free(it);
    }
}

void store_put(struct store *s, uint32_t gen, uint32_t uid, struct blob *bytes)
{
    put(s, gen, uid, bytes);
}

void store_drop(struct store *s, uint32_t gen, uint32_t uid)
{
    put(s, gen, uid, NULL);
}

void store_status(struct store *s, struct buf *out)
{
    pthread_mutex_lock(&s->lock);
    buf_addf(out, "messages put into the page cache: %llu\n... that were not taken: %llu\n",
             s->taken, s->refused);
    pthread_mutex_unlock(&s->lock);
}
