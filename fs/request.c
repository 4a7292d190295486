#include "fs/request.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <utlist.h>

#include "fs/caller.h"
#include "fs/reading.h"
#include "imap/base/clock.h"
#include "imap/base/mem.h"

enum {
    LOOK_AGAIN = 50,     /* ms between two looks at the callers who got a signal */
    HIDDEN_WAITS = 2000, /* ms that one who cannot be looked at has for the answer */
};

/* The caller of a request has got a signal. */
struct interrupt {
    struct interrupt *prev, *next;
    struct request *r;
    pid_t tid;
    int64_t at;     /* when that was */
    uint64_t round; /* the last one in which he was looked at */
};

struct requests {
    pthread_mutex_t lock;
    struct request *by_req; /* those that an interrupt may still answer */
    bool closed;

    /* The thread that looks at callers sleeps while there are none. */
    pthread_t watcher;
    pthread_cond_t cond;
    bool watching, stop;
    struct interrupt *interrupts;
    uint64_t round;
    unsigned long long looks, left; /* counters for the status */
};

struct requests *requests_new(void)
{
    struct requests *rs = mem_zalloc(sizeof *rs);
    pthread_mutex_init(&rs->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&rs->cond, &attr);
    pthread_condattr_destroy(&attr);
    return rs;
}

void requests_free(struct requests *rs)
{
    if (!rs)
        return;
    pthread_cond_destroy(&rs->cond);
    pthread_mutex_destroy(&rs->lock);
    free(rs);
}

void requests_status(struct requests *rs, const struct request *reader, struct buf *out)
{
    struct interrupt *i;
    size_t n;
    pthread_mutex_lock(&rs->lock);
    unsigned calls = HASH_COUNT(rs->by_req) - (reader && reader->req);
    DL_COUNT(rs->interrupts, i, n);
    n -= reader && reader->interrupt;
    buf_addf(out,
             "calls waiting: %u\ncalls waiting in spite of a signal: %zu\n"
             "looks at callers with a signal: %llu\ncalls ended by a signal: %llu\n",
             calls, n, rs->looks, rs->left);
    pthread_mutex_unlock(&rs->lock);
}

/* ---- signals ---- */

static void interrupt_free_locked(struct requests *rs, struct request *r)
{
    if (!r->interrupt)
        return;
    DL_DELETE(rs->interrupts, r->interrupt);
    free(r->interrupt);
    r->interrupt = NULL;
}

/* Takes the call away from its request, which goes on without one; NULL when it is answered. */
static fuse_req_t claim_locked(struct requests *rs, struct request *r)
{
    fuse_req_t req = r->req;
    if (req)
        HASH_DEL(rs->by_req, r);
    r->req = NULL;
    interrupt_free_locked(rs, r);
    return req;
}

static void interrupted_locked(struct requests *rs, struct request *r)
{
    if (r->interrupt)
        return;
    struct interrupt *i = mem_zalloc(sizeof *i);
    i->r = r;
    i->tid = r->tid;
    i->at = clock_ms();
    r->interrupt = i;
    DL_APPEND(rs->interrupts, i);
    pthread_cond_signal(&rs->cond);
}

/* libfuse calls this with the request's own lock held, from another worker, perhaps when the
 * request has just been answered. So it is given the table and not the request, and looks. */
static void on_interrupt(fuse_req_t req, void *data)
{
    struct requests *rs = data;
    struct request *r;
    pthread_mutex_lock(&rs->lock);
    HASH_FIND_PTR(rs->by_req, &req, r);
    if (r)
        interrupted_locked(rs, r);
    pthread_mutex_unlock(&rs->lock);
}

static struct interrupt *next_of_round(struct requests *rs)
{
    struct interrupt *i;
    DL_FOREACH (rs->interrupts, i) {
        if (i->round != rs->round)
            return i;
    }
    return NULL;
}

/* Looks at the caller, for which the lock is let go of: the call may have been answered meanwhile,
 * and other calls may have come. */
static void look_locked(struct requests *rs, struct interrupt *i)
{
    struct request *r = i->r;
    fuse_req_t req = NULL;
    pid_t tid = i->tid;
    i->round = rs->round;
    pthread_mutex_unlock(&rs->lock);
    enum caller caller = caller_look(tid);
    pthread_mutex_lock(&rs->lock);
    rs->looks++;
    DL_FOREACH (rs->interrupts, i) {
        if (i->r == r && i->tid == tid && i->round == rs->round)
            break;
    }
    if (i && (caller == CALLER_LEAVES ||
              (caller == CALLER_HIDDEN && clock_ms() - i->at >= HIDDEN_WAITS)))
        req = claim_locked(rs, r);
    rs->left += req != NULL;
    pthread_mutex_unlock(&rs->lock);
    if (req)
        fuse_reply_err(req, EINTR);
    pthread_mutex_lock(&rs->lock);
}

static void *watcher_main(void *arg)
{
    struct requests *rs = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_mutex_lock(&rs->lock);
    while (!rs->stop) {
        struct interrupt *i;
        rs->round++;
        while ((i = next_of_round(rs)))
            look_locked(rs, i);
        if (rs->stop)
            break;
        struct timespec then;
        clock_gettime(CLOCK_MONOTONIC, &then);
        then.tv_nsec += LOOK_AGAIN * 1000000L;
        then.tv_sec += then.tv_nsec / 1000000000;
        then.tv_nsec %= 1000000000;
        if (rs->interrupts)
            pthread_cond_timedwait(&rs->cond, &rs->lock, &then);
        else
            pthread_cond_wait(&rs->cond, &rs->lock);
    }
    pthread_mutex_unlock(&rs->lock);
    return NULL;
}

int requests_start(struct requests *rs)
{
    int err = pthread_create(&rs->watcher, NULL, watcher_main, rs);
    rs->watching = !err;
    return -err;
}

void requests_stop(struct requests *rs)
{
    pthread_mutex_lock(&rs->lock);
    rs->stop = true;
    pthread_cond_signal(&rs->cond);
    pthread_mutex_unlock(&rs->lock);
    if (rs->watching)
        pthread_join(rs->watcher, NULL);
    rs->watching = false;
}

/* ---- requests ---- */

void requests_close(struct requests *rs)
{
    pthread_mutex_lock(&rs->lock);
    rs->closed = true;
    pthread_mutex_unlock(&rs->lock);
}

static void wake(struct waiter *w, int err)
{
    struct request *r = (struct request *)w;
    r->woken = true;
    r->err = err;
    r->step(r);
}

struct request *request_new(fuse_req_t req, void (*step)(struct request *))
{
    struct request *r = mem_zalloc(sizeof *r);
    r->w.wake = wake;
    r->req = req;
    r->fs = fuse_req_userdata(req);
    r->tid = fuse_req_ctx(req)->pid;
    r->step = step;
    r->began = clock_ms();
    reading_heard(r->fs->reading, r->tid);
    return r;
}

static void request_free(struct request *r)
{
    free(r->name);
    free(r->to.name);
    buf_free(&r->out);
    slices_free(&r->slices);
    free(r);
}

void request_run(struct request *r)
{
    struct requests *rs = r->fs->requests;
    fuse_req_t req = r->req;
    /* Registered before it can be seen: once it is in the table, another thread may answer and end
     * it. An interrupt that came before that is noticed here, one that comes later finds it. */
    fuse_req_interrupt_func(req, on_interrupt, rs);
    pthread_mutex_lock(&rs->lock);
    bool closed = rs->closed;
    if (!closed) {
        HASH_ADD_PTR(rs->by_req, req, r);
        if (fuse_req_interrupted(req))
            interrupted_locked(rs, r);
    }
    pthread_mutex_unlock(&rs->lock);
    if (closed) {
        fuse_reply_err(req, ENOTCONN);
        request_free(r);
        return;
    }
    r->step(r);
}

/* The call to answer, or NULL when a signal did. */
static fuse_req_t claim(struct request *r)
{
    struct requests *rs = r->fs->requests;
    pthread_mutex_lock(&rs->lock);
    fuse_req_t req = claim_locked(rs, r);
    pthread_mutex_unlock(&rs->lock);
    return req;
}

void request_err(struct request *r, int err)
{
    fuse_req_t req = claim(r);
    if (req)
        fuse_reply_err(req, -err);
    request_free(r);
}

void request_entry(struct request *r, const struct fuse_entry_param *e)
{
    fuse_req_t req = claim(r);
    if (req)
        fuse_reply_entry(req, e);
    request_free(r);
}

void request_open(struct request *r)
{
    fuse_req_t req = claim(r);
    if (req)
        fuse_reply_open(req, &r->fi);
    request_free(r);
}

void request_bytes(struct request *r, const void *data, size_t len)
{
    fuse_req_t req = claim(r);
    if (req)
        fuse_reply_buf(req, data, len);
    request_free(r);
}

bool request_slices(struct request *r)
{
    enum { MOST = 256 }; /* writev(2) takes 1024 */
    const struct slices *s = &r->slices;
    struct iovec iov[MOST];
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *data = s->v[i].blob->data + s->v[i].off;
        if (s->n > MOST)
            buf_add(&r->out, data, s->v[i].len);
        else
            iov[n++] = (struct iovec){(void *)(uintptr_t)data, s->v[i].len};
    }
    fuse_req_t req = claim(r);
    if (req && s->n > MOST)
        fuse_reply_buf(req, r->out.data, r->out.len);
    else if (req)
        fuse_reply_iov(req, iov, (int)n);
    request_free(r);
    return req != NULL;
}

void request_xattr_size(struct request *r, size_t size)
{
    fuse_req_t req = claim(r);
    if (req)
        fuse_reply_xattr(req, size);
    request_free(r);
}

void request_statfs(struct request *r, const struct statvfs *st)
{
    fuse_req_t req = claim(r);
    if (req)
        fuse_reply_statfs(req, st);
    request_free(r);
}
