#include "fs/lookup.h"

#include <errno.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/control.h"
#include "fs/reading.h"
#include "fs/status.h"
#include "fs/view.h"
#include "fs/wish.h"
#include "imap/base/mem.h"

int lookup_name(struct request *r, fuse_ino_t parent, const char *name, struct found *out)
{
    struct node dir = node_of(parent);
    const struct view *v = view_of(dir);
    out->listed = out->given = out->fleeting = false;
    if (control_find(dir, name, &out->kind))
        return 0;
    if (!v)
        return dir.kind == NODE_CONTROL ? -ENOENT : -ENOTDIR;
    int err = v->find(r, v, dir.id, name, out);
    out->fleeting = !v->announced;
    return err;
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
    case NODE_VIEW:
        attr_view(fs, &found->folder, found->view, &e->attr);
        break;
    case NODE_MESSAGE:
        attr_message(fs, &found->msg, 0, &e->attr);
        e->attr_timeout = attr_timeout(&found->msg);
        if (found->fleeting)
            e->entry_timeout = 0;
        else if (found->listed && account_promise(fs->account, found->msg.folder))
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
    if (found.kind == NODE_MESSAGE && !found.fleeting)
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
