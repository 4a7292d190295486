#include "cache/account.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/rows.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

void account_lock(struct account *a)
{
    pthread_mutex_lock(&a->lock);
}

void account_unlock(struct account *a)
{
    pthread_mutex_unlock(&a->lock);
}

struct op *account_op(struct account *a, struct op *op, void (*done)(struct op *))
{
    op->ctx = a;
    op->done = done;
    return op;
}

/* account_open() is the one place that waits. */
struct opening {
    struct waiter w;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool woken;
    int err;
};

static void opening_wake(struct waiter *w, int err)
{
    struct opening *o = (struct opening *)w;
    pthread_mutex_lock(&o->lock);
    o->woken = true;
    o->err = err;
    pthread_cond_signal(&o->cond);
    pthread_mutex_unlock(&o->lock);
}

static int list_and_wait(struct account *a)
{
    struct opening o = {.w.wake = opening_wake};
    pthread_mutex_init(&o.lock, NULL);
    pthread_cond_init(&o.cond, NULL);
    int err = account_refresh_tree(a, TRUST_SERVER, clock_ms(), &o.w);
    if (err == -EINPROGRESS) {
        pthread_mutex_lock(&o.lock);
        while (!o.woken)
            pthread_cond_wait(&o.cond, &o.lock);
        pthread_mutex_unlock(&o.lock);
        err = o.err;
    }
    pthread_cond_destroy(&o.cond);
    pthread_mutex_destroy(&o.lock);
    return err;
}

/* Makes a mailbox below the account's top the root of the mount. */
static int choose_root(struct account *a, const char *path, struct buf *why)
{
    account_lock(a);
    bool found = tree_choose_top(a, path);
    account_unlock(a);
    if (found)
        return 0;
    buf_addf(why, "there is no mailbox %s on the server", path);
    return -ENOENT;
}

struct account *account_open(const struct account_config *config, const struct account_hooks *hooks,
                             struct buf *why)
{
    static const struct pool_events events = {.row = rows_on_row,
                                              .changed = rows_on_change,
                                              .vanished = rows_on_vanished,
                                              .status = watch_on_status,
                                              .folders = watch_on_folders,
                                              .deaf = watch_on_deaf,
                                              .batch = sync_on_batch};
    struct account *a = mem_zalloc(sizeof *a);
    a->config = config;
    a->hooks = *hooks;
    pthread_mutex_init(&a->lock, NULL);
    watch_init(a);
    tree_init(a);
    a->pool = pool_open(&config->pool, &events, a, why);
    int err = a->pool ? 0 : -EIO;
    if (!err) {
        err = list_and_wait(a);
        if (err)
            buf_addf(why, "the server does not list its mailboxes: %s",
                     err == -EPROTO ? "its answer has no end" : strerror(-err));
    }
    if (!err && config->mailbox)
        err = choose_root(a, config->mailbox, why);
    if (!err && !account_has_trash(a)) {
        buf_addf(why, "there is no folder for deleted mail (trash=%s)", config->trash);
        err = -ENOENT;
    }
    if (!err && (err = watch_start(a)) != 0)
        buf_addf(why, "cannot start a thread: %s", strerror(-err));
    if (!err)
        return a;
    account_stop(a);
    account_free(a);
    return NULL;
}

void account_stop(struct account *a)
{
    watch_stop(a);
    if (a->pool)
        pool_stop(a->pool);
    account_lock(a);
    struct waiter *syncs = sync_take_waiters(a), *orphans = sync_take_orphans(a);
    struct waiter *listings = listing_take_waiters(a);
    account_unlock(a);
    wake_all(syncs, -ENOTCONN);
    wake_all(orphans, -ENOTCONN);
    wake_all(listings, -ENOTCONN);
}

void account_free(struct account *a)
{
    pool_free(a->pool);
    bodies_free(a);
    headers_free(a);
    prefetch_free(a);
    moved_free(a);
    tree_free(a);
    watch_free(a);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void account_status(struct account *a, struct buf *out)
{
    pool_status(a->pool, out);
    account_lock(a);
    size_t loaded = 0, messages = 0, bytes = 0;
    for (struct folder *f = tree_first(a); f; f = tree_next(f)) {
        loaded += f->facts.loaded;
        messages += f->facts.msgs.live;
        bytes += msgtable_bytes(&f->facts.msgs);
    }
    buf_addf(out,
             "folders: %zu\nfolders loaded: %zu\nmessages known: %zu\n"
             "message table bytes: %zu\nbody cache bytes: %zu\nbody bytes in flight: %zu\n"
             "body bytes ahead in a stream: %" PRIu64 "\n"
             "reads: %" PRIu64 "\nreads from memory: %" PRIu64 "\nbody fetches: %" PRIu64 "\n"
             "bytes fetched ahead: %" PRIu64 "\nbytes fetched ahead in flight: %zu\n"
             "bytes fetched ahead and not read: %" PRIu64
             "\nmessages of another size than announced: "
             "%" PRIu64 "\nwake-ups of the watcher: %" PRIu64 "\n",
             a->tree.n, loaded, messages, bytes, a->bodies.bytes, a->bodies.inflight,
             a->bodies.stream_ahead, a->bodies.n_reads, a->bodies.n_read_hits, a->bodies.n_fetches,
             a->ahead.n_bytes, a->ahead.inflight, walk_unread(&a->ahead.walks),
             a->bodies.n_wrong_sizes, a->watch.n_wakeups);
    account_unlock(a);
}
