#include "fs/store.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "fs/node.h"
#include "fs/worker.h"
#include "imap/base/mem.h"

struct item {
    struct work work;
    uint32_t gen, uid;
    struct blob *bytes; /* NULL: forget them */
};

struct store {
    void (*stored)(void *ctx, uint32_t gen, uint32_t uid, size_t len, bool ok);
    void *ctx;
    struct fuse_session *se;
    struct worker *worker;
    atomic_ullong taken, refused;
};

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

static void run(void *ctx, struct work *work)
{
    struct store *s = ctx;
    struct item *it = (struct item *)work;
    bool ok = tell(s, it);
    finish(s, it, ok);
    atomic_fetch_add(ok ? &s->taken : &s->refused, 1);
}

static void drop(void *ctx, struct work *work)
{
    finish(ctx, (struct item *)work, false);
}

struct store *store_new(void (*stored)(void *, uint32_t, uint32_t, size_t, bool), void *ctx)
{
    struct store *s = mem_zalloc(sizeof *s);
    s->stored = stored;
    s->ctx = ctx;
    s->worker = worker_new(run, drop, s);
    return s;
}

int store_start(struct store *s, struct fuse_session *se)
{
    s->se = se;
    return worker_start(s->worker);
}

void store_stop(struct store *s)
{
    worker_stop(s->worker);
}

void store_free(struct store *s)
{
    if (!s)
        return;
    worker_free(s->worker);
    free(s);
}

static void put(struct store *s, uint32_t gen, uint32_t uid, struct blob *bytes)
{
    struct item *it = mem_alloc(sizeof *it);
    *it = (struct item){.gen = gen, .uid = uid, .bytes = bytes};
    if (!worker_put(s->worker, &it->work)) {
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
    buf_addf(out, "messages put into the page cache: %llu\n... that were not taken: %llu\n",
             atomic_load(&s->taken), atomic_load(&s->refused));
}
