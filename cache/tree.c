/* The folders: what LIST said, as a tree of file names, each with its wire name beside it. */
#include "cache/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "cache/folder.h"
#include "cache/mboxname.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/wire/flags.h"

/* A folder with what it is found by. */
struct node {
    struct folder folder; /* first, so that either pointer is the other */
    char *key;            /* "parent id/name", for by_name */
    UT_hash_handle by_id, by_gen, by_wire, by_name;
};

/* ---- finding ---- */

static struct node *node_of(const struct folder *f)
{
    return (struct node *)f;
}

static struct folder *folder_of(struct node *n)
{
    return n ? &n->folder : NULL;
}

uint32_t folder_id(const struct account *a, const struct folder *f)
{
    return f == a->tree.top ? ACCOUNT_ROOT : f->id;
}

struct folder *folder_by_id(struct account *a, uint32_t id)
{
    struct node *n;
    if (id == ACCOUNT_ROOT)
        return a->tree.top;
    HASH_FIND(by_id, a->tree.by_id, &id, sizeof id, n);
    return folder_of(n);
}

struct folder *folder_by_gen(struct account *a, uint32_t gen)
{
    struct node *n;
    HASH_FIND(by_gen, a->tree.by_gen, &gen, sizeof gen, n);
    return folder_of(n);
}

struct folder *folder_by_wire(struct account *a, const char *wire)
{
    struct node *n;
    HASH_FIND(by_wire, a->tree.by_wire, wire, strlen(wire), n);
    return folder_of(n);
}

struct folder *tree_first(const struct account *a)
{
    return folder_of(a->tree.by_id);
}

struct folder *tree_next(const struct folder *f)
{
    return folder_of(node_of(f)->by_id.next);
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
    return parent == a->tree.root && strcasecmp(name, "INBOX") == 0;
}

struct folder *tree_child(struct account *a, const struct folder *parent, const char *name)
{
    char *key = child_key(parent, is_inbox(a, parent, name) ? "INBOX" : name);
    struct node *n;
    HASH_FIND(by_name, a->tree.by_name, key, strlen(key), n);
    free(key);
    return folder_of(n);
}

struct folder *tree_path(struct account *a, const char *path)
{
    struct folder *f = a->tree.root;
    char *copy = mem_strdup(path), *save = NULL;
    for (char *p = strtok_r(copy, "/", &save); p && f; p = strtok_r(NULL, "/", &save))
        f = tree_child(a, f, p);
    free(copy);
    return f;
}

bool tree_choose_top(struct account *a, const char *path)
{
    a->tree.top = tree_path(a, path);
    return a->tree.top != NULL;
}

/* ---- making and removing ---- */

void folder_renumber(struct account *a, struct folder *f)
{
    struct node *n = node_of(f);
    if (f->gen)
        HASH_DELETE(by_gen, a->tree.by_gen, n);
    f->gen = a->tree.next_id++;
    HASH_ADD(by_gen, a->tree.by_gen, folder.gen, sizeof f->gen, n);
}

/* Gives a folder its name, which it takes over, below its parent. */
static void set_name(struct account *a, struct folder *f, char *name)
{
    struct node *n = node_of(f);
    if (n->key)
        HASH_DELETE(by_name, a->tree.by_name, n);
    free(f->facts.name);
    free(n->key);
    f->facts.name = name;
    n->key = child_key(f->parent, name);
    HASH_ADD_KEYPTR(by_name, a->tree.by_name, n->key, strlen(n->key), n);
}

/* Gives a folder its wire name. */
static void set_wire(struct account *a, struct folder *f, const char *wire)
{
    struct node *n = node_of(f);
    if (f->facts.wire)
        HASH_DELETE(by_wire, a->tree.by_wire, n);
    free(f->facts.wire);
    f->facts.wire = mem_strdup(wire);
    HASH_ADD_KEYPTR(by_wire, a->tree.by_wire, f->facts.wire, strlen(f->facts.wire), n);
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

/* NULL when there is no memory for one that the server has named. */
static struct folder *new_folder(struct account *a, struct folder *parent, const char *wire,
                                 char delim)
{
    struct node *n = parent ? mem_try(NULL, sizeof *n) : mem_alloc(sizeof *n);
    if (!n)
        return NULL;
    *n = (struct node){0};
    struct folder *f = &n->folder;
    struct buf name = {0};
    if (parent) {
        show_name(a, parent, wire, delim, &name);
        size_t base = name.len;
        /* Two wire names that show alike: the later one is told apart by a number. */
        if (base > 230) /* room for it, and no character in half */
            for (base = 230; ((unsigned char)name.data[base] & 0xc0) == 0x80;)
                base--;
        for (unsigned i = 2; tree_child(a, parent, buf_str(&name)); i++) {
            name.len = base;
            buf_addf(&name, "~%u", i < 10 ? i : a->tree.next_id + i);
        }
        DL_APPEND(parent->children, f);
        parent->news.version++;
    }
    set_wire(a, f, wire);
    f->facts.delim = delim;
    f->parent = parent;
    f->facts.noselect = true;
    f->news.version = 1;
    f->id = a->tree.next_id++;
    set_name(a, f, buf_steal(&name));
    HASH_ADD(by_id, a->tree.by_id, folder.id, sizeof f->id, n);
    folder_renumber(a, f);
    a->tree.n++;
    return f;
}

static void free_folder(struct account *a, struct folder *f)
{
    struct node *n = node_of(f);
    HASH_DELETE(by_id, a->tree.by_id, n);
    HASH_DELETE(by_gen, a->tree.by_gen, n);
    HASH_DELETE(by_wire, a->tree.by_wire, n);
    HASH_DELETE(by_name, a->tree.by_name, n);
    sync_abandon(a, f);
    a->tree.n--;
    if (a->tree.top == f)
        a->tree.top = NULL;
    msgtable_clear(&f->facts.msgs);
    uidset_free(&f->facts.own_deleted);
    keywords_clear(&f->facts.keywords);
    free(f->facts.name);
    free(n->key);
    free(f->facts.wire);
    free(n);
}

int tree_init(struct account *a)
{
    a->tree.next_id = ACCOUNT_ROOT + 1;
    a->tree.root = a->tree.top = new_folder(a, NULL, "", '\0');
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
    free_below(a, a->tree.root);
    free_folder(a, a->tree.root);
}

void tree_remove(struct account *a, struct folder *f)
{
    struct folder *child, *tmp;
    DL_FOREACH_SAFE (f->children, child, tmp)
        tree_remove(a, child);
    watch_forget(a, f);
    a->hooks.entry_stale(a->hooks.ctx, folder_id(a, f->parent), f->facts.name);
    DL_DELETE(f->parent->children, f);
    f->parent->news.version++;
    free_folder(a, f);
}

struct folder *tree_insert(struct account *a, struct folder *parent, const char *wire, char delim)
{
    struct folder *f = folder_by_wire(a, wire);
    if (!f)
        f = new_folder(a, parent, wire, delim);
    if (!f) {
        listing_expire(a);
        return NULL;
    }
    f->facts.noselect = false;
    folder_tell(a, f->parent);
    listing_changed(a);
    return f;
}

int tree_plant(struct account *a, const char *wire, char delim, struct folder **planted)
{
    int err = 0;
    struct folder *f = a->tree.root;
    size_t len = strlen(wire);
    char *part = mem_strdup(wire);
    for (size_t i = 1; i <= len; i++) {
        if (wire[i] && wire[i] != delim)
            continue;
        part[i] = '\0';
        struct folder *next = NULL;
        if (is_inbox(a, f, part))
            next = tree_child(a, f, part);
        if (!next)
            next = folder_by_wire(a, part);
        if (!next && a->tree.n < LIMIT_MAILBOXES)
            next = new_folder(a, f, part, delim);
        if (!next)
            err = a->tree.n < LIMIT_MAILBOXES ? -ENOMEM : -E2BIG;
        f = next;
        if (!f)
            break;
        if (wire[i])
            part[i] = wire[i];
    }
    free(part);
    *planted = f;
    return err;
}

void tree_noselect(struct account *a, struct folder *f, bool noselect)
{
    if (f->facts.noselect == noselect)
        return;
    f->facts.noselect = noselect;
    f->news.version++;
    sync_reset(a, f);
    if (f->news.shown) /* else nobody has looked into it */
        folder_tell(a, f);
    f->news.met = false;
}

/* ---- looking ---- */

static void describe(const struct account *a, const struct folder *f, struct folder_info *out)
{
    bool top = f == a->tree.top || !f->parent;
    *out = (struct folder_info){.id = folder_id(a, f),
                                .parent = top ? 0 : folder_id(a, f->parent),
                                .selectable = !f->facts.noselect,
                                .changed = f->news.told_when,
                                .loaded = f->facts.loaded};
    snprintf(out->name, sizeof out->name, "%s", f->facts.name);
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
    struct folder *f = p ? tree_child(a, p, name) : NULL;
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
        out->mailbox = mem_strdup(f->facts.wire);
        out->uidvalidity = f->facts.uidvalidity;
        out->selectable = !f->facts.noselect;
        memcpy(out->special_use, f->facts.special_use, sizeof out->special_use);
        out->quota_used = f->facts.quota_used;
        out->quota_limit = f->facts.quota_limit;
        struct msgplace at = {0};
        for (const struct msg *m; (m = msgtable_walk(&f->facts.msgs, &at)) != NULL;)
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
    bool same = f && f->news.shown == f->news.version;
    if (f)
        f->news.shown = f->news.version;
    account_unlock(a);
    return same;
}

/* ---- changing ---- */

int tree_child_wire(struct account *a, const struct folder *parent, const char *name,
                    struct buf *wire)
{
    char delim = parent->facts.delim ? parent->facts.delim : a->tree.root->facts.delim;
    if (parent != a->tree.root) {
        if (!delim || parent->facts.noinferiors)
            return -EPERM; /* the server keeps no folders below this one */
        buf_adds(wire, parent->facts.wire);
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
    size_t old = strlen(f->facts.wire);
    struct folder *child;
    DL_FOREACH (f->children, child) {
        struct buf below = {0};
        buf_adds(&below, wire);
        buf_adds(&below, child->facts.wire + old);
        rename_wire(a, child, buf_str(&below));
        buf_free(&below);
    }
    set_wire(a, f, wire);
}

void tree_rename(struct account *a, struct folder *f, struct folder *parent, const char *wire)
{
    struct buf name = {0};
    struct folder *other = folder_by_wire(a, wire), *was = f->parent;
    if (other && other != f)
        tree_remove(a, other); /* what a LIST took it for */
    a->hooks.entry_stale(a->hooks.ctx, folder_id(a, f->parent), f->facts.name);
    DL_DELETE(f->parent->children, f);
    f->parent->news.version++;
    parent->news.version++;
    rename_wire(a, f, wire);
    show_name(a, parent, wire, f->facts.delim, &name);
    f->parent = parent;
    set_name(a, f, buf_steal(&name));
    DL_INSERT_INORDER(parent->children, f, by_number);
    folder_tell(a, was);
    folder_tell(a, parent);
    listing_changed(a);
}
