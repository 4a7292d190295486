/* From a name in a directory to what it stands for. */
#ifndef FS_LOOKUP_H
#define FS_LOOKUP_H

#include "fs/request.h"

struct found {
    enum node_kind kind;
    uint8_t view;              /* of NODE_VIEW */
    struct folder_info folder; /* of NODE_FOLDER and NODE_VIEW */
    struct msg_info msg;       /* of NODE_MESSAGE */
    bool listed;               /* `name` is the name that readdir shows, and so stays */
    bool fleeting;             /* nobody tells the kernel when `name` stands for it no longer */
    bool given;                /* `name` is not the message's own: it was moved here by that name */
};

/* Looks `name` up in the directory `parent`. 0, -ENOENT, -ESTALE, -ENOTDIR, or -EINPROGRESS: then
 * the request runs again and looks again. */
int lookup_name(struct request *r, fuse_ino_t parent, const char *name, struct found *out);

/* Fills in what there is to say of it. */
void lookup_describe(struct fs *fs, const struct found *found, struct fuse_entry_param *e);

/* The same, as the answer of a lookup by the thread `tid`. */
void lookup_entry(struct fs *fs, pid_t tid, const struct found *found, struct fuse_entry_param *e);

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);

#endif
