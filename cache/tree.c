/* The folders: what LIST said, as a tree of file names, each with its wire name beside it. */
#include "cache/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "cache/mboxname.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

/* ---- one folder ---- */

uint32_t folder_id(const struct account *a, const struct folder *f)
{
    return f == a->top ? ACCOUNT_ROOT : f->id;
}

struct folder *folder_by_id(struct account *a, uint32_t id)
{
    struct folder *f;
    if (id == ACCOUNT_ROOT)
        return a->top;
    HASH_FIND(by_id, a->by_id, &id, sizeof id, f);
    return f;
}

struct folder *folder_by_gen(struct account *a, uint32_t gen)
{
    struct folder *f;
    HASH_FIND(by_gen, a->by_gen, &gen, sizeof gen, f);
    return f;
}

struct folder *folder_by_wire(struct account *a, const char *wire)
{
    struct folder *f;
    HASH_FIND(by_wire, a->by_wire, wire, strlen(wire), f);
    return f;
}

void folder_renumber(struct account *a, struct folder *f)
{
    if (f->gen)
        HASH_DELETE(by_gen, a->by_gen, f);
    f->gen = a->next_id++;
    HASH_ADD(by_gen, a->by_gen, gen, sizeof f->gen, f);
}

static char *child_key(const struct folder *parent, const char *name)
{
    struct buf key = {0};
    buf_addf(&key, "%x/%s", parent ? parent->id : 0, name);
    return buf_steal(&key);
}

/* INBOX is one mailbox in whatever case it is written, as the first level (RFC 3501 section 5.1).
 */
static bool is_inbox(const struct account *a, const struct folder *parent, const char *name)
{
    return parent == a->root && strcasecmp(name, "INBOX") == 0;
}

static struct folder *find_child(struct account *a, const struct folder *parent, const char *name)
{
    char *key = child_key(parent, is_inbox(a, parent, name) ? "INBOX" : name);
    struct folder *f;
    HASH_FIND(by_name, a->by_name, key, strlen(key), f);
    free(key);
    return f;
}

/* Gives a folder its name, which it takes over, below its parent. */
static void set_name(struct account *a, struct folder *f, char *name)
{
    if (f->key)
        HASH_DELETE(by_name, a->by_name, f);
    free(f->name);
    free(f->key);
    f->name = name;
    f->key = child_key(f->parent, name);
    HASH_ADD_KEYPTR(by_name, a->by_name, f->key, strlen(f->key), f);
}

/* How the last level of a wire name is shown. */
static void show_name(const struct account *a, const struct folder *parent, const char *wire,
                      char delim, struct buf *out)
{
    const char *last = delim ? strrchr(wire, delim) : NULL;
    last = last ? last + 1 : wire;
    if (is_inbox(a, parent, last))
        buf_adds(out, "INBOX");
    else
        mboxname_show(last, strlen(last), false, out);
}

static struct folder *new_folder(struct account *a, struct folder *parent, const char *wire,
                                 char delim)
{
    struct folder *f = mem_zalloc(sizeof *f);
    struct buf name = {0};
    if (parent) {
        show_name(a, parent, wire, delim, &name);
        size_t base = name.len;
        /* Two wire names that show alike: the later one is told apart by a number. */
        if (base > 230) /* room for it, and no character in half */
            for (base = 230; ((unsigned char)name.data[base] & 0xc0) == 0x80;)
                base--;
        for (unsigned i = 2; find_child(a, parent, buf_str(&name)); i++) {
            name.len = base;
            buf_addf(&name, "~%u", i < 10 ? i : a->next_id + i);
        }
        DL_APPEND(parent->children, f);
        parent->version++;
    }
    f->wire = mem_strdup(wire);
    f->delim = delim;
    f->parent = parent;
    f->noselect = true;
    f->version = 1;
    f->id = a->next_id++;
    set_name(a, f, buf_steal(&name));
    HASH_ADD(by_id, a->by_id, id, sizeof f->id, f);
    HASH_ADD_KEYPTR(by_wire, a->by_wire, f->wire, strlen(f->wire), f);
    folder_renumber(a, f);
    a->nfolders++;
    return f;
}

static void free_folder(struct account *a, struct folder *f)
{
    HASH_DELETE(by_id, a->by_id, f);
    HASH_DELETE(by_gen, a->by_gen, f);
    HASH_DELETE(by_wire, a->by_wire, f);
    HASH_DELETE(by_name, a->by_name, f);
    for (struct folder **h = &a->hungry; *h; h = &(*h)->next_hungry)
        if (*h == f) {
            *h = f->next_hungry;
            break;
        }
    a->nfolders--;
    if (a->top == f)
        a->top = NULL;
    msgtable_clear(&f->msgs);
    uidset_free(&f->own_deleted);
    holes_end(f);
    uidset_free(&f->counted);
    uidset_free(&f->went);
    keywords_clear(&f->keywords);
    free(f->name);
    free(f->key);
    free(f->wire);
    free(f);
}

int tree_init(struct account *a)
{
    a->next_id = ACCOUNT_ROOT + 1;
    a->root = a->top = new_folder(a, NULL, "", '\0');
    return 0;
}

static void free_below(struct account *a, struct folder *f)
{
    struct folder *child, *tmp;
    DL_FOREACH_SAFE (f->children, child, tmp) {
        free_below(a, child);
        DL_DELETE(f->children, child);
        free_folder(a, child);
    }
}

void tree_free(struct account *a)
{
    free_below(a, a->root);
    free_folder(a, a->root);
}

/* Those who wait for a folder that is gone ask again, and are told so. */
static void dismiss_waiters(struct account *a, struct folder *f)
{
    waiters_move(&a->orphans, &f->sync_waiters);
    waiters_move(&a->orphans, &f->row_waiters);
}

void tree_remove(struct account *a, struct folder *f)
{
    struct folder *child, *tmp;
    DL_FOREACH_SAFE (f->children, child, tmp)
        tree_remove(a, child);
    dismiss_waiters(a, f);
    watch_forget(a, f);
    a->hooks.entry_stale(a->hooks.ctx, folder_id(a, f->parent), f->name);
    DL_DELETE(f->parent->children, f);
    f->parent->version++;
    free_folder(a, f);
}

struct folder *tree_insert(struct account *a, struct folder *parent, const char *wire, char delim)
{
    struct folder *f = folder_by_wire(a, wire);
    if (!f)
        f = new_folder(a, parent, wire, delim);
    f->noselect = false;
    folder_tell(a, f->parent);
    a->tree_changes++;
    return f;
}

/* ---- applying a LIST ---- */

struct listing {
    struct account *a;
    bool confirms;    /* what the one before left out */
    uint64_t changes; /* account.tree_changes when it was asked for */
    int64_t began;
    bool full;           /* there were more than LIMIT_MAILBOXES */
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
static bool on_listed(struct op *op, struct str name, char delim, const struct arg *attrs)
{
    struct listing *l = op->ctx;
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
        row = mem_zalloc(sizeof *row + name.n + 1);
        memcpy(row->wire, name.p, name.n);
        HASH_ADD(hh, l->rows, wire, name.n, row);
    }
    row->delim = delim;
    row->noselect = row->noinferiors = row->nonexistent = row->has_children = false;
    row->special_use[0] = '\0';
    read_attrs(row, attrs);
    return is_new;
}

/* Finds or makes the folder of a wire name, and those above it that LIST may not have named; NULL
 * when there are too many. */
static struct folder *plant(struct account *a, const char *wire, char delim)
{
    struct folder *f = a->root;
    size_t len = strlen(wire);
    char *part = mem_strdup(wire);
    for (size_t i = 1; i <= len; i++) {
        if (wire[i] && wire[i] != delim)
            continue;
        part[i] = '\0';
        struct folder *next = NULL;
        if (is_inbox(a, f, part))
            next = find_child(a, f, part);
        if (!next)
            next = folder_by_wire(a, part);
        if (!next && a->nfolders < LIMIT_MAILBOXES)
            next = new_folder(a, f, part, delim);
        f = next;
        if (!f)
            break;
        if (wire[i])
            part[i] = wire[i];
    }
    free(part);
    return f;
}

/* It, or something below it. */
static bool mark_seen(struct folder *f)
{
    struct folder *child;
    f->seen = f->named;
    DL_FOREACH (f->children, child)
        f->seen |= mark_seen(child);
    return f->seen;
}

void tree_noselect(struct account *a, struct folder *f, bool noselect)
{
    if (f->noselect == noselect)
        return;
    f->noselect = noselect;
    f->version++;
    folder_reset(a, f);
    if (f->shown) /* else nobody has looked into it */
        folder_tell(a, f);
    f->met = false;
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
        if (f->seen)
            ask |= sweep(a, f);
        if (!f->named && !f->missing)
            ask |= !f->seen || !f->noselect;
        f->missing = !f->named;
        if (confirmed && !f->seen)
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
    if (a->top)
        return;
    a->top = tree_path(a, a->config->mailbox);
    if (a->top)
        a->hooks.folder_changed(a->hooks.ctx, ACCOUNT_ROOT);
}

/* Returns whether another LIST must confirm what this one left out. */
static bool apply_listing(struct account *a, const struct listing *l)
{
    for (struct folder *f = a->by_id; f; f = f->by_id.next)
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
        struct folder *f = plant(a, row->wire, row->delim);
        if (!f)
            continue;
        f->named = true;
        tree_noselect(a, f, row->noselect);
        f->noinferiors = row->noinferiors;
        f->delim = row->delim;
        memcpy(f->special_use, row->special_use, sizeof f->special_use);
        if (row->delim)
            a->root->delim = row->delim;
    }
    a->tree_at = l->began;
    mark_seen(a->root);
    bool ask = sweep(a, a->root);
    for (struct folder *f = a->by_id; f; f = f->by_id.next) {
        if (f->met)
            folder_tell(a, f);
        else if (f->noselect) /* there are no messages to be met */
            folder_meet(a, f);
    }
    find_top(a);
    return ask;
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
    struct op *doubted = NULL;
    account_lock(a);
    a->listing = false;
    if (a->tree_due)
        pthread_cond_signal(&a->watch_cond);
    if (!op->err && !l->rows && a->nfolders > 1) {
        log_warn("the server lists no mailbox at all: not believed");
        op->err = -EIO;
    }
    if (!op->err && (a->renames || l->changes != a->tree_changes)) {
        ask_listing(a, l->confirms); /* it may be from before our own change: ask again */
    } else if (!op->err && apply_listing(a, l) && !l->confirms) {
        ask_listing(a, true);
    } else {
        woken = waiters_take(&a->tree_waiters);
        orphans = waiters_take(&a->orphans);
        doubted = a->doubted;
        a->doubted = NULL;
    }
    account_unlock(a);
    wake_all(woken, op->err);
    wake_all(orphans, 0);
    while (doubted) {
        struct op *next = doubted->next;
        doubted->next = NULL;
        sync_refused(a, doubted);
        doubted = next;
    }
    listing_free(l);
    op_free(op);
}

/* While a folder is being renamed nobody can tell whether a LIST is from before or after that, and
 * the folder would be taken for one that is gone and one that is new: it has to wait. */
static void ask_listing(struct account *a, bool confirms)
{
    if (a->renames) {
        a->list_due = true;
        return;
    }
    struct listing *l = mem_zalloc(sizeof *l);
    l->a = a;
    l->confirms = confirms;
    l->changes = a->tree_changes;
    l->began = clock_ms();
    struct op *op = op_new(OP_LIST, NULL, 0);
    op->ctx = l;
    op->on_list = on_listed;
    op->done = on_list_done;
    a->listing = true;
    pool_submit(a->pool, op);
}

void tree_rename_begin(struct account *a)
{
    a->renames++;
}

void tree_rename_end(struct account *a)
{
    if (--a->renames || !a->list_due)
        return;
    a->list_due = false;
    if (!a->listing)
        ask_listing(a, false);
}

void tree_refresh(struct account *a, int64_t since)
{
    if (!a->listing && a->tree_at < since)
        ask_listing(a, false);
    else if (a->listing)
        a->tree_due = true; /* it may be from before what is to be seen */
}

void tree_doubt(struct account *a)
{
    a->tree_changes++; /* what is underway may be from before, and is asked for again */
    if (!a->listing)
        ask_listing(a, false);
}

int account_refresh_tree(struct account *a, int64_t since, struct waiter *w)
{
    account_lock(a);
    bool fresh = a->tree_at && a->tree_at >= since;
    if (!fresh) {
        waiter_add(&a->tree_waiters, w);
        if (!a->listing)
            ask_listing(a, false);
    }
    account_unlock(a);
    return fresh ? 0 : -EINPROGRESS;
}

/* ---- looking ---- */

static void describe(const struct account *a, const struct folder *f, struct folder_info *out)
{
    bool top = f == a->top || !f->parent;
    *out = (struct folder_info){.id = folder_id(a, f),
                                .parent = top ? 0 : folder_id(a, f->parent),
                                .selectable = !f->noselect,
                                .changed = f->changed,
                                .loaded = f->loaded};
    snprintf(out->name, sizeof out->name, "%s", f->name);
}

int account_folder(struct account *a, uint32_t id, struct folder_info *out)
{
    account_lock(a);
    struct folder *f = folder_by_id(a, id);
    if (f)
        describe(a, f, out);
    account_unlock(a);
    return f ? 0 : -ESTALE;
}

int account_child(struct account *a, uint32_t parent, const char *name, struct folder_info *out)
{
    account_lock(a);
    struct folder *p = folder_by_id(a, parent);
    struct folder *f = p ? find_child(a, p, name) : NULL;
    if (f)
        describe(a, f, out);
    account_unlock(a);
    return f ? 0 : p ? -ENOENT : -ESTALE;
}

int account_children(struct account *a, uint32_t parent, uint32_t after, struct folder_info *out,
                     size_t max, size_t *n)
{
    *n = 0;
    account_lock(a);
    struct folder *p = folder_by_id(a, parent), *f;
    if (p) {
        DL_FOREACH (p->children, f) {
            if (*n == max)
                break;
            if (f->id > after)
                describe(a, f, &out[(*n)++]);
        }
    }
    account_unlock(a);
    return p ? 0 : -ESTALE;
}

int account_folder_detail(struct account *a, uint32_t id, struct folder_detail *out)
{
    *out = (struct folder_detail){0};
    account_lock(a);
    struct folder *f = folder_by_id(a, id);
    if (f) {
        out->mailbox = mem_strdup(f->wire);
        out->uidvalidity = f->uidvalidity;
        out->selectable = !f->noselect;
        memcpy(out->special_use, f->special_use, sizeof out->special_use);
        out->quota_used = f->quota_used;
        out->quota_limit = f->quota_limit;
        struct msgplace at = {0};
        for (const struct msg *m; (m = msgtable_walk(&f->msgs, &at)) != NULL;)
            if (msg_visible(m)) {
                out->messages++;
                out->unseen += !(m->flags & FLAG_SEEN);
            }
    }
    account_unlock(a);
    return f ? 0 : -ESTALE;
}

bool account_unchanged(struct account *a, uint32_t id)
{
    account_lock(a);
    struct folder *f = folder_by_id(a, id);
    bool same = f && f->shown == f->version;
    if (f)
        f->shown = f->version;
    account_unlock(a);
    return same;
}

struct folder *tree_path(struct account *a, const char *path)
{
    struct folder *f = a->root;
    char *copy = mem_strdup(path), *save = NULL;
    for (char *p = strtok_r(copy, "/", &save); p && f; p = strtok_r(NULL, "/", &save))
        f = find_child(a, f, p);
    free(copy);
    return f;
}

/* ---- changing ---- */

int tree_child_wire(struct account *a, const struct folder *parent, const char *name,
                    struct buf *wire)
{
    char delim = parent->delim ? parent->delim : a->root->delim;
    if (parent != a->root) {
        if (!delim || parent->noinferiors)
            return -EPERM; /* the server keeps no folders below this one */
        buf_adds(wire, parent->wire);
        buf_addc(wire, delim);
    } else if (*pool_namespace(a->pool)) {
        /* Folders live below a prefix, such as "INBOX.", and that is where they are shown. */
        log_info("the server keeps this user's folders below %s: make the folder there",
                 pool_namespace(a->pool));
        return -EPERM;
    }
    size_t at = wire->len;
    int err = mboxname_wire(name, delim, false, wire);
    if (!err) {
        /* What would be shown under another name cannot be made under this one. */
        struct buf shown = {0};
        mboxname_show(wire->data + at, wire->len - at, false, &shown);
        if (strcmp(buf_str(&shown), name) != 0)
            err = -EINVAL;
        buf_free(&shown);
    }
    if (err == -EINVAL && delim && strchr(name, delim))
        log_info("a folder name cannot hold '%c' on this server: it separates the levels", delim);
    return err;
}

static int by_number(const struct folder *a, const struct folder *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

static void rename_wire(struct account *a, struct folder *f, const char *wire)
{
    size_t old = strlen(f->wire);
    struct folder *child;
    DL_FOREACH (f->children, child) {
        struct buf below = {0};
        buf_adds(&below, wire);
        buf_adds(&below, child->wire + old);
        rename_wire(a, child, buf_str(&below));
        buf_free(&below);
    }
    HASH_DELETE(by_wire, a->by_wire, f);
    free(f->wire);
    f->wire = mem_strdup(wire);
    HASH_ADD_KEYPTR(by_wire, a->by_wire, f->wire, strlen(f->wire), f);
}

void tree_rename(struct account *a, struct folder *f, struct folder *parent, const char *wire)
{
    struct buf name = {0};
    struct folder *other = folder_by_wire(a, wire), *was = f->parent;
    if (other && other != f)
        tree_remove(a, other); /* what a LIST took it for */
    a->hooks.entry_stale(a->hooks.ctx, folder_id(a, f->parent), f->name);
    DL_DELETE(f->parent->children, f);
    f->parent->version++;
    parent->version++;
    rename_wire(a, f, wire);
    show_name(a, parent, wire, f->delim, &name);
    f->parent = parent;
    set_name(a, f, buf_steal(&name));
    DL_INSERT_INORDER(parent->children, f, by_number);
    folder_tell(a, was);
    folder_tell(a, parent);
    a->tree_changes++;
}
