#include "fs/status.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/notify.h"
#include "fs/request.h"
#include "fs/store.h"
#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

static void compose(struct fs *fs, const struct request *reader, struct buf *out)
{
    buf_addf(out, "imapfs: %s\nsource: %s\nmounted for: %lld s\n", IMAPFS_VERSION, fs->opt->source,
             (long long)(time(NULL) - fs->mounted_at));
    requests_status(fs->requests, reader, out);
    account_status(fs->account, out);
    notifier_status(fs->notifier, out);
    store_status(fs->store, out);
    struct buf last = {0};
    log_last(&last);
    buf_addf(out, "last error: %s\n", last.len ? buf_str(&last) : "none");
    buf_free(&last);
}

/* Lines, with everything in them that a server said made harmless for a terminal. */
static void compose_clean(struct fs *fs, const struct request *reader, struct buf *out)
{
    struct buf raw = {0};
    compose(fs, reader, &raw);
    for (const char *p = buf_str(&raw), *nl; (nl = strchr(p, '\n')); p = nl + 1) {
        log_escape(out, p, (size_t)(nl - p), (size_t)(nl - p));
        buf_addc(out, '\n');
    }
    buf_free(&raw);
}

struct status {
    pthread_mutex_t lock;
    struct buf text;
    struct timespec made;
    int64_t made_at; /* clock_ms(); 0: never */
};

enum { OLD = 1000 }; /* ms */

struct status *status_new(void)
{
    struct status *s = mem_zalloc(sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void status_free(struct status *s)
{
    if (!s)
        return;
    buf_free(&s->text);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void status_refresh(struct fs *fs, const struct request *reader)
{
    struct buf text = {0};
    compose_clean(fs, reader, &text);
    struct status *s = fs->status;
    pthread_mutex_lock(&s->lock);
    buf_free(&s->text);
    s->text = text;
    /* A new time even for a text of the same length: by it the kernel knows to read again. */
    clock_gettime(CLOCK_REALTIME, &s->made);
    s->made_at = clock_ms();
    pthread_mutex_unlock(&s->lock);
}

void status_refresh_old(struct fs *fs)
{
    struct status *s = fs->status;
    pthread_mutex_lock(&s->lock);
    bool old = !s->made_at || clock_ms() - s->made_at > OLD;
    pthread_mutex_unlock(&s->lock);
    if (old)
        status_refresh(fs, NULL);
}

void status_stat(struct fs *fs, struct stat *st)
{
    struct status *s = fs->status;
    pthread_mutex_lock(&s->lock);
    st->st_size = (off_t)s->text.len;
    st->st_mtim = st->st_ctim = st->st_atim = s->made;
    pthread_mutex_unlock(&s->lock);
}

void status_read(fuse_req_t req, size_t size, off_t off)
{
    struct fs *fs = fuse_req_userdata(req);
    struct status *s = fs->status;
    pthread_mutex_lock(&s->lock);
    size_t at = (size_t)off < s->text.len ? (size_t)off : s->text.len;
    size_t n = s->text.len - at < size ? s->text.len - at : size;
    fuse_reply_buf(req, n ? s->text.data + at : NULL, n);
    pthread_mutex_unlock(&s->lock);
}
