/* What LIST says becomes the tree. What one LIST leaves out, and what this mount changes while one
 * is under way, has another one asked. */
#include "cache/listing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

/* ---- applying a LIST ---- */

struct listing {
    struct account *a;
    bool confirms;    /* what the one before left out */
    uint64_t changes; /* listings.changes when it was asked for */
    int64_t began;
    bool full;           /* there were more than LIMIT_MAILBOXES */
    bool no_memory;      /* for one of them */
    struct listed *rows; /* uthash, in the order in which they came */
};

struct listed {
    UT_hash_handle hh;
    bool noselect, noinferiors;
    bool nonexistent, has_children;
    char delim;
    char special_use[32];
    char wire[]; /* the key */
};

static void read_attrs(struct listed *l, const struct arg *attrs)
{
    static const char *const uses[] = {"\\All",  "\\Archive", "\\Drafts", "\\Flagged",
                                       "\\Junk", "\\Sent",    "\\Trash",  "\\Important"};
    for (const struct arg *at = attrs; at; at = at->next) {
        if (arg_is(at, "\\Noselect") || arg_is(at, "\\NonExistent"))
            l->noselect = true;
        l->nonexistent |= arg_is(at, "\\NonExistent");
        l->has_children |= arg_is(at, "\\HasChildren");
        if (arg_is(at, "\\Noinferiors"))
            l->noinferiors = true;
        for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
            if (arg_is(at, uses[i]))
                snprintf(l->special_use, sizeof l->special_use, "%s", uses[i]);
    }
}

/* Named twice, what was said last counts. */
static bool on_listed(struct op_list *op, struct str name, char delim, const struct arg *attrs)
{
    struct listing *l = op->op.ctx;
    struct listed *row;
    if (memchr(name.p, '\0', name.n) || memchr(name.p, '\r', name.n) ||
        memchr(name.p, '\n', name.n)) {
        static struct log_limit limit = LOG_LIMIT("mailboxes with such names");
        if (log_may(&limit))
            log_warn("a mailbox whose name holds a line break or NUL is left out");
        return false;
    }
    HASH_FIND(hh, l->rows, name.p, name.n, row);
    bool is_new = !row;
    if (is_new && HASH_CNT(hh, l->rows) == LIMIT_MAILBOXES) {
        if (!l->full)
            log_warn("more than %u mailboxes: the rest is left out", LIMIT_MAILBOXES);
        l->full = true;
        return false;
    }
    if (is_new) {
        size_t size = sizeof *row + name.n + 1;
        row = l->no_memory ? NULL : mem_try(NULL, size);
        l->no_memory = !row;
        if (!row)
            return false;
        memset(row, 0, size);
        memcpy(row->wire, name.p, name.n);
        HASH_ADD(hh, l->rows, wire, name.n, row);
    }
    row->delim = delim;
    row->noselect = row->noinferiors = row->nonexistent = row->has_children = false;
    row->special_use[0] = '\0';
    read_attrs(row, attrs);
    return is_new;
}

/* Is the folder, or something below it, named in the LIST? Notes that for all below it. */
static bool mark_named(struct folder *f)
{
    struct folder *child;
    f->has_named = f->named;
    DL_FOREACH (f->children, child)
        f->has_named |= mark_named(child);
    return f->has_named;
}

/* What a LIST leaves out is gone only if the next one leaves it out, too: Dovecot 2.3, while
 * another mailbox is being renamed, now and then LISTs little of what there is. Returns whether to
 * ask. */
static bool sweep(struct account *a, struct folder *parent)
{
    struct folder *f, *tmp;
    bool ask = false;
    DL_FOREACH_SAFE (parent->children, f, tmp) {
        bool confirmed = !f->named && f->missing;
        if (f->has_named)
            ask |= sweep(a, f);
        if (!f->named && !f->missing)
            ask |= !f->has_named || !f->facts.noselect;
        f->missing = !f->named;
        if (confirmed && !f->has_named)
            tree_remove(a, f);
        else if (confirmed)
            tree_noselect(a, f, true); /* it is above others that were named */
    }
    return ask;
}

static unsigned levels(const char *wire, char delim)
{
    unsigned n = 1;
    for (; delim && *wire; wire++)
        n += *wire == delim;
    return n;
}

/* The mailbox that is the root of the mount was gone, and may be back. */
static void find_top(struct account *a)
{
    if (!a->tree.top && tree_choose_top(a, a->config->mailbox))
        a->hooks.folder_changed(a->hooks.ctx, ACCOUNT_ROOT);
}

/* Sets `ask` if another LIST must confirm what this one left out. Without memory for a folder
 * -ENOMEM, and none is taken for gone. */
static int apply_listing(struct account *a, const struct listing *l, bool *ask)
{
    for (struct folder *f = tree_first(a); f; f = tree_next(f))
        f->named = false;
    for (const struct listed *row = l->rows; row; row = row->hh.next) {
        if (!*row->wire || levels(row->wire, row->delim) > LIMIT_LEVELS)
            continue;
        /* Deleted; or a level above others, which do with their names. */
        if (row->nonexistent && !row->has_children) {
            struct folder *gone = folder_by_wire(a, row->wire);
            if (gone)
                gone->named = false;
            continue;
        }
        struct folder *f;
        int err = tree_plant(a, row->wire, row->delim, &f);
        if (err == -ENOMEM)
            return err;
        if (err)
            continue;
        f->named = true;
        tree_noselect(a, f, row->noselect);
        f->facts.noinferiors = row->noinferiors;
        f->facts.delim = row->delim;
        memcpy(f->facts.special_use, row->special_use, sizeof f->facts.special_use);
        if (row->delim)
            a->tree.root->facts.delim = row->delim;
    }
    a->listings.used_at = l->began;
    mark_named(a->tree.root);
    *ask = sweep(a, a->tree.root);
    for (struct folder *f = tree_first(a); f; f = tree_next(f)) {
        if (f->news.met)
            folder_tell(a, f);
        else if (f->facts.noselect) /* there are no messages to be met */
            folder_meet(a, f);
    }
    find_top(a);
    return 0;
}

static void listing_free(struct listing *l)
{
    struct listed *row, *tmp;
    HASH_ITER (hh, l->rows, row, tmp) {
        HASH_DEL(l->rows, row);
        free(row);
    }
    free(l);
}

static void ask_listing(struct account *a, bool confirms);

static void on_list_done(struct op *op)
{
    struct listing *l = op->ctx;
    struct account *a = l->a;
    struct waiter *woken = NULL, *orphans = NULL;
    struct op *refused = NULL;
    bool ask = false, anew;
    account_lock(a);
    a->listings.on = false;
    if (!op->err && l->no_memory)
        op->err = -ENOMEM;
    if (!op->err && !l->rows && a->tree.n > 1) {
        log_warn("the server lists no mailbox at all: not believed");
        op->err = -EIO;
    }
    anew = !op->err && (a->listings.renames || l->changes != a->listings.changes);
    if (!op->err && !anew)
        op->err = apply_listing(a, l, &ask);
    if (op->err == -ENOMEM)
        log_error("out of memory for the list of mailboxes");
    if (anew) {
        ask_listing(a, l->confirms); /* it may be from before our own change: ask again */
    } else if (ask && !l->confirms) {
        ask_listing(a, true);
    } else {
        woken = waiters_take(&a->listings.waiters);
        orphans = sync_take_orphans(a);
        refused = a->listings.refused;
        a->listings.refused = NULL;
    }
    account_unlock(a);
    wake_all(woken, op->err);
    wake_all(orphans, 0);
    while (refused) {
        struct op *next = refused->next;
        refused->next = NULL;
        sync_refused(a, refused);
        refused = next;
    }
    listing_free(l);
    op_free(op);
}

/* While a folder is being renamed nobody can tell whether a LIST is from before or after that, and
 * the folder would be taken for one that is gone and one that is new: it has to wait. */
static void ask_listing(struct account *a, bool confirms)
{
    if (a->listings.renames) {
        a->listings.due = true;
        return;
    }
    struct listing *l = mem_zalloc(sizeof *l);
    l->a = a;
    l->confirms = confirms;
    l->changes = a->listings.changes;
    l->began = clock_ms();
    struct op_list *op = op_list_new();
    op->op.ctx = l;
    op->op.done = on_list_done;
    op->on_list = on_listed;
    a->listings.on = true;
    pool_submit(a->pool, &op->op);
}

struct waiter *listing_take_waiters(struct account *a)
{
    return waiters_take(&a->listings.waiters);
}

void listing_rename_begin(struct account *a)
{
    a->listings.renames++;
}

void listing_rename_end(struct account *a)
{
    if (--a->listings.renames || !a->listings.due)
        return;
    a->listings.due = false;
    if (!a->listings.on)
        ask_listing(a, false);
}

bool listing_refresh(struct account *a, int64_t since)
{
    if (a->listings.on)
        return false;
    if (a->listings.used_at < since)
        ask_listing(a, false);
    return true;
}

void listing_expire(struct account *a)
{
    a->listings.used_at = 0;
}

void listing_changed(struct account *a)
{
    a->listings.changes++;
}

void listing_judge(struct account *a, struct op *op)
{
    op->next = a->listings.refused;
    a->listings.refused = op;
    listing_changed(a); /* what is under way may be from before, and is asked for again */
    if (!a->listings.on)
        ask_listing(a, false);
}

int account_refresh_tree(struct account *a, enum trust trust, int64_t asked, struct waiter *w)
{
    int64_t since = trust_since(trust, asked);
    account_lock(a);
    bool fresh = a->listings.used_at && a->listings.used_at >= since;
    if (!fresh) {
        waiter_add(&a->listings.waiters, w);
        if (!a->listings.on)
            ask_listing(a, false);
    }
    account_unlock(a);
    return fresh ? 0 : -EINPROGRESS;
}
