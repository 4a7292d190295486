#include "fs/modify.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/lookup.h"
#include "fs/notify.h"
#include "fs/request.h"
#include "fs/view.h"
#include "fs/wish.h"
#include "imap/base/mem.h"

/* Every call here first finds what its names stand for, then asks for the change, then answers with
 * its result. A step may run several times in the first two phases. */
enum phase { PHASE_FIND, PHASE_FIND_TARGET, PHASE_MAKE, PHASE_ASK, PHASE_ANSWER };

/* Ends the request unless it goes on later. */
static void finish(struct request *r, int err)
{
    if (err != -EINPROGRESS)
        request_err(r, err);
}

/* ---- unlink, rmdir ---- */

static void unlink_step(struct request *r)
{
    struct found found;
    if (r->phase == PHASE_ANSWER || r->err) {
        finish(r, r->err);
        return;
    }
    int err = lookup_name(r, r->ino, r->name, &found);
    if (!err && (found.kind == NODE_FOLDER || found.kind == NODE_VIEW))
        err = -EISDIR;
    else if (!err && found.kind != NODE_MESSAGE)
        err = -EPERM;
    if (!err) {
        r->phase = PHASE_ANSWER;
        err = account_delete(r->fs->account, found.msg.gen, found.msg.uid, &r->w);
    }
    finish(r, err);
}

static void rmdir_step(struct request *r)
{
    struct found found;
    if (r->phase == PHASE_ANSWER || r->err) {
        finish(r, r->err);
        return;
    }
    int err = lookup_name(r, r->ino, r->name, &found);
    if (!err && (found.kind == NODE_CONTROL || found.kind == NODE_VIEW))
        err = -EPERM;
    else if (!err && found.kind != NODE_FOLDER)
        err = -ENOTDIR;
    if (!err) {
        r->phase = PHASE_ANSWER;
        err = account_rmdir(r->fs->account, found.folder.id, &r->w);
    }
    finish(r, err);
}

static struct request *named_request(fuse_req_t req, void (*step)(struct request *),
                                     fuse_ino_t parent, const char *name)
{
    struct request *r = request_new(req, step);
    r->ino = parent;
    r->name = mem_strdup(name);
    return r;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    request_run(named_request(req, unlink_step, parent, name));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    request_run(named_request(req, rmdir_step, parent, name));
}

/* The kernel lets FUSE file systems have names of up to 1024 bytes; statfs(2) says 255 here. */
static bool too_long(const char *name)
{
    return strlen(name) > NAME_MAX;
}

/* ---- mkdir ---- */

static void mkdir_step(struct request *r)
{
    struct found found;
    struct node parent = node_of(r->ino);
    const struct view *v = view_of(parent);
    int err = r->err;
    if (!err && !(v && v->mkdir))
        err = -EPERM;
    if (!err && r->phase == PHASE_FIND) {
        err = lookup_name(r, r->ino, r->name, &found);
        if (!err)
            err = -EEXIST;
        if (err == -ENOENT) {
            r->phase = PHASE_ANSWER;
            err = v->mkdir(r, parent.id);
        }
        finish(r, err);
        return;
    }
    if (!err)
        err = account_child(r->fs->account, parent.id, r->name, &found.folder);
    if (err) {
        finish(r, err);
        return;
    }
    found.kind = NODE_FOLDER;
    struct fuse_entry_param e;
    lookup_entry(r->fs, r->tid, &found, &e);
    request_entry(r, &e);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode;
    if (too_long(name))
        fuse_reply_err(req, ENAMETOOLONG);
    else
        request_run(named_request(req, mkdir_step, parent, name));
}

/* ---- rename ---- */

/* What is to be renamed: a message in r->msg, or a folder in r->id. */
static int find_source(struct request *r)
{
    struct found found;
    int err = lookup_name(r, r->ino, r->name, &found);
    if (err)
        return err;
    if (found.kind != NODE_MESSAGE && found.kind != NODE_FOLDER)
        return -EPERM;
    r->msg = found.msg;
    r->id = found.kind == NODE_FOLDER ? found.folder.id : 0;
    r->phase = PHASE_FIND_TARGET;
    return 0;
}

/* The name of a message comes from the message, so one that is given to a message on its way to
 * another folder is a wish, and never means "replace what is called so". If it is another's own
 * name, it stays that one's, and the message goes by its own new name alone. If it was given to
 * another one before, it is the newcomer's from now on, and the other keeps its own name. */
static int grant_wish(struct request *r, const struct found *other)
{
    const struct wish wish = {r->tid, r->ino, r->to.ino, r->name, r->to.name};
    if (!r->to.again && r->tid) {
        wish_put(r->fs->wishes, &wish);
        return -ESTALE;
    }
    r->to.taken = !other->given;
    r->to.meant = ino_message(other->msg.gen, other->msg.uid);
    r->phase = PHASE_MAKE;
    return 0;
}

static int check_target(struct request *r)
{
    struct found found;
    struct node source = node_of(r->ino), target = node_of(r->to.ino);
    const struct view *v = view_of(target);
    if (v && !v->take)
        return -EPERM;
    int err = lookup_name(r, r->to.ino, r->to.name, &found);
    if (err == -ENOENT) {
        r->phase = PHASE_MAKE;
        return 0;
    }
    if (err)
        return err;
    /* Two names of one thing: rename(2) says that nothing is to be done. */
    if (found.kind == NODE_FOLDER && found.folder.id == r->id) {
        r->phase = PHASE_ANSWER;
        return 0;
    }
    if (!r->id && found.kind == NODE_MESSAGE && found.msg.gen == r->msg.gen &&
        found.msg.uid == r->msg.uid) {
        r->phase = PHASE_ANSWER;
        return 0;
    }
    if (r->id || found.kind != NODE_MESSAGE || source.id == target.id ||
        r->which & RENAME_NOREPLACE)
        return -EEXIST; /* mail is never overwritten, and a folder may hold some */
    return grant_wish(r, &found);
}

/* A level above other folders looks like any folder, and becomes one when a message is put there.
 */
static int make_mailbox(struct request *r)
{
    struct folder_info info;
    struct node target = node_of(r->to.ino);
    r->phase = PHASE_ASK;
    if (r->id || target.kind != NODE_FOLDER ||
        account_folder(r->fs->account, target.id, &info) != 0 || info.selectable)
        return 0;
    return account_make(r->fs->account, target.id, &r->w);
}

static int ask_rename(struct request *r)
{
    struct node target = node_of(r->to.ino);
    const struct view *v = view_of(target);
    r->phase = PHASE_ANSWER;
    return v && v->take ? v->take(r, target.id, r->to.taken ? NULL : r->to.name) : -EPERM;
}

/* A caller who could not be made to try twice: for the kernel the one message has replaced the
 * other. It hears better as soon as it lets go of the directory, for which it is told before the
 * answer. */
static void correct_kernel(struct request *r)
{
    notify_entry(r->fs->notifier, r->to.ino, r->to.name);
    notify_attr(r->fs->notifier, r->to.meant);
}

static void rename_step(struct request *r)
{
    int err = r->err;
    if (!err && r->phase == PHASE_FIND)
        err = find_source(r);
    if (!err && r->phase == PHASE_FIND_TARGET)
        err = check_target(r);
    if (!err && r->phase == PHASE_MAKE)
        err = make_mailbox(r);
    if (!err && r->phase == PHASE_ASK)
        err = ask_rename(r);
    if (!err && r->to.meant && !r->to.again)
        correct_kernel(r);
    finish(r, err);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
               const char *newname, unsigned flags)
{
    if (flags & ~(unsigned)RENAME_NOREPLACE) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    if (too_long(newname)) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    struct request *r = named_request(req, rename_step, parent, name);
    r->to.ino = newparent;
    r->to.name = mem_strdup(newname);
    r->which = flags;
    r->to.again =
        wish_take(r->fs->wishes, &(struct wish){r->tid, parent, newparent, name, newname});
    request_run(r);
}

/* ---- what is refused ---- */

/* Size, times and owner of a message are facts. Only setting the mode that is set already is no
 * change. */
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct stat now;
    double timeout;
    (void)fi;
    if (to_set == FUSE_SET_ATTR_MODE &&
        attr_now(fs, ino, fuse_req_ctx(req)->pid, &now, &timeout) == 0 &&
        ((now.st_mode ^ attr->st_mode) & 07777) == 0)
        fuse_reply_attr(req, &now, TIMEOUT_OTHER);
    else
        fuse_reply_err(req, EPERM);
}

static void refuse_new(fuse_req_t req, fuse_ino_t parent)
{
    const struct view *v = view_of(node_of(parent));
    int err = v ? v->create : -EOPNOTSUPP;
    fuse_reply_err(req, err ? -err : EPERM);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
    (void)name;
    (void)mode;
    (void)fi;
    refuse_new(req, parent);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    (void)name;
    (void)mode;
    (void)dev;
    refuse_new(req, parent);
}

void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    (void)link;
    (void)parent;
    (void)name;
    fuse_reply_err(req, EPERM);
}
