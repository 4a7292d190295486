#include "cache/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/mem.h"

/* A change of a folder, or a question about one, under way: numbers, never pointers, because
 * anything may be gone when it ends. */
struct folder_change {
    struct account *a;
    struct waiter *w;
    uint32_t folder; /* the folder to be changed, or its parent */
    uint32_t dest;   /* its new parent */
    char *wire;      /* its new name on the wire */
    char delim;
};

static struct folder_change *begin(struct account *a, struct waiter *w, uint32_t folder)
{
    struct folder_change *c = mem_zalloc(sizeof *c);
    c->a = a;
    c->w = w;
    c->folder = folder;
    return c;
}

static struct op *set_out(struct folder_change *c, struct op *op, void (*done)(struct op *))
{
    op->ctx = c;
    op->done = done;
    return op;
}

/* Tells the result; the lock must not be held. */
static void end(struct folder_change *c, struct op *op, int err)
{
    c->w->wake(c->w, err);
    free(c->wire);
    free(c);
    op_free(op);
}

/* ---- quota ---- */

static void on_quota(struct op *op)
{
    struct folder_change *c = op->ctx;
    account_lock(c->a);
    struct folder *f = folder_by_id(c->a, c->folder);
    if (f && !op->err) {
        f->facts.quota_used = op_as_quota(op)->used;
        f->facts.quota_limit = op_as_quota(op)->limit;
    }
    account_unlock(c->a);
    end(c, op, op->err);
}

int account_quota(struct account *a, uint32_t folder, struct waiter *w)
{
    int err = -ESTALE;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (f && f->facts.noselect)
        f = folder_by_wire(a, "INBOX");
    if (f) {
        struct folder_change *c = begin(a, w, folder);
        pool_submit(a->pool, set_out(c, &op_quota_new(f->facts.wire)->op, on_quota));
        err = -EINPROGRESS;
    }
    account_unlock(a);
    return err;
}

/* ---- folders ---- */

static void on_created(struct op *op)
{
    struct folder_change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    struct folder *parent = folder_by_id(a, c->folder);
    if (!op->err && parent)
        tree_insert(a, parent, c->wire, c->delim);
    else
        listing_expire(a);
    account_unlock(a);
    end(c, op, op->err);
}

int account_mkdir(struct account *a, uint32_t parent, const char *name, struct waiter *w)
{
    struct buf wire = {0};
    account_lock(a);
    struct folder *p = folder_by_id(a, parent);
    int err = p ? tree_child_wire(a, p, name, &wire) : -ESTALE;
    if (!err) {
        struct folder_change *c = begin(a, w, parent);
        c->wire = mem_strdup(buf_str(&wire));
        c->delim = p->facts.delim ? p->facts.delim : a->tree.root->facts.delim;
        pool_submit(a->pool, set_out(c, &op_create_new(c->wire)->op, on_created));
        err = -EINPROGRESS;
    }
    account_unlock(a);
    buf_free(&wire);
    return err;
}

static void on_made(struct op *op)
{
    struct folder_change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    struct folder *f = folder_by_id(a, c->folder);
    if (!op->err && f) {
        tree_noselect(a, f, false);
        listing_changed(a);
    } else {
        listing_expire(a);
    }
    account_unlock(a);
    /* There already, which LIST knew nothing of: a mailbox that holds no messages. */
    end(c, op, op->err == -EEXIST ? -EPERM : op->err);
}

int account_make(struct account *a, uint32_t folder, struct waiter *w)
{
    int err = -EINPROGRESS;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (!f) {
        err = -ESTALE;
    } else if (f == a->tree.root) {
        err = -EPERM;
    } else {
        struct folder_change *c = begin(a, w, folder);
        pool_submit(a->pool, set_out(c, &op_create_new(f->facts.wire)->op, on_made));
    }
    account_unlock(a);
    return err;
}

/* The folders that this mount must never remove or rename. */
static bool is_fixed(const struct account *a, const struct folder *f)
{
    return f == a->tree.root || f == a->tree.top ||
           (f->parent == a->tree.root && strcmp(f->facts.name, "INBOX") == 0);
}

static void on_removed(struct op *op)
{
    struct folder_change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    struct folder *f = folder_by_id(a, c->folder);
    if (!op->err && f) {
        struct folder *parent = f->parent;
        tree_remove(a, f);
        folder_tell(a, parent);
        listing_changed(a);
    } else {
        listing_expire(a);
        if (f) {
            fresh_expire(&f->fresh);
            f->removing = false;
        }
    }
    struct waiter *orphans = sync_take_orphans(a);
    account_unlock(a);
    wake_all(orphans, 0);
    end(c, op, op->err);
}

int account_rmdir(struct account *a, uint32_t folder, struct waiter *w)
{
    int err = -EINPROGRESS;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (!f) {
        err = -ESTALE;
    } else if (is_fixed(a, f)) {
        err = -EPERM;
    } else if (f->children) {
        err = -ENOTEMPTY;
    } else if (f->removing || f->arrivals) {
        err = -EBUSY; /* a message is on its way into it */
    } else {
        struct folder_change *c = begin(a, w, folder);
        struct op_remove *op = op_remove_new(f->facts.wire, f->facts.uidvalidity, f->facts.delim);
        f->removing = true;
        uidset_join(&op->spare, &f->facts.own_deleted);
        pool_submit(a->pool, set_out(c, &op->op, on_removed));
    }
    account_unlock(a);
    return err;
}

static void on_renamed(struct op *op)
{
    struct folder_change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    struct folder *f = folder_by_id(a, c->folder), *parent = folder_by_id(a, c->dest);
    if (!op->err && f && parent)
        tree_rename(a, f, parent, c->wire);
    else
        listing_expire(a);
    listing_rename_end(a);
    account_unlock(a);
    end(c, op, op->err);
}

int account_rename(struct account *a, uint32_t folder, uint32_t parent, const char *name,
                   struct waiter *w)
{
    struct buf wire = {0};
    account_lock(a);
    struct folder *f = folder_by_id(a, folder), *p = folder_by_id(a, parent);
    int err = !f || !p ? -ESTALE : is_fixed(a, f) ? -EPERM : 0;
    for (const struct folder *up = p; up && !err; up = up->parent)
        if (up == f)
            err = -EINVAL; /* into itself */
    if (!err)
        err = tree_child_wire(a, p, name, &wire);
    if (!err) {
        struct folder_change *c = begin(a, w, folder);
        c->dest = parent;
        c->wire = mem_strdup(buf_str(&wire));
        struct op_rename *op = op_rename_new(f->facts.wire, c->wire, f->facts.delim);
        listing_rename_begin(a);
        pool_submit(a->pool, set_out(c, &op->op, on_renamed));
        err = -EINPROGRESS;
    }
    account_unlock(a);
    buf_free(&wire);
    return err;
}
