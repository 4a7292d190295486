/* The queue and who takes what from it.
 *
 * One lock guards the queue and the published state of each connection; it is never held while a
 * callback runs, and callers may hold their own locks while they submit. Connections pull: a thread
 * with room takes the first operation it may take. Connection 0 carries no message bodies as long
 * as there is another that can, so that a listing never waits behind an attachment. */
#include "imap/pool_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "imap/clock.h"
#include "imap/limits.h"
#include "imap/log.h"
#include "imap/mem.h"

enum {
    MAX_ATTEMPTS = 3,       /* connections lost under one operation before it fails */
    COMFORTABLE = 4,        /* operations on a connection before another is preferred */
    SHORT_LIFE = 2000,      /* ms; a connection that lives less is a sign of trouble */
    RESTLESS = 4,           /* SELECTs in a row, */
    RESTLESS_PAUSE = 1000,  /* ... each less than so many ms after the one before */
    UNFAIR = 500,           /* ms; who waits longer gets the next turn */
    BACKOFF_FIRST = 250,    /* ms */
    BACKOFF_LAST = 4000,    /* ms */
    BACKOFF_DENIED = 60000, /* ms after a refused login: never hammer */
};

struct pool {
    const struct pool_config *config;
    const struct pool_events *events;
    void *ctx;
    int stop; /* eventfd: readable when everything must end */

    pthread_mutex_t lock;
    pthread_cond_t opened;
    struct op *queue; /* foreground first, each in the order submitted */
    struct conn *conns;
    unsigned nconns;
    bool first_tried; /* the first connection's first attempt ended, */
    int first_err;    /* like this, */
    struct buf why;   /* because of this */
    int down_err;     /* why the last attempt to connect failed, or 0 */
    unsigned selects; /* in a row without a pause: someone goes back and forth between mailboxes */
    int64_t selected_at;
    bool stopping; /* finish what was accepted, */
    bool stopped;  /* ... and now stop whatever is going on */
};

/* ---- small things ---- */

const struct pool_config *pool_config(const struct pool *p)
{
    return p->config;
}

int pool_stop_fd(const struct pool *p)
{
    return p->stop;
}

static void wake(struct conn *c)
{
    uint64_t one = 1;
    if (write(c->wake, &one, sizeof one) < 0 && errno != EAGAIN)
        log_error("cannot wake connection %u: %s", c->index, strerror(errno));
}

/* What a lost or impossible connection is to the caller of a system call. */
static int lost_errno(int err)
{
    switch (-err) {
    case ETIMEDOUT:
    case EACCES:
    case EBUSY:
        return err;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
        return -EHOSTUNREACH;
    default:
        return -ENOTCONN;
    }
}

static void fail_list(struct op *list, int err)
{
    struct op *op, *tmp;
    DL_FOREACH_SAFE (list, op, tmp) {
        DL_DELETE(list, op);
        op->err = err;
        op->done(op);
    }
}

/* ---- who may take what (all: lock held) ---- */

static bool usable_locked(const struct conn *c)
{
    return c->status != CONN_DOWN || clock_ms() >= c->retry_at;
}

/* Bodies keep off connection 0 while another can carry them: is up, or has not just failed. */
static bool lane_ok_locked(const struct pool *p, const struct conn *c, const struct op *op)
{
    if (!op_class(op)->body || c->index != 0 || p->stopping)
        return true;
    for (unsigned i = 1; i < p->nconns; i++)
        if (p->conns[i].status != CONN_DOWN || !p->conns[i].backoff)
            return false;
    return true;
}

/* What is not worth keeping when no connection can be had: all but changes of unknown fate, which
 * are settled as long as their time allows. */
static struct op *take_hopeless_locked(struct pool *p)
{
    struct op *hopeless = NULL, *op, *tmp;
    int64_t limit = clock_ms() - p->config->timeout;
    DL_FOREACH_SAFE (p->queue, op, tmp) {
        if (op->attempts && op_class(op)->retry == RETRY_SETTLE && op->submitted > limit)
            continue;
        DL_DELETE(p->queue, op);
        DL_APPEND(hopeless, op);
    }
    return hopeless;
}

/* What has waited so long for a connection that it must be answered now. */
static struct op *take_expired_locked(struct pool *p)
{
    struct op *expired = NULL, *op, *tmp;
    int64_t limit = clock_ms() - p->config->timeout;
    DL_FOREACH_SAFE (p->queue, op, tmp) {
        if (op->submitted <= limit) {
            DL_DELETE(p->queue, op);
            DL_APPEND(expired, op);
        }
    }
    return expired;
}

static bool has_selected_locked(const struct conn *c, const struct op *op)
{
    bool write = op_class(op)->write || op->mark_seen;
    return c->box_name && strcmp(c->box_name, op->mailbox) == 0 && (c->box_write || !write);
}

/* A connection that is up and would start `op` soon and without a SELECT, or is idle. */
static bool suits_locked(const struct pool *p, const struct conn *c, const struct op *op)
{
    if (c->status != CONN_UP || !lane_ok_locked(p, c, op))
        return false;
    if (c->alone || op_class(op)->alone || (op_class(op)->searches && c->searches))
        return c->load == 0;
    if (!op_class(op)->select)
        return c->load < COMFORTABLE;
    /* Questions that someone waits for do not queue up behind bodies. */
    unsigned room = op_class(op)->body ? COMFORTABLE : 1;
    return has_selected_locked(c, op) ? c->load < room : c->load == 0;
}

static bool may_take_locked(const struct pool *p, const struct conn *c, const struct op *op)
{
    if (c->load >= LIMIT_PIPELINE || c->alone || !lane_ok_locked(p, c, op) ||
        (op_class(op)->alone && c->load > 0) || (op_class(op)->searches && c->searches > 0))
        return false;
    if (op->background && c->load >= COMFORTABLE / 2)
        return false;
    if (!op_class(op)->select || has_selected_locked(c, op))
        return true;
    if (c->load > 0)
        return false; /* what is in flight is about the mailbox selected now */
    for (unsigned i = 0; i < p->nconns; i++) {
        const struct conn *o = &p->conns[i];
        if (o != c && has_selected_locked(o, op) && suits_locked(p, o, op))
            return false; /* it is awake and needs no SELECT */
    }
    return true;
}

static void wake_for_locked(struct pool *p, const struct op *op)
{
    struct conn *idle = NULL, *down = NULL, *busy = NULL;
    bool any = false;
    for (unsigned i = 0; i < p->nconns; i++) {
        struct conn *c = &p->conns[i];
        any |= c->status != CONN_DOWN;
        if (!lane_ok_locked(p, c, op))
            continue;
        if (suits_locked(p, c, op)) {
            if (op_class(op)->select && has_selected_locked(c, op)) {
                wake(c);
                return;
            }
            idle = idle ? idle : c;
        } else if (c->status == CONN_DOWN && usable_locked(c)) {
            down = down ? down : c;
        } else if (c->status == CONN_UP) {
            busy = busy ? busy : c;
        }
    }
    /* Who goes back and forth between two mailboxes, as mv does, gets a connection for each. */
    if (idle && idle->box_name && down && op_class(op)->select && p->selects > RESTLESS)
        idle = NULL;
    struct conn *c = idle ? idle : down ? down : busy;
    if (c && c == down)
        c->wanted = true;
    if (c)
        wake(c);
    if (!any && (!c || c != &p->conns[0]))
        wake(&p->conns[0]); /* it connects, or says that nobody can */
}

static void wake_all_locked(struct pool *p)
{
    for (unsigned i = 0; i < p->nconns; i++)
        wake(&p->conns[i]);
}

static bool others_alive_locked(const struct pool *p, const struct conn *c)
{
    for (unsigned i = 0; i < p->nconns; i++)
        if (&p->conns[i] != c && p->conns[i].status != CONN_DOWN)
            return true;
    return false;
}

static void enqueue_locked(struct pool *p, struct op *op)
{
    struct op *at = p->queue;
    while (at && !at->background)
        at = at->next;
    if (op->background || !at)
        DL_APPEND(p->queue, op);
    else
        DL_PREPEND_ELEM(p->queue, at, op);
}

/* ---- for the cache ---- */

void pool_submit(struct pool *p, struct op *op)
{
    op->submitted = clock_ms();
    pthread_mutex_lock(&p->lock);
    enqueue_locked(p, op);
    wake_for_locked(p, op);
    pthread_mutex_unlock(&p->lock);
}

static int start_threads(struct pool *p, struct buf *why)
{
    for (unsigned i = 0; i < p->nconns; i++) {
        struct conn *c = &p->conns[i];
        int err = pthread_create(&c->thread, NULL, conn_main, c);
        if (err) {
            buf_addf(why, "cannot start a thread: %s", strerror(err));
            p->nconns = i;
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
    p->nconns = config->connections;
    p->conns = mem_zalloc(p->nconns * sizeof *p->conns);
    for (unsigned i = 0; i < p->nconns; i++) {
        p->conns[i].pool = p;
        p->conns[i].index = i;
        p->conns[i].wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    int err = start_threads(p, why);
    pthread_mutex_lock(&p->lock);
    while (!err && !p->first_tried)
        pthread_cond_wait(&p->opened, &p->lock);
    if (!err && p->first_err) {
        err = p->first_err;
        buf_adds(why, buf_str(&p->why));
    }
    pthread_mutex_unlock(&p->lock);
    if (!err)
        return p;
    pool_stop(p);
    pool_free(p);
    return NULL;
}

/* What only asks need not be finished before an unmount. */
static struct op *drop_reads_locked(struct pool *p)
{
    struct op *dropped = NULL, *op, *tmp;
    DL_FOREACH_SAFE (p->queue, op, tmp) {
        const struct op_class *class = op_class(op);
        if (class->retry == RETRY_REPEAT && !class->write) {
            DL_DELETE(p->queue, op);
            DL_APPEND(dropped, op);
        }
    }
    return dropped;
}

void pool_stop(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    struct op *dropped = drop_reads_locked(p);
    wake_all_locked(p);
    pthread_mutex_unlock(&p->lock);
    fail_list(dropped, -ENOTCONN);

    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += p->config->timeout / 1000 + 1;
    for (unsigned i = 0; i < p->nconns; i++) {
        if (pthread_timedjoin_np(p->conns[i].thread, NULL, &until) == 0)
            continue;
        pthread_mutex_lock(&p->lock);
        p->stopped = true;
        pthread_mutex_unlock(&p->lock);
        uint64_t one = 1;
        if (write(p->stop, &one, sizeof one) < 0)
            log_error("cannot stop the connections: %s", strerror(errno));
        pthread_join(p->conns[i].thread, NULL);
    }
    p->nconns = 0;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    while (p->queue) { /* an answer may ask for more */
        struct op *list = p->queue;
        p->queue = NULL;
        fail_list(list, -ENOTCONN);
    }
    for (unsigned i = 0; i < p->config->connections; i++) {
        close(p->conns[i].wake);
        free(p->conns[i].box_name);
    }
    free(p->conns);
    close(p->stop);
    buf_free(&p->why);
    pthread_cond_destroy(&p->opened);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void pool_status(struct pool *p, struct buf *out)
{
    static const char *const states[] = {
        [CONN_DOWN] = "down", [CONN_CONNECTING] = "connecting", [CONN_UP] = "up"};
    unsigned long long in = 0, sent = 0, commands = 0, connects = 0;
    unsigned waiting = 0;
    struct op *op;
    pthread_mutex_lock(&p->lock);
    DL_COUNT(p->queue, op, waiting);
    for (unsigned i = 0; i < p->nconns; i++) {
        struct conn *c = &p->conns[i];
        buf_addf(out, "connection %u: %s", i, states[c->status]);
        if (c->status == CONN_UP)
            buf_addf(out, ", %s, mailbox %s, operations %u", c->cipher[0] ? c->cipher : "no TLS",
                     c->box_name ? c->box_name : "-", c->load);
        buf_addc(out, '\n');
        in += c->bytes_in;
        sent += c->bytes_out;
        commands += c->commands;
        connects += c->connects;
    }
    buf_addf(out, "capabilities: %s\n", p->conns[0].caps_published);
    pthread_mutex_unlock(&p->lock);
    buf_addf(out,
             "operations waiting: %u\ncommands sent: %llu\nbytes received: %llu\n"
             "bytes sent: %llu\nconnections made: %llu\n",
             waiting, commands, in, sent, connects);
}

const char *pool_namespace(struct pool *p)
{
    return p->conns[0].personal_published;
}

/* ---- for the connections ---- */

struct op *pool_take(struct pool *p, struct conn *c)
{
    struct op *op;
    pthread_mutex_lock(&p->lock);
    DL_FOREACH (p->queue, op) {
        if (may_take_locked(p, c, op)) {
            DL_DELETE(p->queue, op);
            c->load++;
            c->alone = op_class(op)->alone;
            c->searches += op_class(op)->searches;
            break;
        }
        /* What has waited so long is not passed over for ever by what suits this connection. */
        if (c->load > 0 && clock_ms() - op->submitted > UNFAIR && !others_alive_locked(p, c)) {
            op = NULL;
            break;
        }
    }
    /* One wake-up may have stood for several operations: pass it on. */
    if (op && p->queue)
        wake_for_locked(p, p->queue);
    pthread_mutex_unlock(&p->lock);
    return op;
}

static void drop_load(struct pool *p, struct conn *c, const struct op *op)
{
    pthread_mutex_lock(&p->lock);
    c->load--;
    c->searches -= op_class(op)->searches;
    c->alone = false;
    pthread_mutex_unlock(&p->lock);
}

void pool_done(struct pool *p, struct conn *c, struct op *op, int err)
{
    drop_load(p, c, op);
    op->err = err;
    op->done(op);
}

void pool_lost(struct pool *p, struct conn *c, struct op *op, int err)
{
    enum op_retry retry = op_class(op)->retry;
    bool late = clock_ms() - op->submitted >= p->config->timeout;
    bool again = retry != RETRY_NEVER && ++op->attempts < MAX_ATTEMPTS && !late;
    /* A change whose fate is unknown is looked after once, however late it is. */
    if (retry == RETRY_SETTLE && op->attempts == 1 && late) {
        again = true;
        op->submitted = clock_ms();
    }
    pthread_mutex_lock(&p->lock);
    c->load--;
    c->searches -= op_class(op)->searches;
    c->alone = false;
    again = again && (!p->stopping || retry == RETRY_SETTLE);
    if (again)
        DL_PREPEND(p->queue, op);
    pthread_mutex_unlock(&p->lock);
    if (again)
        return;
    op->err = lost_errno(err);
    op->done(op);
}

/* Is there something that no connection which is up will take soon? */
static bool needed_locked(const struct pool *p, const struct conn *c)
{
    struct op *op;
    DL_FOREACH (p->queue, op) {
        if (!lane_ok_locked(p, c, op))
            continue;
        bool suited = false;
        for (unsigned i = 0; i < p->nconns && !suited; i++)
            suited = suits_locked(p, &p->conns[i], op) || p->conns[i].status == CONN_CONNECTING;
        if (!suited)
            return true;
    }
    return false;
}

enum pool_advice pool_advise(struct pool *p, struct conn *c)
{
    enum pool_advice advice = POOL_WAIT;
    struct op *failed = NULL;
    pthread_mutex_lock(&p->lock);
    int err = p->down_err ? p->down_err : -ENOTCONN;
    if (p->stopped) {
        advice = POOL_STOP;
    } else if (p->stopping && (!p->queue || others_alive_locked(p, c) || !usable_locked(c))) {
        advice = POOL_STOP;
    } else if (c->index == 0 && !p->first_tried) {
        advice = POOL_CONNECT;
    } else if (needed_locked(p, c) || (c->wanted && p->queue)) {
        if (usable_locked(c)) {
            advice = POOL_CONNECT;
        } else if (!others_alive_locked(p, c) && p->down_err) {
            failed = take_hopeless_locked(p);
        }
    }
    if (advice == POOL_CONNECT)
        c->status = CONN_CONNECTING;
    c->wanted = false;
    pthread_mutex_unlock(&p->lock);
    fail_list(failed, lost_errno(err));
    return advice;
}

int pool_patience(struct pool *p, struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    int64_t left = p->queue ? c->retry_at - clock_ms() : -1;
    pthread_mutex_unlock(&p->lock);
    return left > 0 ? (int)left + 1 : -1;
}

int64_t pool_connect_deadline(struct pool *p)
{
    int64_t now = clock_ms();
    int64_t deadline = now + p->config->timeout;
    struct op *op;
    pthread_mutex_lock(&p->lock);
    DL_FOREACH (p->queue, op) {
        if (op->submitted + p->config->timeout < deadline)
            deadline = op->submitted + p->config->timeout;
    }
    pthread_mutex_unlock(&p->lock);
    return deadline > now + 1000 ? deadline : now + 1000;
}

static void back_off_locked(struct conn *c, int64_t at_least)
{
    c->backoff = c->backoff ? c->backoff * 2 : BACKOFF_FIRST;
    if (c->backoff > BACKOFF_LAST)
        c->backoff = BACKOFF_LAST;
    if (c->backoff < at_least)
        c->backoff = at_least;
    c->retry_at = clock_ms() + c->backoff;
}

void pool_connected(struct pool *p, struct conn *c, int err, const char *why)
{
    struct op *failed = NULL;
    pthread_mutex_lock(&p->lock);
    bool first = c->index == 0 && !p->first_tried;
    if (!err) {
        c->status = CONN_UP;
        c->up_since = clock_ms();
        p->down_err = 0;
        snprintf(c->cipher, sizeof c->cipher, "%s", stream_cipher(c->stream));
        memcpy(c->caps_published, c->caps.text, sizeof c->caps_published);
        if (first)
            snprintf(c->personal_published, sizeof c->personal_published, "%s", c->personal);
    } else {
        c->status = CONN_DOWN;
        p->down_err = err;
        back_off_locked(c, err == -EACCES ? BACKOFF_DENIED : 0);
        if (others_alive_locked(p, c)) {
            failed = take_expired_locked(p);
            wake_all_locked(p); /* go on with fewer */
        } else {
            failed = take_hopeless_locked(p);
        }
    }
    if (first) {
        p->first_tried = true;
        p->first_err = err;
        buf_adds(&p->why, why);
        pthread_cond_broadcast(&p->opened);
    }
    pthread_mutex_unlock(&p->lock);
    if (err && !first)
        log_warn("connection %u: %s", c->index, why);
    fail_list(failed, lost_errno(err));
}

void pool_disconnected(struct pool *p, struct conn *c, int err)
{
    pthread_mutex_lock(&p->lock);
    if (c->status == CONN_UP) {
        bool brief = clock_ms() - c->up_since < SHORT_LIFE;
        /* One early death may be chance; from the second on, wait before the next try. */
        c->early = brief && err ? c->early + 1 : 0;
        c->backoff = 0;
        if (c->early > 1)
            back_off_locked(c, 0);
    }
    c->status = CONN_DOWN;
    if (p->queue)
        wake_all_locked(p);
    pthread_mutex_unlock(&p->lock);
}

bool pool_finished(struct pool *p, struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    bool done = p->stopping && !p->queue && c->load == 0;
    pthread_mutex_unlock(&p->lock);
    return done;
}

void pool_selected(struct pool *p, struct conn *c, const char *mailbox, bool write)
{
    pthread_mutex_lock(&p->lock);
    free(c->box_name);
    c->box_name = mailbox ? mem_strdup(mailbox) : NULL;
    c->box_write = write;
    c->release = false;
    if (mailbox) {
        int64_t now = clock_ms();
        p->selects = now - p->selected_at < RESTLESS_PAUSE ? p->selects + 1 : 0;
        p->selected_at = now;
    }
    pthread_mutex_unlock(&p->lock);
}

bool pool_should_release(struct pool *p, struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    bool release = c->release;
    c->release = false;
    pthread_mutex_unlock(&p->lock);
    return release;
}

void pool_release(struct pool *p, struct conn *self, const char *mailbox, char delim)
{
    size_t n = strlen(mailbox);
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->nconns; i++) {
        struct conn *c = &p->conns[i];
        if (c == self || !c->box_name || strncmp(c->box_name, mailbox, n) != 0 ||
            (c->box_name[n] && c->box_name[n] != delim))
            continue;
        c->release = true;
        free(c->box_name); /* nothing more for this mailbox before it is selected anew */
        c->box_name = NULL;
        wake(c);
    }
    pthread_mutex_unlock(&p->lock);
}

void pool_row(struct pool *p, const char *mailbox, uint32_t uidvalidity,
              const struct fetch_row *row)
{
    p->events->row(p->ctx, mailbox, uidvalidity, row);
}

void pool_changed(struct pool *p, const char *mailbox, uint32_t uidvalidity, unsigned what)
{
    p->events->changed(p->ctx, mailbox, uidvalidity, what);
}

void pool_batch(struct pool *p)
{
    p->events->batch(p->ctx);
}
