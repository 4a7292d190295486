/* Three lanes, a worker each. The kernel tells of a name under the lock of its directory, which a
 * rename(2) or unlink(2) there holds until the server has answered. Attributes are told without it,
 * so they, and the readers that wait for them, never stand behind such a name, nor behind those
 * that are told later. */
#include "fs/notify.h"

#include <stdlib.h>
#include <string.h>

#include "fs/worker.h"
#include "imap/base/buf.h"
#include "imap/base/clock.h"
#include "imap/base/mem.h"

struct item {
    struct work work;
    fuse_ino_t ino;   /* of the parent, when there is a name */
    fuse_ino_t child; /* that the name no longer means; 0: whatever it means */
    void (*then)(void *);
    void *arg;
    char name[]; /* empty: attributes of ino */
};

/* In the order in which they end: readers first, since whoever holds the lane of names back may
 * wait for one. */
enum { ATTRS, LATER, NAMES, LANES };

struct notifier {
    void (*telling)(void *ctx, fuse_ino_t ino);
    void *ctx;
    struct fuse_session *se;
    struct worker *lanes[LANES];
};

static void tell(void *ctx, struct work *work)
{
    struct notifier *n = ctx;
    struct item *it = (struct item *)work;
    /* What the kernel answers is of no interest: it may never have heard of the file. */
    if (it->then) {
        it->then(it->arg);
    } else if (it->child) {
        fuse_lowlevel_notify_delete(n->se, it->ino, it->child, it->name, strlen(it->name));
    } else if (it->name[0]) {
        fuse_lowlevel_notify_inval_entry(n->se, it->ino, it->name, strlen(it->name));
    } else {
        n->telling(n->ctx, it->ino);
        fuse_lowlevel_notify_inval_inode(n->se, it->ino, -1, 0);
    }
    free(it);
}

/* Who waits for something to be told goes on all the same. */
static void forget(void *ctx, struct work *work)
{
    struct item *it = (struct item *)work;
    (void)ctx;
    if (it->then)
        it->then(it->arg);
    free(it);
}

struct notifier *notifier_new(void (*telling)(void *ctx, fuse_ino_t ino), void *ctx)
{
    struct notifier *n = mem_zalloc(sizeof *n);
    n->telling = telling;
    n->ctx = ctx;
    for (unsigned i = 0; i < LANES; i++)
        n->lanes[i] = worker_new(tell, forget, n);
    return n;
}

int notifier_start(struct notifier *n, struct fuse_session *se)
{
    int err = 0;
    n->se = se;
    for (unsigned i = 0; i < LANES && !err; i++)
        err = worker_start(n->lanes[i]);
    return err;
}

void notifier_stop(struct notifier *n)
{
    for (unsigned i = 0; i < LANES; i++)
        worker_close(n->lanes[i]);
    for (unsigned i = 0; i < LANES; i++)
        worker_stop(n->lanes[i]);
}

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    for (unsigned i = 0; i < LANES; i++)
        worker_free(n->lanes[i]);
    free(n);
}

static struct item *item_new(fuse_ino_t ino, const char *name)
{
    size_t len = strlen(name) + 1;
    struct item *it = mem_zalloc(sizeof *it + len);
    it->ino = ino;
    memcpy(it->name, name, len);
    return it;
}

void notify_gone(struct notifier *n, fuse_ino_t parent, const char *name, fuse_ino_t child)
{
    struct item *it = item_new(parent, name);
    it->child = child;
    if (!worker_put(n->lanes[NAMES], &it->work))
        free(it);
}

void notify_entry(struct notifier *n, fuse_ino_t parent, const char *name)
{
    notify_gone(n, parent, name, 0);
}

void notify_attr(struct notifier *n, fuse_ino_t ino)
{
    struct item *it = item_new(ino, "");
    if (!worker_put(n->lanes[ATTRS], &it->work))
        free(it);
}

void notify_attr_later(struct notifier *n, fuse_ino_t ino, int64_t ms)
{
    struct item *it = item_new(ino, "");
    it->work.due = clock_ms() + ms;
    if (!worker_put(n->lanes[LATER], &it->work))
        free(it);
}

static struct item *then_new(void (*then)(void *), void *arg)
{
    struct item *it = item_new(0, "");
    it->then = then;
    it->arg = arg;
    return it;
}

bool notify_then(struct notifier *n, void (*then)(void *), void *arg)
{
    if (!worker_has_work(n->lanes[ATTRS]))
        return false; /* as for nearly every read(2), which is to cost no item */
    struct item *it = then_new(then, arg);
    bool queued = worker_put_behind(n->lanes[ATTRS], &it->work);
    if (!queued)
        free(it);
    return queued;
}

bool notify_then_later(struct notifier *n, void (*then)(void *), void *arg, int64_t ms)
{
    struct item *it = then_new(then, arg);
    it->work.due = clock_ms() + ms;
    bool queued = worker_put(n->lanes[LATER], &it->work);
    if (!queued)
        free(it);
    return queued;
}

void notifier_status(struct notifier *n, struct buf *out)
{
    struct worker_counts all = {0};
    for (unsigned i = 0; i < LANES; i++) {
        struct worker_counts counts = worker_counts(n->lanes[i]);
        all.run += counts.run;
        all.waiting += counts.waiting;
    }
    buf_addf(out, "kernel notifications: %llu\nkernel notifications waiting: %zu\n", all.run,
             all.waiting);
}
