#include "fs/request.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "imap/clock.h"
#include "imap/mem.h"

struct requests {
    pthread_mutex_t lock;
    struct request *by_req; /* those that an interrupt may still answer */
    bool closed;
};

struct requests *requests_new(void)
{
    struct requests *rs = mem_zalloc(sizeof *rs);
    pthread_mutex_init(&rs->lock, NULL);
    return rs;
}

void requests_free(struct requests *rs)
{
    if (!rs)
        return;
    pthread_mutex_destroy(&rs->lock);
    free(rs);
}

size_t requests_pending(struct requests *rs)
{
    pthread_mutex_lock(&rs->lock);
    size_t n = HASH_COUNT(rs->by_req);
    pthread_mutex_unlock(&rs->lock);
    return n;
}

/* libfuse calls this with the request's own lock held, from another worker, perhaps when the
 * request has just been answered. So it is given the table and not the request, and looks. */
static void on_interrupt(fuse_req_t req, void *data)
{
    struct requests *rs = data;
    struct request *r;
    pthread_mutex_lock(&rs->lock);
    HASH_FIND_PTR(rs->by_req, &req, r);
    if (r) {
        HASH_DEL(rs->by_req, r);
        r->req = NULL;
    }
    pthread_mutex_unlock(&rs->lock);
    if (r)
        fuse_reply_err(req, EINTR);
}

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
    r->step = step;
    r->began = clock_ms();
    return r;
}

static void request_free(struct request *r)
{
    free(r->name);
    free(r->name2);
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
    int err = rs->closed ? ENOTCONN : fuse_req_interrupted(req) ? EINTR : 0;
    if (!err)
        HASH_ADD_PTR(rs->by_req, req, r);
    pthread_mutex_unlock(&rs->lock);
    if (err) {
        fuse_reply_err(req, err);
        request_free(r);
        return;
    }
    r->step(r);
}

/* The call to answer, or NULL when an interrupt did. */
static fuse_req_t claim(struct request *r)
{
    struct requests *rs = r->fs->requests;
    pthread_mutex_lock(&rs->lock);
    fuse_req_t req = r->req;
    if (req)
        HASH_DEL(rs->by_req, r);
    r->req = NULL;
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

void request_attr(struct request *r, const struct stat *st, double timeout)
{
    fuse_req_t req = claim(r);
    if (req)
        fuse_reply_attr(req, st, timeout);
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

void request_slices(struct request *r)
{
    enum { MOST = 256 }; /* writev(2) takes 1024 */
    const struct slices *s = &r->slices;
    if (s->n > MOST) {
        for (size_t i = 0; i < s->n; i++)
            buf_add(&r->out, s->v[i].blob->data + s->v[i].off, s->v[i].len);
        request_bytes(r, r->out.data, r->out.len);
        return;
    }
    fuse_req_t req = claim(r);
    if (req) {
        struct iovec *iov = mem_alloc((s->n + 1) * sizeof *iov);
        for (size_t i = 0; i < s->n; i++)
            iov[i] =
                (struct iovec){(void *)(uintptr_t)(s->v[i].blob->data + s->v[i].off), s->v[i].len};
        fuse_reply_iov(req, iov, (int)s->n);
        free(iov);
    }
    request_free(r);
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
