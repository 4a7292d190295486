#include "fs/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/notify.h"
#include "fs/request.h"
#include "imap/log.h"
#include "imap/mem.h"

static void compose(struct fs *fs, struct buf *out)
{
    buf_addf(out, "imapfs: %s\nsource: %s\nmounted for: %lld s\ncalls waiting: %zu\n",
             IMAPFS_VERSION, fs->opt->source, (long long)(time(NULL) - fs->mounted_at),
             requests_pending(fs->requests));
    account_status(fs->account, out);
    notifier_status(fs->notifier, out);
    struct buf last = {0};
    log_last(&last);
    buf_addf(out, "last error: %s\n", last.len ? buf_str(&last) : "none");
    buf_free(&last);
}

/* Lines, with everything in them that a server said made harmless for a terminal. */
static void compose_clean(struct fs *fs, struct buf *out)
{
    struct buf raw = {0};
    compose(fs, &raw);
    for (const char *p = buf_str(&raw), *nl; (nl = strchr(p, '\n')); p = nl + 1) {
        log_escape(out, p, (size_t)(nl - p), (size_t)(nl - p));
        buf_addc(out, '\n');
    }
    buf_free(&raw);
}

void status_open(fuse_req_t req, struct fuse_file_info *fi)
{
    if ((fi->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(req, EACCES);
        return;
    }
    struct buf *text = mem_zalloc(sizeof *text);
    compose_clean(fuse_req_userdata(req), text);
    fi->fh = (uintptr_t)text;
    fi->direct_io = 1; /* its size is not known before it is opened */
    if (fuse_reply_open(req, fi) == -ENOENT)
        status_release(fi);
}

void status_read(fuse_req_t req, size_t size, off_t off, const struct fuse_file_info *fi)
{
    const struct buf *text = (const struct buf *)(uintptr_t)fi->fh;
    size_t at = (size_t)off < text->len ? (size_t)off : text->len;
    size_t n = text->len - at < size ? text->len - at : size;
    fuse_reply_buf(req, text->data + at, n);
}

void status_release(const struct fuse_file_info *fi)
{
    struct buf *text = (struct buf *)(uintptr_t)fi->fh;
    buf_free(text);
    free(text);
}
