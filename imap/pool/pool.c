/* The life of the pool, and what the cache asks of it.
 *
 * One lock guards the queue and the lanes; it is never held while a callback runs, and callers may
 * hold their own locks while they submit. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/conn/handler.h"
#include "imap/pool/pool_state.h"

/* ---- what the cache asks ---- */

void pool_submit(struct pool *p, struct op *op)
{
    op->submitted = clock_ms();
    pthread_mutex_lock(&p->lock);
    queue_hold_back_locked(p, op);
    queue_add_locked(p, op);
    if (p->life >= LIFE_REFUSING)
        pthread_cond_broadcast(&p->opened);
    else
        dispatch_wake_locked(p, op, true);
    pthread_mutex_unlock(&p->lock);
}

void pool_hurry(struct pool *p, struct op *op)
{
    pthread_mutex_lock(&p->lock);
    op->patient = false;
    op->submitted = clock_ms();
    if (!op->carrier) {
        op->due = 0;
        queue_hold_back_locked(p, op);
        dispatch_wake_locked(p, op, true);
    }
    pthread_mutex_unlock(&p->lock);
}

bool pool_amend(struct pool *p, struct op_bodies *b, uint32_t uid, bool in)
{
    pthread_mutex_lock(&p->lock);
    bool waits = !b->op.carrier && !b->op.sent;
    if (waits && in)
        uidset_add(&b->uids, uid, uid);
    else if (waits)
        uidset_remove(&b->uids, uid);
    pthread_mutex_unlock(&p->lock);
    return waits;
}

void pool_resume(struct pool *p, struct op_body *b)
{
    atomic_store(&b->hold, false);
    pthread_mutex_lock(&p->lock);
    if (b->op.carrier)
        lane_wake(&p->lanes[b->op.carrier - 1]);
    pthread_mutex_unlock(&p->lock);
}

void pool_warm(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    dispatch_warm_locked(p);
    pthread_mutex_unlock(&p->lock);
}

bool pool_body_lane(struct pool *p)
{
    bool up = false;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 1; i < p->nlanes; i++)
        up |= p->lanes[i].state == LANE_UP;
    pthread_mutex_unlock(&p->lock);
    return up;
}

bool pool_may_stream(struct pool *p)
{
    unsigned usable = 0;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 1; i < p->nlanes; i++)
        usable += p->lanes[i].state == LANE_UP || reconnect_usable_locked(p, &p->lanes[i]);
    pthread_mutex_unlock(&p->lock);
    return usable >= 2;
}

bool pool_ignores_windows(const struct pool *p)
{
    return atomic_load(&p->found.no_windows);
}

const char *pool_namespace(struct pool *p)
{
    return p->lanes[0].facts.personal;
}

/* ---- life ---- */

const struct pool_config *pool_config(const struct pool *p)
{
    return p->config;
}

int pool_stop_fd(const struct pool *p)
{
    return p->stop;
}

void pool_become_locked(struct pool *p, enum pool_life life)
{
    static const char *const names[] = {
        [LIFE_OPEN] = "OPEN",         [LIFE_CLOSING] = "CLOSING", [LIFE_STOPPING] = "STOPPING",
        [LIFE_REFUSING] = "REFUSING", [LIFE_ENDED] = "ENDED",
    };
    if (life <= p->life)
        return;
    log_debug("pool: %s -> %s", names[p->life], names[life]);
    p->life = life;
}

static int start_threads(struct pool *p, struct buf *why)
{
    for (unsigned i = 0; i < p->nlanes; i++) {
        struct lane *l = &p->lanes[i];
        int err = pthread_create(&l->thread, NULL, conn_main, &l->conn);
        if (err) {
            buf_addf(why, "cannot start a thread: %s", strerror(err));
            p->nlanes = i;
            return -err;
        }
    }
    return 0;
}

struct pool *pool_open(const struct pool_config *config, const struct pool_events *events,
                       void *ctx, struct buf *why)
{
    struct pool *p = mem_zalloc(sizeof *p);
    p->config = config;
    p->events = events;
    p->ctx = ctx;
    p->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->opened, NULL);
    p->nlanes = config->connections;
    p->lanes = mem_zalloc(p->nlanes * sizeof *p->lanes);
    for (unsigned i = 0; i < p->nlanes; i++) {
        p->lanes[i].conn.pool = p;
        p->lanes[i].conn.index = i;
        p->lanes[i].conn.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    int err = start_threads(p, why);
    pthread_mutex_lock(&p->lock);
    while (!err && !p->first.tried)
        pthread_cond_wait(&p->opened, &p->lock);
    if (!err && p->first.err) {
        err = p->first.err;
        buf_adds(why, buf_str(&p->first.why));
    }
    pthread_mutex_unlock(&p->lock);
    if (!err)
        return p;
    pool_stop(p);
    pool_free(p);
    return NULL;
}

static struct op *drop_reads_locked(struct pool *p)
{
    struct op *dropped = NULL, *op, *tmp;
    DL_FOREACH_SAFE (p->queue, op, tmp) {
        if (op_only_asks(op)) {
            DL_DELETE(p->queue, op);
            DL_APPEND(dropped, op);
        }
    }
    return dropped;
}

static void refuse_queue(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->queue) { /* an answer may ask for more */
        struct op *list = p->queue;
        p->queue = NULL;
        pthread_mutex_unlock(&p->lock);
        queue_fail(list, -ENOTCONN);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
}

/* Until the very end everything must be answered: a thread that tells the kernel something may have
 * to wait for a call in progress, and is itself waited for before the pool is freed. */
static void *refuse(void *pool)
{
    struct pool *p = pool;
    pthread_mutex_lock(&p->lock);
    while (p->life < LIFE_ENDED) {
        if (!p->queue) {
            pthread_cond_wait(&p->opened, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        refuse_queue(p);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void pool_stop(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    pool_become_locked(p, LIFE_CLOSING);
    struct op *dropped = drop_reads_locked(p);
    dispatch_wake_all_locked(p);
    pthread_mutex_unlock(&p->lock);
    queue_fail(dropped, -ENOTCONN);

    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += p->config->timeout / 1000 + 1;
    for (unsigned i = 0; i < p->nlanes; i++) {
        if (pthread_timedjoin_np(p->lanes[i].thread, NULL, &until) == 0)
            continue;
        pthread_mutex_lock(&p->lock);
        pool_become_locked(p, LIFE_STOPPING);
        pthread_mutex_unlock(&p->lock);
        uint64_t one = 1;
        if (write(p->stop, &one, sizeof one) < 0)
            log_error("cannot stop the connections: %s", strerror(errno));
        pthread_join(p->lanes[i].thread, NULL);
    }
    pthread_mutex_lock(&p->lock);
    p->nlanes = 0;
    pool_become_locked(p, LIFE_REFUSING);
    pthread_mutex_unlock(&p->lock);
    p->refusing = pthread_create(&p->refuser, NULL, refuse, p) == 0;
    if (!p->refusing)
        refuse_queue(p);
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    pool_become_locked(p, LIFE_ENDED);
    pthread_cond_broadcast(&p->opened);
    pthread_mutex_unlock(&p->lock);
    if (p->refusing)
        pthread_join(p->refuser, NULL);
    refuse_queue(p);
    for (unsigned i = 0; i < p->config->connections; i++) {
        close(p->lanes[i].conn.wake);
        free(p->lanes[i].box.name);
        free(p->lanes[i].box.opening);
    }
    free(p->lanes);
    close(p->stop);
    buf_free(&p->first.why);
    pthread_cond_destroy(&p->opened);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
