#include "fs/reading.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <utlist.h>

#include "fs/notify.h"
#include "imap/base/clock.h"
#include "imap/base/mem.h"

enum {
    MOMENT = 50,   /* ms that a READ may take to here, and an answer until the kernel takes note */
    RECENT = 500,  /* ms in which an answer to another thread may yet reach the kernel */
    LISTED = 1000, /* ms in which a listing that was answered may yet reach the kernel */
    TOLD = 1024,   /* files remembered that something was told of */
    HEARD = 1024,  /* threads remembered that made a call */
    REFUSED = 64,  /* READs remembered that are expected again */
    AGAIN = 5000,  /* ms for which a READ is expected again */
};

/* A READ that is not answered yet. */
struct read {
    struct read *prev, *next;
    struct file *file;
    uint64_t off;
    bool stale;              /* the kernel may not believe that the file ends in it */
    bool again;              /* it was refused before */
    struct request *waiting; /* what it is answered with after those in front of it; else NULL */
};

/* A file with such READs. */
struct file {
    fuse_ino_t ino;
    struct read *reads;
    bool ended; /* the kernel was told where it ends, by a READ, */
    bool off;   /* or only that it ends before a place that is behind it */
    UT_hash_handle hh;
};

/* The last that was told of a file. */
struct told {
    fuse_ino_t ino;
    pid_t tid; /* 0: several threads, or all */
    int64_t at;
    struct {
        uint64_t call; /* calls at that time; 0: no listing told of it */
        pid_t tid;     /* 0: several threads */
        int64_t at;
    } listed;
};

struct reading {
    pthread_mutex_t lock;
    struct file *files;
    uint64_t calls; /* that were heard of */
    struct {
        pid_t tid;
        uint64_t call; /* its last one */
    } heard[HEARD];
    struct told told[TOLD];
    struct {
        fuse_ino_t ino;
        uint64_t off, end;
        int64_t at;
    } refused[REFUSED];
    unsigned next_refused;
};

struct reading *reading_new(void)
{
    struct reading *rd = mem_zalloc(sizeof *rd);
    pthread_mutex_init(&rd->lock, NULL);
    return rd;
}

void reading_free(struct reading *rd)
{
    if (!rd)
        return;
    pthread_mutex_destroy(&rd->lock);
    free(rd);
}

/* ---- what was told ---- */

static unsigned slot(fuse_ino_t ino)
{
    return (unsigned)(ino ^ ino >> 32) % TOLD;
}

static struct told *told_locked(struct reading *rd, fuse_ino_t ino, pid_t tid)
{
    struct file *f;
    struct read *x;
    struct told *t = &rd->told[slot(ino)];
    int64_t now = clock_ms();
    if (t->ino != ino)
        *t = (struct told){.ino = ino, .tid = tid};
    else if (now - t->at >= RECENT)
        t->tid = tid;
    else if (t->tid != tid)
        t->tid = 0;
    t->at = now;
    HASH_FIND(hh, rd->files, &ino, sizeof ino, f);
    if (f)
        DL_FOREACH (f->reads, x)
            x->stale = true;
    return t;
}

void reading_told(struct reading *rd, fuse_ino_t ino, pid_t tid)
{
    pthread_mutex_lock(&rd->lock);
    told_locked(rd, ino, tid);
    pthread_mutex_unlock(&rd->lock);
}

/* May the kernel not have taken note yet of what a listing told of the file? */
static bool is_listed_locked(const struct reading *rd, fuse_ino_t ino)
{
    const struct told *t = &rd->told[slot(ino)];
    pid_t tid = t->listed.tid;
    if (t->ino != ino || !t->listed.call || clock_ms() - t->listed.at >= LISTED)
        return false;
    return !tid || rd->heard[tid % HEARD].tid != tid ||
           rd->heard[tid % HEARD].call <= t->listed.call;
}

bool reading_listed(struct reading *rd, fuse_ino_t ino, pid_t tid, bool sized)
{
    struct file *f;
    pthread_mutex_lock(&rd->lock);
    HASH_FIND(hh, rd->files, &ino, sizeof ino, f);
    if (!f && !sized) {
        bool another = is_listed_locked(rd, ino) && rd->told[slot(ino)].listed.tid != tid;
        struct told *t = told_locked(rd, ino, tid);
        t->listed.call = ++rd->calls;
        t->listed.tid = another ? 0 : tid;
        t->listed.at = t->at;
    }
    pthread_mutex_unlock(&rd->lock);
    return !f;
}

void reading_heard(struct reading *rd, pid_t tid)
{
    if (tid <= 0)
        return;
    pthread_mutex_lock(&rd->lock);
    rd->heard[tid % HEARD].tid = tid;
    rd->heard[tid % HEARD].call = ++rd->calls;
    pthread_mutex_unlock(&rd->lock);
}

static bool told_just_now_locked(const struct reading *rd, fuse_ino_t ino, pid_t tid)
{
    const struct told *t = &rd->told[slot(ino)];
    if (is_listed_locked(rd, ino))
        return true;
    return t->ino == ino && clock_ms() - t->at < RECENT && (!tid || t->tid != tid);
}

static void refuse_locked(struct reading *rd, const struct read *x, size_t size)
{
    unsigned i = rd->next_refused++ % REFUSED;
    rd->refused[i].ino = x->file->ino;
    rd->refused[i].off = x->off;
    rd->refused[i].end = x->off + size;
    rd->refused[i].at = clock_ms();
}

static bool was_refused_locked(const struct reading *rd, fuse_ino_t ino, uint64_t off)
{
    for (unsigned i = 0; i < REFUSED; i++)
        if (rd->refused[i].ino == ino && off >= rd->refused[i].off && off < rd->refused[i].end &&
            clock_ms() - rd->refused[i].at < AGAIN)
            return true;
    return false;
}

/* ---- READs ---- */

void reading_begin(struct reading *rd, struct request *r)
{
    struct read *x = mem_zalloc(sizeof *x);
    x->off = (uint64_t)r->off;
    r->read = x;
    pthread_mutex_lock(&rd->lock);
    struct file *f;
    HASH_FIND(hh, rd->files, &r->ino, sizeof r->ino, f);
    if (!f) {
        f = mem_zalloc(sizeof *f);
        f->ino = r->ino;
        HASH_ADD(hh, rd->files, ino, sizeof f->ino, f);
    }
    x->file = f;
    x->stale = told_just_now_locked(rd, r->ino, r->tid);
    x->again = was_refused_locked(rd, r->ino, x->off);
    DL_APPEND(f->reads, x);
    pthread_mutex_unlock(&rd->lock);
}

/* Does its answer say that the file ends before where the READ does, and the kernel may think
 * otherwise? */
static bool is_cut(const struct request *r)
{
    return !r->err && r->slices.len < r->size && (uint64_t)r->off + r->size > r->end;
}

/* Does the file end before it? */
static bool is_behind(const struct request *r)
{
    return is_cut(r) && (uint64_t)r->off > r->end;
}

static bool is_first_locked(const struct read *x)
{
    const struct read *other;
    DL_FOREACH (x->file->reads, other)
        if (other->off < x->off)
            return false;
    return true;
}

/* Would the kernel not believe where the file ends, or believe a place that is behind its end? Then
 * it is to ask again. */
static bool is_to_refuse_locked(const struct read *x, const struct request *r)
{
    return is_cut(r) && !x->again && (is_behind(r) || (x->stale && !x->file->ended));
}

/* Sends the answer, which ends the request. */
static void send(struct reading *rd, struct read *x, struct request *r)
{
    pthread_mutex_lock(&rd->lock);
    bool cut = is_cut(r), behind = is_behind(r);
    bool refuse = is_to_refuse_locked(x, r);
    if (refuse)
        refuse_locked(rd, x, r->size);
    pthread_mutex_unlock(&rd->lock);
    bool sent = false;
    if (r->err || refuse)
        request_err(r, r->err ? r->err : -EIO);
    else
        sent = request_slices(r);
    if (!cut || !sent)
        return;
    pthread_mutex_lock(&rd->lock);
    x->file->ended |= !behind;
    x->file->off |= behind;
    if (behind && !x->file->ended)
        told_locked(rd, x->file->ino, 0); /* also one in front of it that has not come yet */
    pthread_mutex_unlock(&rd->lock);
}

/* The READ was answered. Returns another one that waited for that, and what it is answered with; or
 * NULL. */
static struct read *end(struct reading *rd, struct read *x, struct notifier *notifier,
                        struct request **r)
{
    struct file *f = x->file;
    struct read *next = NULL;
    pthread_mutex_lock(&rd->lock);
    DL_DELETE(f->reads, x);
    free(x);
    DL_FOREACH (f->reads, x)
        if (x->waiting && is_first_locked(x))
            next = x;
    if (next) {
        *r = next->waiting;
        next->waiting = NULL;
    }
    bool wrong = !f->reads && f->off && !f->ended;
    fuse_ino_t ino = f->ino;
    if (!f->reads) {
        HASH_DEL(rd->files, f);
        free(f);
    }
    pthread_mutex_unlock(&rd->lock);
    if (wrong) /* not before the kernel has taken note of the answer */
        notify_attr_later(notifier, ino, MOMENT);
    return next;
}

/* Answers it, unless it says too little while another one in front of it will say it all. */
static void answer(struct reading *rd, struct request *r)
{
    struct read *x = r->read;
    struct notifier *notifier = r->fs->notifier;
    pthread_mutex_lock(&rd->lock);
    bool waits = is_behind(r) && x->again && !is_first_locked(x);
    if (waits)
        x->waiting = r;
    pthread_mutex_unlock(&rd->lock);
    while (!waits && x) {
        send(rd, x, r);
        x = end(rd, x, notifier, &r);
    }
}

static void answer_later(void *arg)
{
    struct request *r = arg;
    struct reading *rd = r->fs->reading;
    pthread_mutex_lock(&rd->lock);
    bool later = is_to_refuse_locked(r->read, r) && is_listed_locked(rd, r->ino);
    pthread_mutex_unlock(&rd->lock);
    if (!later || !notify_then_later(r->fs->notifier, answer_later, r, MOMENT))
        answer(rd, r);
}

void reading_answer(struct reading *rd, struct request *r)
{
    struct read *x = r->read;
    pthread_mutex_lock(&rd->lock);
    /* The kernel may not have taken note yet: of what it was told before it asks again, and of
     * the page in which the file ends before it is told of another end. */
    bool later = is_behind(r) ? x->again : is_to_refuse_locked(x, r);
    pthread_mutex_unlock(&rd->lock);
    if (!later || !notify_then_later(r->fs->notifier, answer_later, r, MOMENT))
        answer(rd, r);
}
