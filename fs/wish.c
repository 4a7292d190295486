#include "fs/wish.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/base/mem.h"

enum {
    SOON = 10000, /* ms: between the attempts is only what they look up */
    MOST = 256,   /* of a thread that was killed in between the second one never comes */
};

struct waiting {
    struct waiting *prev, *next; /* the oldest first */
    pid_t tid;
    fuse_ino_t ino, ino2;
    char *name, *name2;
    int64_t at;
};

struct wishes {
    pthread_mutex_t lock;
    struct waiting *waiting;
    atomic_uint n; /* so that a look-up need not take the lock where there are none */
};

struct wishes *wishes_new(void)
{
    struct wishes *ws = mem_zalloc(sizeof *ws);
    pthread_mutex_init(&ws->lock, NULL);
    return ws;
}

static void drop_locked(struct wishes *ws, struct waiting *at)
{
    DL_DELETE(ws->waiting, at);
    ws->n--;
    free(at->name);
    free(at->name2);
    free(at);
}

void wishes_free(struct wishes *ws)
{
    if (!ws)
        return;
    while (ws->waiting)
        drop_locked(ws, ws->waiting);
    pthread_mutex_destroy(&ws->lock);
    free(ws);
}

void wish_put(struct wishes *ws, const struct wish *w)
{
    struct waiting *at = mem_zalloc(sizeof *at);
    at->tid = w->tid;
    at->ino = w->ino;
    at->ino2 = w->ino2;
    at->name = mem_strdup(w->name);
    at->name2 = mem_strdup(w->name2);
    at->at = clock_ms();
    pthread_mutex_lock(&ws->lock);
    if (ws->n == MOST)
        drop_locked(ws, ws->waiting);
    DL_APPEND(ws->waiting, at);
    ws->n++;
    pthread_mutex_unlock(&ws->lock);
}

bool wish_take(struct wishes *ws, const struct wish *w)
{
    struct waiting *at, *tmp;
    bool again = false;
    pthread_mutex_lock(&ws->lock);
    DL_FOREACH_SAFE (ws->waiting, at, tmp) {
        bool old = clock_ms() - at->at > SOON;
        again |= !old && at->tid == w->tid && at->ino == w->ino && at->ino2 == w->ino2 &&
                 strcmp(at->name, w->name) == 0 && strcmp(at->name2, w->name2) == 0;
        if (old || at->tid == w->tid)
            drop_locked(ws, at);
    }
    pthread_mutex_unlock(&ws->lock);
    return again;
}

enum wish_name wish_name(struct wishes *ws, pid_t tid, fuse_ino_t parent, const char *name)
{
    enum wish_name found = WISH_NONE;
    struct waiting *at;
    if (!atomic_load_explicit(&ws->n, memory_order_acquire))
        return WISH_NONE;
    pthread_mutex_lock(&ws->lock);
    DL_FOREACH (ws->waiting, at) {
        if (at->tid != tid || clock_ms() - at->at > SOON)
            continue;
        if (at->ino2 == parent && strcmp(at->name2, name) == 0)
            found = WISH_TARGET;
        else if (at->ino == parent && strcmp(at->name, name) == 0)
            found = WISH_SOURCE;
    }
    pthread_mutex_unlock(&ws->lock);
    return found;
}
