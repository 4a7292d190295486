/* What the connections take from the queue, and what becomes of it. */
#include <errno.h>
#include <inttypes.h>
#include <utlist.h>

#include "imap/base/backoff.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/pool/pool_state.h"

enum { MAX_ATTEMPTS = 3 }; /* connections lost under one operation before it fails */

/* ---- small things ---- */

/* What a lost or impossible connection is to the caller of a system call. */
int queue_errno(int err)
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

void queue_fail(struct op *list, int err)
{
    struct op *op, *tmp;
    DL_FOREACH_SAFE (list, op, tmp) {
        DL_DELETE(list, op);
        op->err = err;
        op->done(op);
    }
}

/* ---- taking ---- */

static void add_load_locked(struct lane *l, const struct op *op, int n)
{
    l->work.load += (unsigned)n;
    l->work.searches += op_class(op)->searches ? (unsigned)n : 0;
    l->work.ahead += op->background ? (unsigned)n : 0;
    l->work.changes += op_only_asks(op) ? 0 : (unsigned)n;
    if (n > 0 && sched_closes(op))
        l->work.barrier = op;
    else if (n < 0 && l->work.barrier == op) /* whatever has become of it since */
        l->work.barrier = NULL;
    if (!l->work.load)
        lane_opens_locked(l, NULL);
}

struct op *pool_take(struct pool *p, struct conn *c)
{
    struct lane *l = lane_of(p, c);
    struct op *op, *left = NULL, *due = NULL;
    bool drains = false;
    pthread_mutex_lock(&p->lock);
    DL_FOREACH (p->queue, op) {
        if (sched_waits(op))
            continue;
        if (sched_may_take_locked(p, l, op)) {
            DL_DELETE(p->queue, op);
            if (op_class(op)->select && !sched_has_selected(l, op))
                lane_opens_locked(l, op->mailbox);
            add_load_locked(l, op, 1);
            l->work.taken_at = clock_ms();
            op->carrier = c->index + 1;
            break;
        }
        left = left ? left : op;
        due = op->due ? op : due; /* nobody was woken for it when its time came */
        op->due = 0;
        drains = sched_owed_locked(p, l, op);
        if (drains) {
            op = NULL;
            break;
        }
    }
    l->work.emptying = drains;
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

/* ---- giving back ---- */

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
    queue_hold_back_locked(p, op);
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
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    add_load_locked(l, op, -1);
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
    struct lane *l = lane_of(p, c);
    enum op_retry retry = op_class(op)->retry;
    pthread_mutex_lock(&p->lock);
    /* Its time begins anew with every byte that moved: a long transfer is no failure. */
    if (c->clocks.progress_at > op->submitted)
        op->submitted = c->clocks.progress_at;
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
    add_load_locked(l, op, -1);
    op->carrier = 0;
    again = again && (!p->stopping || retry == RETRY_SETTLE);
    if (again && op->patient)
        sched_enqueue_locked(p, op); /* it may be what ends the sessions: others come first */
    else if (again)
        DL_PREPEND(p->queue, op);
    pthread_mutex_unlock(&p->lock);
    if (again)
        return;
    op->err = queue_errno(err);
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
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    bool others = sched_others_locked(p, l, NULL);
    pthread_mutex_unlock(&p->lock);
    return others;
}

void pool_pass_on(struct pool *p, struct conn *c, struct op *op)
{
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    add_load_locked(l, op, -1);
    op->carrier = 0;
    if (op->background)
        sched_enqueue_locked(p, op);
    else
        DL_PREPEND(p->queue, op);
    sched_wake_locked(p, op, true);
    pthread_mutex_unlock(&p->lock);
}

/* ---- a server that wants to be left alone ---- */

/* The server wants to be left alone; what nobody waits for outlasts any pause. */
void queue_hold_back_locked(const struct pool *p, struct op *op)
{
    const struct throttle *t = &p->throttle;
    int64_t now = clock_ms();
    if ((throttle_waits(t, now) || (op->patient && throttle_left(t, now))) && op->due < t->until)
        op->due = t->until;
}

void pool_throttled(struct pool *p, int64_t wait, struct str why)
{
    struct op *op;
    struct throttle *t = &p->throttle;
    int64_t now = clock_ms();
    pthread_mutex_lock(&p->lock);
    bool is_new = throttle_note(t, now, wait, why);
    DL_FOREACH (p->queue, op)
        queue_hold_back_locked(p, op);
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

int64_t pool_next_due(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    int64_t due = sched_next_due_locked(p);
    pthread_mutex_unlock(&p->lock);
    return due;
}
