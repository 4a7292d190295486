#include "fs/status.h"

#include <string.h>
#include <time.h>

#include "fs/notify.h"
#include "fs/request.h"
#include "fs/store.h"
#include "fs/textfile.h"
#include "imap/base/log.h"

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

enum { OLD = 1000 }; /* ms */

void status_refresh(struct fs *fs, const struct request *reader)
{
    struct buf text = {0};
    struct timespec now;
    compose_clean(fs, reader, &text);
    struct buf *old = textfile_begin(fs->status, &now);
    buf_free(old);
    *old = text;
    textfile_end(fs->status);
}

void status_refresh_old(struct fs *fs)
{
    if (textfile_age(fs->status) > OLD)
        status_refresh(fs, NULL);
}
