/* A folder's own directory. */
#include <errno.h>
#include <string.h>

#include "fs/message.h"
#include "fs/name.h"
#include "fs/view.h"

static int find(struct request *r, const struct view *v, uint32_t folder, const char *name,
                struct found *out)
{
    struct account *a = r->fs->account;
    (void)v;
    int err = account_child(a, folder, name, &out->folder);
    if (!err) {
        out->kind = NODE_FOLDER;
        return 0;
    }
    if (err != -ENOENT)
        return err;
    /* Behind the mailboxes: one that is called so stays reachable. */
    out->view = view_named(name);
    if (out->view && account_folder(a, folder, &out->folder) == 0 && out->folder.selectable) {
        out->kind = NODE_VIEW;
        return 0;
    }
    err = message_find(r, folder, name, out);
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

/* "4711.eml" is the message with that UID, as soon as there is one. */
static uint32_t uid_named(const char *name)
{
    char own[256];
    uint32_t uid;
    if (!name_parse_uid(name, &uid))
        return 0;
    name_uid_only(own, uid);
    return strcmp(name, own) == 0 ? uid : 0;
}

/* The name of a message comes from the message; saying that it was changed would be a lie. */
static int take(struct request *r, uint32_t folder, const char *name)
{
    struct account *a = r->fs->account;
    if (r->id)
        return view_named(name) ? -EPERM : account_rename(a, r->id, folder, name, &r->w);
    if (r->msg.folder == folder)
        return -EPERM;
    uint32_t uid = name ? uid_named(name) : 0;
    return account_move(a, r->msg.gen, r->msg.uid, folder, name, uid, &r->w);
}

/* A mailbox that is called like a view would hide it as soon as there are messages beside it. */
static int make(struct request *r, uint32_t folder)
{
    if (view_named(r->name))
        return -EPERM;
    return account_mkdir(r->fs->account, folder, r->name, &r->w);
}

const struct view view_folder = {
    .folders = true,
    .announced = true,
    .name = message_name,
    .find = find,
    .take = take,
    .mkdir = make,
    .create = -EOPNOTSUPP,
};
