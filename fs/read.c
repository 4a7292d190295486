#include "fs/read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/notify.h"
#include "fs/request.h"
#include "fs/status.h"

/* ---- messages ---- */

static void answer_read(void *arg)
{
    struct request *r = arg;
    request_bytes(r, r->out.data, r->out.len);
}

static void read_step(struct request *r)
{
    struct node n = node_of(r->ino);
    buf_reset(&r->out);
    int err = r->err ? r->err
                     : account_read(r->fs->account, n.id, n.uid, (uint64_t)r->off, r->size, &r->out,
                                    &r->w);
    if (err == -EINPROGRESS)
        return;
    if (err) {
        request_err(r, err);
        return;
    }
    /* Bytes may have shown that the announced size was wrong. The kernel must know before the
     * reader gets them, or he would stop where the file seemed to end. */
    if (!notify_then(r->fs->notifier, answer_read, r))
        answer_read(r);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct node n = node_of(ino);
    if (n.kind == NODE_STATUS) {
        status_read(req, size, off, fi);
        return;
    }
    struct request *r = request_new(req, read_step);
    r->ino = ino;
    r->size = size;
    r->off = off;
    request_run(r);
}

/* ---- opening ---- */

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct node n = node_of(ino);
    struct msg_info m;
    if (n.kind == NODE_STATUS) {
        status_open(req, fi);
        return;
    }
    if (n.kind != NODE_MESSAGE) {
        fuse_reply_err(req, EISDIR);
        return;
    }
    int err = account_msg(fs->account, n.id, n.uid, &m);
    if (!err && (fi->flags & O_ACCMODE) != O_RDONLY)
        err = -EPERM;   /* a message is what was received; it cannot be written to */
    fi->keep_cache = 1; /* its bytes never change */
    if (err)
        fuse_reply_err(req, -err);
    else
        fuse_reply_open(req, fi);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (node_of(ino).kind == NODE_STATUS)
        status_release(fuse_req_userdata(req), fi);
    fuse_reply_err(req, 0);
}
