#include "fs/lookup.h"

#include <errno.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/control.h"
#include "fs/message.h"
#include "fs/name.h"
#include "fs/reading.h"
#include "fs/status.h"
#include "fs/wish.h"
#include "imap/base/mem.h"

/* Is `name` what the message is called, or its UID alone? */
static bool is_name_of(const struct fs *fs, const char *name, struct found *out)
{
    char full[256];
    message_name(fs, &out->msg, full);
    out->listed = strcmp(name, full) == 0;
    if (out->listed)
        return true;
    name_uid_only(full, out->msg.uid);
    if (strcmp(name, full) == 0)
        return true;
    if (!out->msg.named)
        return false;
    name_compose(full, out->msg.date, out->msg.label, out->msg.uid);
    return strcmp(name, full) == 0;
}

static int find_uid(struct request *r, uint32_t folder, uint32_t uid, struct found *out)
{
    out->kind = NODE_MESSAGE;
    out->listed = out->given = false;
    return account_find(r->fs->account, folder, uid, TRUST_RECENT, r->began, &out->msg, &r->w);
}

/* A message by its own name, else by the name that it was given when it was moved here. In this
 * order: a name that readdir shows must never stand for another message. */
static int find_message(struct request *r, uint32_t folder, const char *name, struct found *out)
{
    uint32_t uid;
    if (name_parse_uid(name, &uid)) {
        int err = find_uid(r, folder, uid, out);
        if (!err && is_name_of(r->fs, name, out))
            return 0;
        if (err && err != -ENOENT)
            return err;
    }
    uid = account_alias(r->fs->account, folder, name);
    int err = uid ? find_uid(r, folder, uid, out) : -ENOENT;
    out->given = true;
    return err;
}

int lookup_name(struct request *r, fuse_ino_t parent, const char *name, struct found *out)
{
    struct account *a = r->fs->account;
    struct node dir = node_of(parent);
    if (control_find(dir, name, &out->kind))
        return 0;
    if (dir.kind == NODE_CONTROL)
        return -ENOENT;
    if (dir.kind != NODE_FOLDER)
        return -ENOTDIR;
    int err = account_child(a, dir.id, name, &out->folder);
    if (!err) {
        out->kind = NODE_FOLDER;
        return 0;
    }
    if (err == -ENOENT)
        err = find_message(r, dir.id, name, out);
    if (err != -ENOENT)
        return err;
    /* Not known, which proves little when the list of folders is old. A name that can only be a
     * message's is not worth the question. */
    uint32_t uid;
    if (name_parse_uid(name, &uid))
        return -ENOENT;
    err = account_refresh_tree(a, TRUST_RECENT, r->began, &r->w);
    return err ? err : -ENOENT;
}

void lookup_describe(struct fs *fs, const struct found *found, struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){.attr_timeout = TIMEOUT_OTHER, .entry_timeout = TIMEOUT_OTHER};
    switch (found->kind) {
    case NODE_FOLDER:
        attr_folder(fs, &found->folder, &e->attr);
        e->attr_timeout = TIMEOUT_MESSAGE;
        e->entry_timeout = TIMEOUT_FOLDER;
        break;
    case NODE_MESSAGE:
        attr_message(fs, &found->msg, 0, &e->attr);
        e->attr_timeout = attr_timeout(&found->msg);
        if (found->listed && account_promise(fs->account, found->msg.folder))
            e->entry_timeout = TIMEOUT_NAME;
        break;
    case NODE_STATUS:
    case NODE_EVENTS:
        e->attr_timeout = e->entry_timeout = 0; /* each open looks it up */
        attr_control(fs, (struct node){.kind = found->kind}, &e->attr);
        break;
    default:
        attr_control(fs, (struct node){.kind = found->kind}, &e->attr);
        break;
    }
    e->ino = e->attr.st_ino;
}

void lookup_entry(struct fs *fs, pid_t tid, const struct found *found, struct fuse_entry_param *e)
{
    lookup_describe(fs, found, e);
    if (found->kind == NODE_MESSAGE && !found->msg.sized)
        reading_told(fs->reading, e->ino, tid);
}

static void lookup_step(struct request *r)
{
    struct found found;
    enum wish_name wish = wish_name(r->fs->wishes, r->tid, r->ino, r->name);
    int err = r->err;
    if (!err)
        err = wish == WISH_TARGET ? -ENOENT : lookup_name(r, r->ino, r->name, &found);
    if (err == -EINPROGRESS)
        return;
    if (err) {
        request_err(r, err);
        return;
    }
    if (found.kind == NODE_STATUS)
        status_refresh(r->fs, r);
    struct fuse_entry_param e;
    lookup_entry(r->fs, r->tid, &found, &e);
    if (found.kind == NODE_MESSAGE)
        account_look(r->fs->account, found.msg.folder, TRUST_RECENT, r->began);
    if (wish == WISH_SOURCE)
        e.entry_timeout = 0;
    request_entry(r, &e);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct request *r = request_new(req, lookup_step);
    r->ino = parent;
    r->name = mem_strdup(name);
    request_run(r);
}
