#include "fs/textfile.h"

#include <pthread.h>
#include <stdlib.h>

#include "imap/base/clock.h"
#include "imap/base/mem.h"

struct textfile {
    pthread_mutex_t lock; /* of all that follows */
    struct buf text;
    struct timespec time; /* as stat(2) says it */
    int64_t written_at;   /* clock_ms(); 0: never */
};

struct textfile *textfile_new(void)
{
    struct textfile *t = mem_zalloc(sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    clock_gettime(CLOCK_REALTIME, &t->time);
    return t;
}

void textfile_free(struct textfile *t)
{
    if (!t)
        return;
    buf_free(&t->text);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

struct buf *textfile_begin(struct textfile *t, struct timespec *now)
{
    pthread_mutex_lock(&t->lock);
    clock_gettime(CLOCK_REALTIME, &t->time);
    t->written_at = clock_ms();
    *now = t->time;
    return &t->text;
}

void textfile_end(struct textfile *t)
{
    pthread_mutex_unlock(&t->lock);
}

int64_t textfile_age(struct textfile *t)
{
    pthread_mutex_lock(&t->lock);
    int64_t age = t->written_at ? clock_ms() - t->written_at : INT64_MAX;
    pthread_mutex_unlock(&t->lock);
    return age;
}

void textfile_stat(struct textfile *t, struct stat *st)
{
    pthread_mutex_lock(&t->lock);
    st->st_size = (off_t)t->text.len;
    st->st_mtim = st->st_ctim = st->st_atim = t->time;
    pthread_mutex_unlock(&t->lock);
}

void textfile_read(struct textfile *t, fuse_req_t req, size_t size, off_t off)
{
    pthread_mutex_lock(&t->lock);
    size_t at = (size_t)off < t->text.len ? (size_t)off : t->text.len;
    size_t n = t->text.len - at < size ? t->text.len - at : size;
    fuse_reply_buf(req, n ? t->text.data + at : NULL, n);
    pthread_mutex_unlock(&t->lock);
}
