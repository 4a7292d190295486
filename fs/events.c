#include "fs/events.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "imap/base/mem.h"
#include "imap/base/utf8.h"

enum { MOST = 1024 * 1024 }; /* bytes */

struct events {
    pthread_mutex_t lock;
    struct buf text;
    struct timespec last;
};

struct events *events_new(void)
{
    struct events *e = mem_zalloc(sizeof *e);
    pthread_mutex_init(&e->lock, NULL);
    clock_gettime(CLOCK_REALTIME, &e->last);
    return e;
}

void events_free(struct events *e)
{
    if (!e)
        return;
    buf_free(&e->text);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* A JSON string, which is UTF-8 (RFC 8259 sections 7 and 8.1). Keywords may have other bytes,
 * though IMAP forbids it: each is shown as the character of that number. */
static void add_string(struct buf *out, const char *s)
{
    buf_addc(out, '"');
    for (size_t left = strlen(s); left;) {
        uint32_t cp;
        size_t n = utf8_next(s, left, &cp);
        if (!n || utf8_is_control(cp)) {
            buf_addf(out, "\\u%04x", n ? cp : (uint32_t)(unsigned char)*s);
        } else {
            if (*s == '"' || *s == '\\')
                buf_addc(out, '\\');
            buf_add(out, s, n);
        }
        s += n ? n : 1;
        left -= n ? n : 1;
    }
    buf_addc(out, '"');
}

void events_add(struct fs *fs, const char *folder, const struct msg_info *m,
                enum account_event what, const char *flags)
{
    static const char *const names[] = {
        [EVENT_NEW] = "new", [EVENT_EXPUNGED] = "expunged", [EVENT_FLAGS] = "flags"};
    struct events *e = fs->events;
    char name[256];
    message_name(fs, m, name);
    pthread_mutex_lock(&e->lock);
    if (e->text.len > MOST)
        buf_free(&e->text); /* tail(1) notices that it was truncated */
    clock_gettime(CLOCK_REALTIME, &e->last);
    buf_addf(&e->text,
             "{\"time\":%lld.%03ld,\"event\":\"%s\",\"folder\":", (long long)e->last.tv_sec,
             e->last.tv_nsec / 1000000, names[what]);
    add_string(&e->text, folder);
    buf_addf(&e->text, ",\"uid\":%u,\"name\":", m->uid);
    add_string(&e->text, name);
    if (what == EVENT_FLAGS) {
        buf_adds(&e->text, ",\"flags\":");
        add_string(&e->text, flags);
    }
    buf_adds(&e->text, "}\n");
    pthread_mutex_unlock(&e->lock);
}

void events_stat(struct fs *fs, struct stat *st)
{
    struct events *e = fs->events;
    account_followed(fs->account); /* tail(1) reads only when this tells it that there is more */
    pthread_mutex_lock(&e->lock);
    st->st_size = (off_t)e->text.len;
    st->st_mtim = st->st_ctim = st->st_atim = e->last;
    pthread_mutex_unlock(&e->lock);
}

void events_read(fuse_req_t req, size_t size, off_t off)
{
    struct fs *fs = fuse_req_userdata(req);
    struct events *e = fs->events;
    pthread_mutex_lock(&e->lock);
    size_t at = (size_t)off < e->text.len ? (size_t)off : e->text.len;
    size_t n = e->text.len - at < size ? e->text.len - at : size;
    fuse_reply_buf(req, n ? e->text.data + at : NULL, n);
    pthread_mutex_unlock(&e->lock);
}
