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

/* An open status file. */
struct status {
    size_t len;
    char text[];
};

void status_open(fuse_req_t req, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    if ((fi->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(req, EACCES);
        return;
    }
    struct buf text = {0};
    compose_clean(fs, &text);
    struct status *s = opened_new(fs->requests, sizeof *s + text.len);
    s->len = text.len;
    memcpy(s->text, buf_str(&text), text.len);
    buf_free(&text);
    fi->fh = (uintptr_t)s;
    fi->direct_io = 1; /* its size is not known before it is opened */
    if (fuse_reply_open(req, fi) != 0)
        status_release(fs, fi);
}

void status_read(fuse_req_t req, size_t size, off_t off, const struct fuse_file_info *fi)
{
    const struct status *s = (const struct status *)(uintptr_t)fi->fh;
    size_t at = (size_t)off < s->len ? (size_t)off : s->len;
    size_t n = s->len - at < size ? s->len - at : size;
    fuse_reply_buf(req, s->text + at, n);
}

void status_release(const struct fs *fs, const struct fuse_file_info *fi)
{
    opened_free(fs->requests, (void *)(uintptr_t)fi->fh);
}
