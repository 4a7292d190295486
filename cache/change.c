#include "cache/change.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/wire/flags.h"

/* A change under way: numbers, never pointers, because anything may be gone when it ends. */
struct change {
    struct account *a;
    struct waiter *w;
    uint32_t gen, uid; /* of the message */
    struct msg was;    /* the message as it was when the change was asked for */
    char *label;       /* the label that it had */
    uint32_t dest;     /* the folder that it goes to */
    char *name;        /* what the user calls it from now on */
    uint32_t name_of;  /* the UID whose message is called so by itself; 0: none */
};

/* A message with a change under way. A second one has to wait, or it would act on what the first is
 * just taking away: an interrupted mv that is typed again must not copy twice. */
struct pending {
    uint64_t number; /* generation and UID */
    bool vanished;   /* the server says that it is gone; by this change, if it succeeds */
    UT_hash_handle hh;
};

static struct pending *find_pending(struct account *a, uint32_t gen, uint32_t uid)
{
    uint64_t number = msg_number(gen, uid);
    struct pending *p;
    HASH_FIND(hh, a->changes.pending, &number, sizeof number, p);
    return p;
}

bool change_vanished(struct account *a, uint32_t gen, uint32_t uid)
{
    struct pending *p = find_pending(a, gen, uid);
    if (p)
        p->vanished = true;
    return p != NULL;
}

static void pending_begin(struct account *a, uint32_t gen, uint32_t uid)
{
    struct pending *p = mem_zalloc(sizeof *p);
    p->number = msg_number(gen, uid);
    HASH_ADD(hh, a->changes.pending, number, sizeof p->number, p);
}

static void pending_end(struct account *a, uint32_t gen, uint32_t uid)
{
    struct pending *p = find_pending(a, gen, uid);
    if (!p)
        return;
    struct folder *f = p->vanished ? folder_by_gen(a, gen) : NULL;
    if (f && msgtable_find(&f->facts.msgs, uid)) {
        f->watch.hints |= CHANGE_EXPUNGE; /* the change failed, or left it there */
        watch_folder(a, f);
    }
    HASH_DEL(a->changes.pending, p);
    free(p);
}

static struct change *change_new(struct account *a, struct waiter *w)
{
    struct change *c = mem_zalloc(sizeof *c);
    c->a = a;
    c->w = w;
    return c;
}

static struct op *change_op(struct change *c, struct op *op, void (*done)(struct op *))
{
    op->ctx = c;
    op->done = done;
    return op;
}

/* Tells the result; the lock must not be held. */
static void change_end(struct change *c, struct op *op, int err)
{
    c->w->wake(c->w, err);
    free(c->label);
    free(c->name);
    free(c);
    op_free(op);
}

/* Finds a message that nothing else is being done to. */
static int find_message(struct account *a, uint32_t gen, uint32_t uid, struct folder **f,
                        struct msg **m)
{
    *m = msg_by_number(a, gen, uid, f);
    if (!*m)
        return -ESTALE;
    return find_pending(a, (*f)->gen, (*m)->uid) ? -EBUSY : 0;
}

/* Begins a change that takes the message away from where it is. */
static void take_away(struct change *c, const struct folder *f, const struct msg *m)
{
    c->gen = f->gen;
    c->uid = m->uid;
    c->was = *m;
    c->label = mem_strdup(msgtable_label(&f->facts.msgs, m));
    pending_begin(c->a, c->gen, c->uid);
}

/* The UIDs of a folder are void under a new UIDVALIDITY: it is loaded anew. */
static void check_stale(struct account *a, uint32_t gen, int err)
{
    struct folder *f = folder_by_gen(a, gen);
    if (f && err == -ESTALE) {
        sync_reset(a, f);
        folder_tell(a, f);
    } else if (f && err == -ENOENT) {
        fresh_expire(&f->fresh);
    }
}

/* ---- move ---- */

/* Is the new UID one of the folder that is known? Under which UIDVALIDITY the UIDs are of a folder
 * of which nothing is known yet, COPYUID is the first to tell. */
static bool is_of(struct folder *d, uint32_t new_uid, uint32_t new_uidvalidity)
{
    if (!new_uid || !new_uidvalidity)
        return false;
    if (!d->facts.uidvalidity && !d->facts.loaded && !d->sync && !d->facts.msgs.n)
        d->facts.uidvalidity = new_uidvalidity;
    return d->facts.uidvalidity == new_uidvalidity;
}

/* A message that the server has not described yet where it is now is presumed to be there what it
 * was, or still is, where it came from. */
static void presume(struct change *c, struct folder *d, struct msg *m, bool is_new)
{
    struct folder *from = folder_by_gen(c->a, c->gen);
    const struct msg *was = from ? msgtable_find(&from->facts.msgs, c->uid) : NULL;
    const char *label = was ? msgtable_label(&from->facts.msgs, was) : c->label;
    if (!was)
        was = &c->was;
    m->date = was->date;
    m->size = was->size;
    m->resized = was->resized;
    m->flags |= was->flags & (MSG_NAMED | MSG_SIZED);
    msgtable_set_label(&d->facts.msgs, m, label, strlen(label));
    if (!is_new)
        return; /* its flags were told, perhaps */
    m->flags |= was->flags & FLAG_SYSTEM & ~(uint32_t)FLAG_DELETED;
    if (from) /* each folder numbers its sets of keywords */
        m->flags |= keywords_number_of_text(&d->facts.keywords,
                                            keywords_text(&from->facts.keywords, msg_keywords(was)))
                    << MSG_KEYWORDS_SHIFT;
}

/* The folder is another one than is known, or it is not said where in it the message is. */
static void arrive_unseen(struct account *a, struct folder *d, uint32_t new_uid)
{
    fresh_forget(&d->fresh); /* what was not there may be there now */
    if (new_uid && d->facts.uidvalidity)
        watch_poll(a, d);
}

/* Puts the moved message where it is now, if it is certain where that is. UIDNEXT stays as it is,
 * so that the next sync asks for the message as for all that is new, and presumes nothing. */
static void arrive(struct change *c, struct folder *d, const struct op_move *op, uint32_t new_uid)
{
    struct account *a = c->a;
    bool sure = is_of(d, new_uid, op->copies_validity),
         is_new = sure && !msgtable_knows(&d->facts.msgs, new_uid);
    struct msg *m = sure ? folder_add(d, new_uid) : NULL;
    if (!m) {
        arrive_unseen(a, d, new_uid);
        return;
    }
    if (new_uid < UINT32_MAX) {
        /* It got the next one there was. */
        fresh_none_from(&d->fresh, new_uid + 1, op->op.submitted);
    }
    if (!(m->flags & MSG_NAMED)) {
        presume(c, d, m, is_new);
        d->news.version++;
        if (m->flags & MSG_NAMED && msg_visible(m))
            folder_event(a, d, m, EVENT_NEW);
        else if (d->facts.uidnext == new_uid && new_uid < UINT32_MAX)
            d->facts.uidnext++; /* not described where it was, it will not be here: nobody waits for
                                   it */
    }
    a->hooks.msg_came(a->hooks.ctx, folder_id(a, d), new_uid);
}

/* The message is not where it was: gone, or flagged \Deleted where nothing more could be done. */
static void leave(struct change *c, bool expunged)
{
    struct account *a = c->a;
    struct folder *f = folder_by_gen(a, c->gen);
    struct msg *m = f ? msgtable_find(&f->facts.msgs, c->uid) : NULL;
    if (!m)
        return;
    if (expunged) {
        msg_drop(a, f, m);
        folder_tell(a, f);
        return;
    }
    struct msg_info info;
    msg_describe(a, f, m, &info);
    m->flags |= FLAG_DELETED;
    uidset_add(&f->facts.own_deleted, c->uid, c->uid);
    f->news.version++;
    a->hooks.msg_gone(a->hooks.ctx, &info);
    folder_event(a, f, m, EVENT_EXPUNGED);
    folder_tell(a, f);
}

static void on_moved(struct op *op)
{
    struct change *c = op->ctx;
    const struct op_move *o = op_as_move(op);
    uint32_t new_uid = uidmap_get(&o->copies, c->uid);
    struct account *a = c->a;
    account_lock(a);
    struct folder *d = folder_by_id(a, c->dest);
    if (d)
        d->arrivals--;
    if (!op->err && d) {
        arrive(c, d, o, new_uid);
        moved_note(a, c->gen, c->uid, d, new_uid, o->copies_validity, c->name, c->name_of);
        if (c->name)
            a->hooks.entry_stale(a->hooks.ctx, c->dest, c->name);
        folder_tell(a, d);
    }
    if (!op->err)
        leave(c, uidset_has(&o->gone, c->uid));
    pending_end(a, c->gen, c->uid);
    check_stale(a, c->gen, op->err);
    account_unlock(a);
    change_end(c, op, op->err);
}

static int submit_move(struct account *a, uint32_t gen, uint32_t uid, struct folder *d,
                       const char *name, uint32_t name_of, struct waiter *w)
{
    struct folder *f;
    struct msg *m;
    int err = find_message(a, gen, uid, &f, &m);
    if (err)
        return err;
    if (f == d)
        return 0; /* an earlier call has moved it there */
    if (d->removing)
        return -EBUSY;
    struct change *c = change_new(a, w);
    take_away(c, f, m);
    c->dest = folder_id(a, d);
    c->name = name ? mem_strdup(name) : NULL;
    c->name_of = name_of;
    struct op_move *op = op_move_new(f->facts.wire, f->facts.uidvalidity, d->facts.wire);
    uidset_add(&op->uids, m->uid, m->uid);
    uidset_join(&op->spare, &f->facts.own_deleted);
    if (d->facts.loaded && d->facts.uidvalidity) {
        op->dest_uidnext = d->facts.uidnext ? d->facts.uidnext : 1;
        op->dest_uidvalidity = d->facts.uidvalidity;
    }
    d->arrivals++;
    pool_submit(a->pool, change_op(c, &op->op, on_moved));
    return -EINPROGRESS;
}

int account_move(struct account *a, uint32_t gen, uint32_t uid, uint32_t dest, const char *name,
                 uint32_t name_of, struct waiter *w)
{
    account_lock(a);
    struct folder *d = folder_by_id(a, dest);
    int err = !d                  ? -ESTALE
              : d->facts.noselect ? -EPERM
                                  : submit_move(a, gen, uid, d, name, name_of, w);
    account_unlock(a);
    return err;
}

/* ---- delete ---- */

static void on_deleted(struct op *op)
{
    struct change *c = op->ctx;
    struct account *a = c->a;
    account_lock(a);
    if (!op->err)
        leave(c, uidset_has(&op_as_delete(op)->gone, c->uid));
    pending_end(a, c->gen, c->uid);
    check_stale(a, c->gen, op->err);
    account_unlock(a);
    change_end(c, op, op->err);
}

static void submit_delete(struct account *a, struct folder *f, const struct msg *m,
                          struct waiter *w)
{
    struct change *c = change_new(a, w);
    take_away(c, f, m);
    struct op_delete *op = op_delete_new(f->facts.wire, f->facts.uidvalidity);
    uidset_add(&op->uids, m->uid, m->uid);
    uidset_join(&op->spare, &f->facts.own_deleted);
    pool_submit(a->pool, change_op(c, &op->op, on_deleted));
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
        for (f = tree_first(a); f; f = tree_next(f))
            if (strcasecmp(f->facts.special_use, "\\Trash") == 0)
                break;
    } else {
        f = tree_path(a, trash);
    }
    if (!f) {
        *err = -EIO; /* not ENOENT, which rm -f takes for success */
    }
    return f;
}

bool account_has_trash(struct account *a)
{
    int err;
    account_lock(a);
    trash_folder(a, &err);
    account_unlock(a);
    return err == 0;
}
int account_delete(struct account *a, uint32_t gen, uint32_t uid, struct waiter *w)
{
    int err;
    struct folder *f;
    struct msg *m;
    account_lock(a);
    struct folder *trash = trash_folder(a, &err);
    if (err)
        log_error("there is no trash folder (-o trash=%s): nothing is deleted", a->config->trash);
    if (!err)
        err = find_message(a, gen, uid, &f, &m);
    if (!err && trash && trash != f) {
        err = submit_move(a, gen, uid, trash, NULL, 0, w);
    } else if (!err) {
        submit_delete(a, f, m, w);
        err = -EINPROGRESS;
    }
    account_unlock(a);
    return err;
}

/* ---- flags ---- */

static void on_stored(struct op *op)
{
    struct change *c = op->ctx;
    account_lock(c->a);
    check_stale(c->a, c->gen, op->err);
    account_unlock(c->a);
    change_end(c, op, op->err);
}

int account_store(struct account *a, uint32_t gen, uint32_t uid, const struct flag_change *change,
                  struct waiter *w)
{
    struct folder *f;
    account_lock(a);
    const struct msg *m = msg_by_number(a, gen, uid, &f);
    if (m) {
        struct change *c = change_new(a, w);
        c->gen = f->gen;
        struct op_store *op = op_store_new(f->facts.wire, f->facts.uidvalidity);
        uidset_add(&op->uids, m->uid, m->uid);
        flag_change_copy(&op->change, change);
        pool_submit(a->pool, change_op(c, &op->op, on_stored));
    }
    account_unlock(a);
    return m ? -EINPROGRESS : -ESTALE;
}
