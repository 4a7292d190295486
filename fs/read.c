#include "fs/read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/notify.h"
#include "fs/reading.h"
#include "fs/request.h"
#include "fs/store.h"
#include "fs/textfile.h"

/* ---- messages ---- */

static void answer_read(void *arg)
{
    struct request *r = arg;
    reading_answer(r->fs->reading, r);
}

static void read_step(struct request *r)
{
    struct node n = node_of(r->ino);
    if (r->phase++ == 0)
        reading_begin(r->fs->reading, r);
    slices_reset(&r->slices);
    buf_reset(&r->out);
    int err = r->err ? r->err
                     : account_read(r->fs->account, n.id, n.uid, (uint64_t)r->off, r->size,
                                    &r->slices, &r->end, &r->w);
    if (err == -EINPROGRESS)
        return;
    r->err = err;
    /* Bytes may have shown that the message is longer than was announced. The kernel must know
     * before the reader gets them, or he would stop where the file seemed to end. */
    if (err || !notify_then(r->fs->notifier, answer_read, r))
        answer_read(r);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct node n = node_of(ino);
    (void)fi;
    if (n.kind == NODE_STATUS || n.kind == NODE_EVENTS) {
        textfile_read(n.kind == NODE_STATUS ? fs->status : fs->events, req, size, off);
        return;
    }
    struct request *r = request_new(req, read_step);
    r->ino = ino;
    r->size = size;
    r->off = off;
    request_run(r);
}

/* ---- opening and writing ---- */

/* Nothing is kept for an open file, and its bytes never change. ENOSYS tells the kernel so, once
 * and for all: from then on it neither opens nor releases, which for small messages is most of the
 * cost of reading them. So what is opened for writing is refused when it is written to. */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    const struct fs *fs = fuse_req_userdata(req);
    enum node_kind kind = node_of(ino).kind;
    fi->keep_cache = kind == NODE_MESSAGE;
    if (fs->no_open)
        fuse_reply_err(req, ENOSYS);
    else if ((fi->flags & O_ACCMODE) != O_RDONLY)
        fuse_reply_err(req, EPERM);
    else
        fuse_reply_open(req, fi);
}

/* A message is what was received; it cannot be written to. */
void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
              struct fuse_file_info *fi)
{
    const struct fs *fs = fuse_req_userdata(req);
    struct node n = node_of(ino);
    (void)data;
    (void)size;
    (void)off;
    (void)fi;
    fuse_reply_err(req, EPERM);
    if (n.kind == NODE_MESSAGE)
        store_drop(fs->store, n.id, n.uid); /* written through mmap(2), it would stay in memory */
}
