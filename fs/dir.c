#include "fs/dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control.h"
#include "fs/lookup.h"
#include "fs/reading.h"
#include "fs/request.h"
#include "fs/view.h"
#include "imap/base/mem.h"

/* Offsets in a directory: the entry it belongs to. A folder's is its number and a message's its
 * place (account_list()), in ascending order, so that what comes and goes meanwhile moves nothing.
 */
enum { OFF_DOT = 1, OFF_DOTDOT = 2, OFF_FOLDERS = 3 };
#define OFF_MESSAGES ((off_t)1 << 33)

enum { BATCH = 128 }; /* entries copied at once */

/* ---- opening ---- */

static void opendir_step(struct request *r)
{
    struct account *a = r->fs->account;
    struct node n = node_of(r->ino);
    if (n.kind == NODE_CONTROL) {
        request_open(r);
        return;
    }
    const struct view *v = view_of(n);
    int err = v ? r->err : -ENOTDIR;
    if (!err && r->phase == 0 && !v->folders)
        r->phase = 2;
    /* Both questions are asked at once, or neither: as long as the messages are known the folders
     * are trusted somewhat longer. A folder that was never loaded is not waited for: its
     * entries appear as they come. */
    if (!err && r->phase == 0) {
        struct folder_info info;
        r->phase = 1;
        bool known = account_sync(a, n.id, TRUST_RECENT, r->began, NULL) == 0;
        r->which = known && account_folder(a, n.id, &info) == 0 && info.selectable;
    }
    if (!err && r->phase == 1) {
        enum trust trust = r->which ? TRUST_LATELY : TRUST_RECENT;
        err = account_refresh_tree(a, trust, r->began, &r->w);
        if (!err)
            r->phase = 2;
    }
    if (!err && r->phase == 2) {
        struct folder_info info;
        err = account_folder(a, n.id, &info);
        if (!err && info.loaded)
            err = account_sync(a, n.id, TRUST_RECENT, r->began, &r->w);
    }
    if (err == -EINPROGRESS)
        return;
    if (err) {
        request_err(r, err);
        return;
    }
    /* The kernel keeps what it reads of a folder that is known whole, until something changes. */
    struct folder_info info;
    if (v->announced && account_folder(a, n.id, &info) == 0 && (info.loaded || !info.selectable)) {
        r->fi.cache_readdir = 1;
        r->fi.keep_cache = account_unchanged(a, n.id);
    }
    request_open(r);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct request *r = request_new(req, opendir_step);
    r->ino = ino;
    r->fi = *fi;
    request_run(r);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, 0);
}

/* ---- reading ---- */

/* Adds one entry to r->out; false when it does not fit any more. */
static bool add_entry(struct request *r, const char *name, const struct fuse_entry_param *e,
                      off_t next)
{
    size_t room = r->size - r->out.len, n;
    char *at = buf_reserve(&r->out, room);
    /* Inodes need no counting here (see node.h), so an entry that does not fit owes nothing. */
    if (r->plus)
        n = fuse_add_direntry_plus(NULL, at, room, name, e, next);
    else
        n = fuse_add_direntry(NULL, at, room, name, &e->attr, next);
    if (n > room)
        return false;
    r->out.len += n;
    return true;
}

/* What ".." is. What is above the mount is not known here: there it is the top itself. */
static fuse_ino_t above(struct request *r)
{
    struct node n = node_of(r->ino);
    struct folder_info f;
    if (n.kind == NODE_VIEW)
        return ino_folder(n.id);
    if (n.kind != NODE_FOLDER)
        return FUSE_ROOT_ID;
    bool below = account_folder(r->fs->account, n.id, &f) == 0 && f.parent;
    return below ? ino_folder(f.parent) : r->ino;
}

/* "." and "..": ino 0 in an entry tells the kernel not to look them up. */
static bool add_dots(struct request *r)
{
    struct fuse_entry_param e = {.attr.st_mode = S_IFDIR, .attr.st_ino = r->ino};
    if (r->off < OFF_DOT) {
        if (!add_entry(r, ".", &e, OFF_DOT))
            return false;
        r->off = OFF_DOT;
    }
    if (r->off < OFF_DOTDOT) {
        e.attr.st_ino = above(r);
        if (!add_entry(r, "..", &e, OFF_DOTDOT))
            return false;
        r->off = OFF_DOTDOT;
    }
    return true;
}

static bool add_folder(struct request *r, const struct folder_info *f)
{
    struct found found = {.kind = NODE_FOLDER, .folder = *f};
    struct fuse_entry_param e;
    lookup_describe(r->fs, &found, &e);
    if (!add_entry(r, f->name, &e, OFF_FOLDERS + f->id))
        return false;
    r->off = OFF_FOLDERS + f->id;
    return true;
}

/* 0, or what has become of the folder that they are in; *full when the buffer is. */
static int add_folders(struct request *r, uint32_t parent, bool *full)
{
    struct folder_info *batch = mem_alloc(BATCH * sizeof *batch);
    size_t n;
    int err;
    do {
        uint32_t after = r->off < OFF_FOLDERS ? 0 : (uint32_t)(r->off - OFF_FOLDERS);
        err = account_children(r->fs->account, parent, after, batch, BATCH, &n);
        for (size_t i = 0; i < n && !*full; i++)
            *full = !add_folder(r, &batch[i]);
    } while (!err && n == BATCH && !*full);
    free(batch);
    if (!err && !*full)
        r->off = OFF_MESSAGES;
    return err;
}

static bool add_message(struct request *r, const struct view *v, const struct msg_info *m)
{
    char name[256];
    struct found found = {
        .kind = NODE_MESSAGE, .msg = *m, .listed = true, .fleeting = !v->announced};
    struct fuse_entry_param e;
    lookup_describe(r->fs, &found, &e);
    if (r->plus && !reading_listed(r->fs->reading, e.ino, r->tid, m->sized))
        e.ino = 0; /* the name only: the kernel takes no attributes of it */
    v->name(r->fs, m, name);
    return add_entry(r, name, &e, OFF_MESSAGES + (off_t)m->place);
}

/* 0 when the buffer is full or nothing is left; -EINPROGRESS when more may come later. */
static int add_messages(struct request *r, const struct view *v, uint32_t folder)
{
    struct msg_info *batch = mem_alloc(BATCH * sizeof *batch);
    size_t n = 0;
    bool waits;
    int err;
    do {
        /* Only an empty-handed reader waits; one that has entries takes them to the user. */
        struct waiter *w = r->out.len ? NULL : &r->w;
        waits = w != NULL;
        err = account_list(r->fs->account, folder, (uint64_t)(r->off - OFF_MESSAGES), batch, BATCH,
                           &n, w);
        for (size_t i = 0; i < n && !err; i++)
            if ((!v->shows || v->shows(&batch[i])) && !add_message(r, v, &batch[i]))
                n = 0; /* full */
            else
                r->off = OFF_MESSAGES + (off_t)batch[i].place;
    } while (!err && n > 0);
    free(batch);
    /* While it waits, the request is another thread's, and may have ended already. */
    return err == -EINPROGRESS && !waits ? 0 : err;
}

static void add_control(struct request *r)
{
    const struct control_file *f;
    for (size_t i = 0; (f = control_file(i)) != NULL; i++) {
        off_t next = OFF_MESSAGES + 1 + (off_t)i;
        struct found found = {.kind = f->kind};
        struct fuse_entry_param e;
        lookup_describe(r->fs, &found, &e);
        if (r->off < next && !add_entry(r, f->name, &e, next))
            return;
    }
}

static void readdir_step(struct request *r)
{
    struct node n = node_of(r->ino);
    const struct view *v = view_of(n);
    int err = r->err;
    bool full = !err && r->off < OFF_MESSAGES && !add_dots(r);
    if (!err && !full && r->off < OFF_MESSAGES && v) {
        if (v->folders)
            err = add_folders(r, n.id, &full);
        else
            r->off = OFF_MESSAGES;
    }
    if (full) {
        request_bytes(r, r->out.data, r->out.len);
        return;
    }
    if (!err && v)
        err = add_messages(r, v, n.id);
    else if (!err)
        add_control(r);
    if (err == -EINPROGRESS)
        return;
    /* Removed or renamed while it is open: what any file system says of that. */
    struct folder_info info;
    if (err && v && account_folder(r->fs->account, n.id, &info) != 0)
        err = -ENOENT;
    /* An error is reported only when there is nothing to report before it. */
    if (err && !r->out.len)
        request_err(r, err);
    else
        request_bytes(r, r->out.data, r->out.len);
}

static void start_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                          const struct fuse_file_info *fi, bool plus)
{
    struct request *r = request_new(req, readdir_step);
    r->ino = ino;
    r->size = size;
    r->off = off;
    r->fi = *fi;
    r->plus = plus;
    request_run(r);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    start_readdir(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    start_readdir(req, ino, size, off, fi, true);
}
