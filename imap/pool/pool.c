/* The queue of operations and the life of the connections that serve it.
 *
 * One lock guards the queue and the published state of each connection; it is never held while a
 * callback runs, and callers may hold their own locks while they submit. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "imap/base/backoff.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/conn/handler.h"
#include "imap/pool/pool_state.h"

enum {
    MAX_ATTEMPTS = 3,      /* connections lost under one operation before it fails */
    RESTLESS_PAUSE = 1000, /* ms; SELECTs with less between them follow each other closely */
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

/* What a lost or impossible connection is to the caller of a system call. */
static int lost_errno(int err)
{
    switch (-err) {
    case ETIMEDOUT:
    case EACCES:
    case EBUSY:
    case ENOMEM:
        return err;
    case EMFILE: /* the daemon's own limit, which is none of the caller's */
    case ENFILE:
        return -ENFILE;
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

/* ---- for the cache ---- */

/* The server wants to be left alone; what nobody waits for outlasts any pause. */
static void hold_back_locked(const struct pool *p, struct op *op)
{
    const struct throttle *t = &p->throttle;
    int64_t now = clock_ms();
    if ((throttle_waits(t, now) || (op->patient && throttle_left(t, now))) && op->due < t->until)
        op->due = t->until;
}

void pool_submit(struct pool *p, struct op *op)
{
    op->submitted = clock_ms();
    pthread_mutex_lock(&p->lock);
    hold_back_locked(p, op);
    sched_enqueue_locked(p, op);
    if (p->ended)
        pthread_cond_broadcast(&p->opened);
    else
        sched_wake_locked(p, op, true);
    pthread_mutex_unlock(&p->lock);
}

void pool_hurry(struct pool *p, struct op *op)
{
    pthread_mutex_lock(&p->lock);
    op->patient = false;
    op->submitted = clock_ms();
    if (!op->carrier) {
        op->due = 0;
        hold_back_locked(p, op);
        sched_wake_locked(p, op, true);
    }
    pthread_mutex_unlock(&p->lock);
}

bool pool_amend(struct pool *p, struct op *op, uint32_t uid, bool in)
{
    pthread_mutex_lock(&p->lock);
    bool waits = !op->carrier && !op->sent;
    if (waits && in)
        uidset_add(&op->uids, uid, uid);
    else if (waits)
        uidset_remove(&op->uids, uid);
    pthread_mutex_unlock(&p->lock);
    return waits;
}

void pool_warm(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    sched_warm_locked(p);
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
        fail_list(list, -ENOTCONN);
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
    while (!p->freed) {
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
    p->stopping = true;
    struct op *dropped = drop_reads_locked(p);
    sched_wake_all_locked(p);
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
    pthread_mutex_lock(&p->lock);
    p->nconns = 0;
    p->ended = true;
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
    p->freed = true;
    pthread_cond_broadcast(&p->opened);
    pthread_mutex_unlock(&p->lock);
    if (p->refusing)
        pthread_join(p->refuser, NULL);
    refuse_queue(p);
    for (unsigned i = 0; i < p->config->connections; i++) {
        close(p->conns[i].wake);
        free(p->conns[i].box_name);
        free(p->conns[i].opening);
    }
    free(p->conns);
    close(p->stop);
    buf_free(&p->why);
    pthread_cond_destroy(&p->opened);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

const char *pool_namespace(struct pool *p)
{
    return p->conns[0].personal_published;
}

/* ---- for the connections ---- */

static void set_opening_locked(struct conn *c, const char *mailbox)
{
    free(c->opening);
    c->opening = mailbox ? mem_strdup(mailbox) : NULL;
}

static void add_load_locked(struct conn *c, const struct op *op, int n)
{
    c->load += (unsigned)n;
    c->searches += op_class(op)->searches ? (unsigned)n : 0;
    c->ahead += op->background ? (unsigned)n : 0;
    c->changes += op_only_asks(op) ? 0 : (unsigned)n;
    if (n > 0 && sched_closes(op))
        c->closed_by = op;
    else if (n < 0 && c->closed_by == op) /* whatever has become of it since */
        c->closed_by = NULL;
    if (!c->load)
        set_opening_locked(c, NULL);
}

struct op *pool_take(struct pool *p, struct conn *c)
{
    struct op *op, *left = NULL, *due = NULL;
    bool drains = false;
    pthread_mutex_lock(&p->lock);
    DL_FOREACH (p->queue, op) {
        if (sched_waits(op))
            continue;
        if (sched_may_take_locked(p, c, op)) {
            DL_DELETE(p->queue, op);
            if (op_class(op)->select && !sched_has_selected(c, op))
                set_opening_locked(c, op->mailbox);
            add_load_locked(c, op, 1);
            c->taken_at = clock_ms();
            op->carrier = c->index + 1;
            break;
        }
        left = left ? left : op;
        due = op->due ? op : due; /* nobody was woken for it when its time came */
        op->due = 0;
        drains = sched_owed_locked(p, c, op);
        if (drains) {
            op = NULL;
            break;
        }
    }
    c->drains = drains;
    /* One wake-up may have stood for several operations, and what was left to another connection
     * needs that one to be awake: pass it on. */
    struct op *next = p->queue;
    while (op && next && sched_waits(next))
        next = next->next;
    if (op && next)
        sched_wake_locked(p, next, true);
    else if (left && op_class(left)->body && !left->background)
        sched_wake_locked(p, left, false); /* else one look would cause the next */
    if (due)
        sched_wake_locked(p, due, true);
    pthread_mutex_unlock(&p->lock);
    return op;
}

/* The server is unwilling at the moment and has done nothing: asks again later, for as long as the
 * operation's time allows, with its own way to find out how far it got. */
static bool postpone_locked(struct pool *p, struct op *op)
{
    int64_t now = clock_ms(), left = throttle_left(&p->throttle, now);
    if (left && !p->throttle.pause) { /* that is no silence of the server's */
        op->held += left;
        op->submitted += left;
    }
    int64_t end = op->submitted + p->config->timeout;
    if (!op->patient && (throttle_refuses(&p->throttle, now) || op->held > LIMIT_THROTTLE))
        return false;
    if ((now >= end && !op->patient) || (p->stopping && op_only_asks(op)))
        return false;
    op->pause = backoff_next(op->pause, BACKOFF_LAST);
    op->due = now + backoff_jitter(op->pause);
    if (op->due > end && !op->patient)
        op->due = end;
    hold_back_locked(p, op);
    if (op->due > p->last_due)
        p->last_due = op->due;
    op->resumed = true;
    sched_enqueue_locked(p, op);
    return true;
}

static bool settle_later_locked(struct pool *p, struct op *op)
{
    if (op->due > p->last_due)
        p->last_due = op->due;
    sched_enqueue_locked(p, op);
    return true;
}

void pool_done(struct pool *p, struct conn *c, struct op *op, int err)
{
    pthread_mutex_lock(&p->lock);
    add_load_locked(c, op, -1);
    op->carrier = 0;
    if (!err)
        throttle_over(&p->throttle, clock_ms());
    bool later = (err == -EBUSY && postpone_locked(p, op)) ||
                 (err == -EINPROGRESS && settle_later_locked(p, op));
    pthread_mutex_unlock(&p->lock);
    if (later)
        return;
    op->err = err;
    op->done(op);
}

void pool_lost(struct pool *p, struct conn *c, struct op *op, int err)
{
    enum op_retry retry = op_class(op)->retry;
    pthread_mutex_lock(&p->lock);
    /* Its time begins anew with every byte that moved: a long transfer is no failure. */
    if (c->last_progress > op->submitted)
        op->submitted = c->last_progress;
    bool late = !op->patient && clock_ms() - op->submitted >= p->config->timeout;
    bool again = retry != RETRY_NEVER && ++op->attempts < MAX_ATTEMPTS && !late;
    /* A change whose fate is unknown is looked after once, however late it is. */
    if (retry == RETRY_SETTLE && op->attempts == 1 && late) {
        again = true;
        op->submitted = clock_ms();
    }
    op->timed_out |= err == -ETIMEDOUT;
    op->resumed = true;
    op->lost_at = clock_ms();
    add_load_locked(c, op, -1);
    op->carrier = 0;
    again = again && (!p->stopping || retry == RETRY_SETTLE);
    if (again && op->patient)
        sched_enqueue_locked(p, op); /* it may be what ends the sessions: others come first */
    else if (again)
        DL_PREPEND(p->queue, op);
    pthread_mutex_unlock(&p->lock);
    if (again)
        return;
    op->err = lost_errno(err);
    op->done(op);
}

void pool_excuse(struct pool *p, struct op *op)
{
    pthread_mutex_lock(&p->lock);
    if (op_class(op)->retry == RETRY_REPEAT && !op->attempts)
        op->submitted = clock_ms();
    pthread_mutex_unlock(&p->lock);
}

int64_t pool_silence(const struct pool *p)
{
    return sched_silence(p);
}

bool pool_has_others(struct pool *p, const struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    bool others = sched_others_locked(p, c, NULL);
    pthread_mutex_unlock(&p->lock);
    return others;
}

void pool_pass_on(struct pool *p, struct conn *c, struct op *op)
{
    pthread_mutex_lock(&p->lock);
    add_load_locked(c, op, -1);
    op->carrier = 0;
    if (op->background)
        sched_enqueue_locked(p, op);
    else
        DL_PREPEND(p->queue, op);
    sched_wake_locked(p, op, true);
    pthread_mutex_unlock(&p->lock);
}

void pool_throttled(struct pool *p, int64_t wait, struct str why)
{
    struct op *op;
    struct throttle *t = &p->throttle;
    int64_t now = clock_ms();
    pthread_mutex_lock(&p->lock);
    bool is_new = throttle_note(t, now, wait, why);
    DL_FOREACH (p->queue, op)
        hold_back_locked(p, op);
    if (t->until > p->last_due)
        p->last_due = t->until;
    struct throttle told = *t;
    pthread_mutex_unlock(&p->lock);
    int64_t tenths = (throttle_left(&told, now) + 99) / 100;
    if (is_new)
        log_warn("the server asks to wait for %" PRId64 ".%" PRId64 " s%s: %s", tenths / 10,
                 tenths % 10,
                 throttle_refuses(&told, now) ? ", and until then nothing is asked" : "", told.why);
}

bool pool_refuses(struct pool *p, const struct op *op)
{
    pthread_mutex_lock(&p->lock);
    bool refuses = throttle_refuses(&p->throttle, clock_ms()) && !op->patient;
    pthread_mutex_unlock(&p->lock);
    return refuses;
}

int64_t pool_left_alone(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    int64_t until = p->throttle.until;
    pthread_mutex_unlock(&p->lock);
    return until;
}

enum pool_advice pool_advise(struct pool *p, struct conn *c)
{
    enum pool_advice advice = POOL_WAIT;
    struct op *failed = NULL;
    pthread_mutex_lock(&p->lock);
    int err = p->down_err ? p->down_err : -ENOTCONN;
    bool usable = reconnect_usable_locked(p, c);
    if (p->stopped) {
        advice = POOL_STOP;
    } else if (p->stopping && (!p->queue || reconnect_others_alive_locked(p, c) || !usable)) {
        advice = POOL_STOP;
    } else if (c->index == 0 && !p->first_tried) {
        advice = POOL_CONNECT;
    } else if (c->warm || c->missed || sched_needed_locked(p, c) || (c->wanted && p->queue)) {
        if (usable)
            advice = POOL_CONNECT;
        else
            failed = reconnect_doomed_locked(p, c);
    }
    if (advice == POOL_CONNECT) {
        c->status = CONN_CONNECTING;
        c->tried_at = clock_ms();
        c->warm = false;
    }
    c->wanted = false;
    pthread_mutex_unlock(&p->lock);
    fail_list(failed, lost_errno(err));
    return advice;
}

int pool_patience(struct pool *p, struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    int patience = reconnect_patience_locked(p, c);
    pthread_mutex_unlock(&p->lock);
    return patience;
}

int64_t pool_next_due(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    int64_t due = sched_next_due_locked(p);
    pthread_mutex_unlock(&p->lock);
    return due;
}

int64_t pool_connect_deadline(struct pool *p)
{
    int64_t now = clock_ms();
    int64_t deadline = now + p->config->timeout;
    struct op *op;
    pthread_mutex_lock(&p->lock);
    DL_FOREACH (p->queue, op) {
        if (!op->patient && op->submitted + p->config->timeout < deadline)
            deadline = op->submitted + p->config->timeout;
    }
    pthread_mutex_unlock(&p->lock);
    return deadline > now + 1000 ? deadline : now + 1000;
}

void pool_connected(struct pool *p, struct conn *c, int err, const char *why)
{
    struct op *failed = NULL;
    struct buf line = {0};
    pthread_mutex_lock(&p->lock);
    bool first = c->index == 0 && !p->first_tried;
    if (!err) {
        reconnect_tell_done_locked(p, &line);
        reconnect_done_locked(p, c);
        c->missed &= c->notify_tag != 0;
        snprintf(c->cipher, sizeof c->cipher, "%s", stream_cipher(c->stream));
        memcpy(c->caps_published, c->caps.text, sizeof c->caps_published);
        if (first)
            snprintf(c->personal_published, sizeof c->personal_published, "%s", c->personal);
        if (first)
            c->only_personal_published = c->only_personal;
    } else {
        reconnect_failed_locked(p, c, err, why);
        if (!first)
            reconnect_tell_failed_locked(p, c, err, why, &line);
        c->missed &= err != -EACCES;
        failed = reconnect_doomed_locked(p, c);
    }
    if (p->queue || p->conns[0].missed)
        sched_wake_all_locked(p); /* go on with fewer, or with more */
    if (first) {
        p->first_tried = true;
        p->first_err = err;
        buf_adds(&p->why, why);
        pthread_cond_broadcast(&p->opened);
    }
    pthread_mutex_unlock(&p->lock);
    if (err && !first)
        log_debug("imap[%u] cannot connect: %s", c->index, why);
    if (err && line.len)
        log_warn("%s", buf_str(&line));
    else if (line.len)
        log_info("%s", buf_str(&line));
    buf_free(&line);
    fail_list(failed, lost_errno(err));
}

void pool_disconnected(struct pool *p, struct conn *c, int err, const char *why)
{
    struct buf line = {0};
    pthread_mutex_lock(&p->lock);
    reconnect_lost_locked(p, c, err);
    reconnect_tell_lost_locked(p, c, err, why, &line);
    bool deaf = c->heard && !p->stopping;
    c->missed |= c->notified_published && err;
    c->watching = c->asking = c->notified_published = c->heard = c->take_over = false;
    c->drains = false;
    if (p->queue)
        sched_wake_all_locked(p);
    pthread_mutex_unlock(&p->lock);
    if (err && *why)
        log_debug("imap[%u] is lost: %s", c->index, why);
    if (line.len)
        log_warn("%s", buf_str(&line));
    buf_free(&line);
    if (deaf)
        p->events->deaf(p->ctx);
}

bool pool_finished(struct pool *p, struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    bool done = p->stopping && !p->queue && c->changes == 0;
    pthread_mutex_unlock(&p->lock);
    return done;
}

bool pool_may_ask(const struct pool *p, enum pool_extra what)
{
    return p->answers[what] || !p->hangs_up[what];
}

void pool_answers(struct pool *p, enum pool_extra what)
{
    p->answers[what] = true;
}

bool pool_hangs_up(struct pool *p, enum pool_extra what)
{
    bool why = !p->answers[what];
    if (why)
        p->hangs_up[what] = true;
    return why;
}

enum pool_uids pool_uids(const struct pool *p)
{
    return (enum pool_uids)p->uids;
}

void pool_note_uids(struct pool *p, enum pool_uids uids)
{
    p->uids = (int)uids;
}

/* `c` has just selected its mailbox: whoever has it selected in another life sees one that is no
 * more, and is not to be asked about it again before it has selected it anew. */
static void outdate_others_locked(struct pool *p, const struct conn *c)
{
    for (unsigned i = 0; i < p->nconns; i++) {
        struct conn *o = &p->conns[i];
        if (o == c || !o->box_name || strcmp(o->box_name, c->box_name) != 0 || !o->box_validity ||
            !c->box_validity || o->box_validity == c->box_validity)
            continue;
        o->outdated = true;
        free(o->box_name);
        o->box_name = NULL;
        sched_wake_conn(o);
    }
}

void pool_selected(struct pool *p, struct conn *c, const char *mailbox, uint32_t uidvalidity,
                   bool write)
{
    pthread_mutex_lock(&p->lock);
    if (mailbox)
        set_opening_locked(c, NULL);
    watch_leave_locked(p, c);
    free(c->box_name);
    c->box_name = mailbox ? mem_strdup(mailbox) : NULL;
    c->box_validity = uidvalidity;
    c->box_write = write;
    c->release = c->outdated = false;
    c->own_at = 0;
    if (mailbox) {
        outdate_others_locked(p, c);
        int64_t now = c->selected_at = clock_ms();
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

bool pool_outdated(struct pool *p, struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    bool outdated = c->outdated;
    c->outdated = false;
    pthread_mutex_unlock(&p->lock);
    return outdated;
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
        sched_wake_conn(c);
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

void pool_vanished(struct pool *p, const char *mailbox, uint32_t uidvalidity,
                   const struct uidset *uids)
{
    p->events->vanished(p->ctx, mailbox, uidvalidity, uids);
}

void pool_status_of(struct pool *p, struct str mailbox, const struct mailbox_state *now)
{
    p->events->status(p->ctx, mailbox, now);
}

void pool_folders(struct pool *p)
{
    p->events->folders(p->ctx);
}

void pool_deaf(struct pool *p)
{
    p->events->deaf(p->ctx);
}

bool pool_body_lane(struct pool *p)
{
    bool up = false;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 1; i < p->nconns; i++)
        up |= p->conns[i].status == CONN_UP;
    pthread_mutex_unlock(&p->lock);
    return up;
}

bool pool_may_stream(struct pool *p)
{
    unsigned usable = 0;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 1; i < p->nconns; i++)
        usable += p->conns[i].status == CONN_UP || reconnect_usable_locked(p, &p->conns[i]);
    pthread_mutex_unlock(&p->lock);
    return usable >= 2;
}

bool pool_ignores_windows(const struct pool *p)
{
    return atomic_load(&p->no_windows);
}

void pool_windows_ignored(struct pool *p, const char *does)
{
    if (!atomic_exchange(&p->no_windows, true))
        log_warn("the server %s: from now on each message is fetched as a whole", does);
}

void pool_resume(struct pool *p, struct op *op)
{
    atomic_store(&op->hold, false);
    pthread_mutex_lock(&p->lock);
    if (op->carrier)
        sched_wake_conn(&p->conns[op->carrier - 1]);
    pthread_mutex_unlock(&p->lock);
}

void pool_batch(struct pool *p)
{
    p->events->batch(p->ctx);
}
