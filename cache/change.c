/* Changes made through this mount: one operation each, and what its success means for what is
 * known. Nothing known changes before the server has confirmed it. */
#include "cache/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "imap/log.h"
#include "imap/mem.h"

/* A change under way: numbers, never pointers, because anything may be gone when it ends. */
struct change {
    struct account *a;
    struct waiter *w;
    uint32_t gen, uid;   /* of the message */
    uint32_t folder;     /* the folder to be changed */
    uint32_t dest, dest_gen;
    char *name;          /* what the user calls it from now on */
    char *wire;          /* ... on the wire */
    char delim;
};

static struct change *change_new(struct account *a, struct waiter *w)
{
    struct change *c = mem_zalloc(sizeof *c);
    c->a = a;
    c->w = w;
    return c;
}

static struct op *change_op(struct change *c, enum op_kind kind, const struct folder *f,
                            void (*done)(struct op *))
{
    struct op *op = op_new(kind, f->wire, f->uidvalidity);
    op->ctx = c;
    op->done = done;
    return op;
}

/* Tells the result; the lock must not be held. */
static void change_end(struct change *c, struct op *op, int err)
{
    c->w->wake(c->w, err);
    free(c->name);
    free(c->wire);
    free(c);
    op_free(op);
}

/* The op of a message, prepared; NULL when it is gone. */
static struct op *message_op(struct change *c, uint32_t gen, uint32_t uid, enum op_kind kind,
                             void (*done)(struct op *))
{
    struct folder *f;
    const struct msg *m = msg_by_number(c->a, gen, uid, &f);
    if (!m)
        return NULL;
    c->gen = f->gen;
    c->uid = m->uid;
    struct op *op = change_op(c, kind, f, done);
    op->uid = m->uid;
    for (size_t i = 0; i < f->own_deleted.n; i++)
        uidset_add(&op->spare, f->own_deleted.r[i].lo, f->own_deleted.r[i].hi);
    return op;
}

/* The UIDs of a folder are void under a new UIDVALIDITY: it is loaded anew. */
static void check_stale(struct account *a, uint32_t gen, int err)
{
    struct folder *f = folder_by_gen(a, gen);
    if (f && err == -ESTALE)
        folder_reset(a, f);
    else if (f && err == -ENOENT)
        f->synced_at = 0;
}

/* ---- move ---- */

/* Puts the moved message where it is now, if that folder is loaded and nothing is in doubt. */
static void arrive(struct folder *d, const struct op *op, const struct msg *was, const char *label)
{
    bool sure = op->new_uid && d->loaded && op->new_uidvalidity == d->uidvalidity;
    struct msg *m = sure ? msgtable_add(&d->msgs, op->new_uid) : NULL;
    if (!m) {
        d->synced_at = 0;
        d->probe = 0; /* what was not there a moment ago may be there now */
        return;
    }
    m->date = was->date;
    m->size = was->size;
    /* Keywords are numbered by folder: they come with the next look. */
    m->flags = was->flags & (FLAG_SYSTEM | MSG_NAMED | MSG_SIZED);
    if (was->flags & MSG_KEYWORD_MASK)
        d->dirty |= CHANGE_FLAGS;
    msgtable_set_label(&d->msgs, m, label, strlen(label));
    if (d->uidnext == op->new_uid)
        d->uidnext++;
}

static void moved_message(struct change *c, const struct op *op)
{
    struct account *a = c->a;
    struct folder *f = folder_by_gen(a, c->gen);
    struct folder *d = folder_by_id(a, c->dest);
    struct msg *m = f ? msgtable_find(&f->msgs, c->uid) : NULL;
    if (!m)
        return;
    struct msg was = *m;
    char *label = mem_strdup(msgtable_label(&f->msgs, m));
    if (d)
        arrive(d, op, &was, label);
    if (d && op->new_uid)
        moved_note(a, c->gen, c->uid, d->gen, op->new_uid, c->name);
    if (d && c->name)
        a->hooks.entry_stale(a->hooks.ctx, d->id, c->name);
    msg_drop(a, f, m);
    free(label);
}

static void on_moved(struct op *op)
{
    struct change *c = op->ctx;
    account_lock(c->a);
    if (!op->err)
        moved_message(c, op);
    check_stale(c->a, c->gen, op->err);
    account_unlock(c->a);
    change_end(c, op, op->err);
}

static int submit_move(struct account *a, uint32_t gen, uint32_t uid, struct folder *d,
                       const char *name, struct waiter *w)
{
    struct change *c = change_new(a, w);
    struct op *op = message_op(c, gen, uid, OP_MOVE, on_moved);
    if (!op) {
        free(c);
        return -ESTALE;
    }
    c->dest = d->id;
    c->name = name ? mem_strdup(name) : NULL;
    op->dest = mem_strdup(d->wire);
    pool_submit(a->pool, op);
    return -EINPROGRESS;
}

int account_move(struct account *a, uint32_t gen, uint32_t uid, uint32_t dest, const char *name,
                 struct waiter *w)
{
    account_lock(a);
    struct folder *d = folder_by_id(a, dest);
    int err = !d ? -ESTALE : d->noselect ? -EPERM : submit_move(a, gen, uid, d, name, w);
    account_unlock(a);
    return err;
}

/* ---- delete ---- */

static void on_deleted(struct op *op)
{
    struct change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    struct folder *f = folder_by_gen(a, c->gen);
    struct msg *m = f ? msgtable_find(&f->msgs, c->uid) : NULL;
    if (m && !op->err && op->expunged) {
        msg_drop(a, f, m);
    } else if (m && !op->err) {
        struct msg_info info;
        msg_describe(f, m, &info);
        m->flags |= FLAG_DELETED;
        uidset_add(&f->own_deleted, c->uid, c->uid);
        a->hooks.msg_gone(a->hooks.ctx, &info);
    }
    check_stale(a, c->gen, op->err);
    account_unlock(a);
    change_end(c, op, op->err);
}

/* Where deleted mail goes; NULL: nowhere. *err when there ought to be such a folder and is not. */
static struct folder *trash_folder(struct account *a, int *err)
{
    const char *trash = a->config->trash;
    *err = 0;
    if (!trash || strcmp(trash, "no") == 0)
        return NULL;
    struct folder *f = NULL;
    if (strcmp(trash, "auto") == 0) {
        for (f = a->by_id; f; f = f->by_id.next)
            if (strcasecmp(f->special_use, "\\Trash") == 0)
                break;
    } else {
        f = tree_path(a, trash);
    }
    if (!f) {
        log_error("there is no trash folder (-o trash=%s): nothing is deleted", trash);
        *err = -ENOENT;
    }
    return f;
}

int account_delete(struct account *a, uint32_t gen, uint32_t uid, struct waiter *w)
{
    int err;
    struct folder *f;
    account_lock(a);
    struct folder *trash = trash_folder(a, &err);
    if (!err && !msg_by_number(a, gen, uid, &f))
        err = -ESTALE;
    if (!err && trash && trash != f) {
        err = submit_move(a, gen, uid, trash, NULL, w);
    } else if (!err) {
        struct change *c = change_new(a, w);
        pool_submit(a->pool, message_op(c, gen, uid, OP_DELETE, on_deleted));
        err = -EINPROGRESS;
    }
    account_unlock(a);
    return err;
}

/* ---- flags, quota ---- */

static void on_plain_done(struct op *op)
{
    struct change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    struct folder *f = folder_by_id(a, c->folder);
    if (f && op->kind == OP_QUOTA && !op->err) {
        f->quota_used = op->quota_used;
        f->quota_limit = op->quota_limit;
    }
    if (op->kind == OP_STORE)
        check_stale(a, c->gen, op->err);
    account_unlock(a);
    change_end(c, op, op->err);
}

int account_store(struct account *a, uint32_t gen, uint32_t uid, const char *text,
                  struct waiter *w)
{
    struct change *c = change_new(a, w);
    account_lock(a);
    struct op *op = message_op(c, gen, uid, OP_STORE, on_plain_done);
    if (op) {
        op->text = mem_strdup(text);
        pool_submit(a->pool, op);
    }
    account_unlock(a);
    if (!op)
        free(c);
    return op ? -EINPROGRESS : -ESTALE;
}

int account_quota(struct account *a, uint32_t folder, struct waiter *w)
{
    int err = -ESTALE;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (f && f->noselect)
        f = folder_by_wire(a, "INBOX");
    if (f) {
        struct change *c = change_new(a, w);
        c->folder = folder;
        pool_submit(a->pool, change_op(c, OP_QUOTA, f, on_plain_done));
        err = -EINPROGRESS;
    }
    account_unlock(a);
    return err;
}

/* ---- folders ---- */

static void on_created(struct op *op)
{
    struct change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    struct folder *parent = folder_by_id(a, c->folder);
    if (!op->err && parent)
        tree_insert(a, parent, c->wire, c->delim);
    else
        a->tree_at = 0;
    account_unlock(a);
    change_end(c, op, op->err);
}

int account_mkdir(struct account *a, uint32_t parent, const char *name, struct waiter *w)
{
    struct buf wire = {0};
    account_lock(a);
    struct folder *p = folder_by_id(a, parent);
    int err = p ? tree_child_wire(a, p, name, &wire) : -ESTALE;
    if (!err) {
        struct change *c = change_new(a, w);
        c->folder = parent;
        c->wire = mem_strdup(buf_str(&wire));
        c->delim = p->delim ? p->delim : a->root->delim;
        struct op *op = op_new(OP_CREATE, c->wire, 0);
        op->ctx = c;
        op->done = on_created;
        pool_submit(a->pool, op);
        err = -EINPROGRESS;
    }
    account_unlock(a);
    buf_free(&wire);
    return err;
}

/* The folders that this mount must never remove or rename. */
static bool is_fixed(const struct account *a, const struct folder *f)
{
    return f == a->root || f->id == ACCOUNT_ROOT ||
           (f->parent == a->root && strcmp(f->name, "INBOX") == 0);
}

static void on_removed(struct op *op)
{
    struct change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    struct folder *f = folder_by_id(a, c->folder);
    if (!op->err && f) {
        tree_remove(a, f);
        a->tree_changes++;
    } else {
        a->tree_at = 0;
        if (f)
            f->synced_at = 0;
    }
    struct waiter *orphans = waiters_take(&a->orphans);
    account_unlock(a);
    wake_all(orphans, 0);
    change_end(c, op, op->err);
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
    } else {
        struct change *c = change_new(a, w);
        c->folder = folder;
        struct op *op = change_op(c, OP_REMOVE, f, on_removed);
        op->noselect = f->noselect;
        op->delim = f->delim;
        for (size_t i = 0; i < f->own_deleted.n; i++)
            uidset_add(&op->spare, f->own_deleted.r[i].lo, f->own_deleted.r[i].hi);
        pool_submit(a->pool, op);
    }
    account_unlock(a);
    return err;
}

static void on_renamed(struct op *op)
{
    struct change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    struct folder *f = folder_by_id(a, c->folder), *parent = folder_by_id(a, c->dest);
    if (!op->err && f && parent)
        tree_rename(a, f, parent, c->wire);
    else
        a->tree_at = 0;
    account_unlock(a);
    change_end(c, op, op->err);
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
        struct change *c = change_new(a, w);
        c->folder = folder;
        c->dest = parent;
        c->wire = mem_strdup(buf_str(&wire));
        struct op *op = change_op(c, OP_RENAME, f, on_renamed);
        op->dest = mem_strdup(c->wire);
        op->delim = f->delim;
        pool_submit(a->pool, op);
        err = -EINPROGRESS;
    }
    account_unlock(a);
    buf_free(&wire);
    return err;
}
