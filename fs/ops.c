#include "fs/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/attr.h"
#include "fs/dir.h"
#include "fs/lookup.h"
#include "fs/modify.h"
#include "fs/read.h"
#include "fs/reading.h"
#include "fs/request.h"
#include "fs/view.h"
#include "fs/xattr.h"

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct fs *fs = userdata;
    fs->no_open = conn->capable & (unsigned)FUSE_CAP_NO_OPEN_SUPPORT;
    /* With it O_TRUNC would come with the open that is not asked for, and not be refused. */
    if (fs->no_open)
        conn->want &= ~(unsigned)FUSE_CAP_ATOMIC_O_TRUNC;
    /* Attributes come with every entry at no cost, and programs that list look at what they list.
     */
    conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
    conn->want |= conn->capable & (unsigned)FUSE_CAP_PARALLEL_DIROPS;
    conn->max_background = 64; /* read-ahead of many readers at once */
    conn->congestion_threshold = 48;
    conn->time_gran = 1000000000; /* INTERNALDATE has seconds */
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    (void)ino;
    (void)nlookup;
    fuse_reply_none(req); /* inode numbers stand for themselves (node.h) */
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    (void)count;
    (void)forgets;
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;
    double timeout;
    (void)fi;
    struct fs *fs = fuse_req_userdata(req);
    pid_t tid = fuse_req_ctx(req)->pid;
    reading_heard(fs->reading, tid);
    int err = attr_now(fs, ino, tid, &st, &timeout);
    if (err)
        fuse_reply_err(req, -err);
    else
        fuse_reply_attr(req, &st, timeout);
}

/* What access(2) and chdir(2) ask. The owner's bits are meant for whoever may come here at all;
 * with allow_other the kernel goes by all of them itself and does not ask. */
static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    struct fs *fs = fuse_req_userdata(req);
    struct stat st;
    double timeout;
    int err = attr_now(fs, ino, fuse_req_ctx(req)->pid, &st, &timeout);
    if (!err && mask & W_OK && fs->opt->read_only)
        err = -EROFS;
    else if (!err && (unsigned)mask & ~(st.st_mode >> 6) & (R_OK | W_OK | X_OK))
        err = -EACCES;
    fuse_reply_err(req, -err);
}

/* The quota where the server tells one, in blocks of 1 KiB; else zeroes: unknown. */
static void statfs_step(struct request *r)
{
    struct folder_detail d = {0};
    struct node n = node_of(r->ino);
    uint32_t id = view_of(n) ? n.id : ACCOUNT_ROOT;
    if (!r->woken && account_quota(r->fs->account, id, &r->w) == -EINPROGRESS)
        return;
    struct statvfs st = {.f_bsize = 1024, .f_frsize = 1024, .f_namemax = 255};
    if (!r->err && account_folder_detail(r->fs->account, id, &d) == 0) {
        st.f_blocks = d.quota_limit;
        st.f_bfree = d.quota_limit > d.quota_used ? d.quota_limit - d.quota_used : 0;
        st.f_bavail = st.f_bfree;
        free(d.mailbox);
    }
    request_statfs(r, &st);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct request *r = request_new(req, statfs_step);
    r->ino = ino;
    request_run(r);
}

const struct fuse_lowlevel_ops fs_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .access = op_access,
    .setattr = op_setattr,
    .mknod = op_mknod,
    .symlink = op_symlink,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .rename = op_rename,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .releasedir = op_releasedir,
    .statfs = op_statfs,
    .setxattr = op_setxattr,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .removexattr = op_removexattr,
    .create = op_create,
};
