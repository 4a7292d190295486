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

/* The operation is over. */
static void tell(struct op *op, int err)
{
    op->err = err;
    op_end(op);
    op->done(op);
}

void queue_fail(struct op *list, int err)
{
    struct op *op, *tmp;
    DL_FOREACH_SAFE (list, op, tmp) {
        DL_DELETE(list, op);
        tell(op, err);
    }
}

/* ---- the queue ---- */

bool queue_waits(const struct op *op)
{
    return op->due && clock_ms() < op->due;
}

int64_t queue_next_due_locked(const struct pool *p)
{
    int64_t next = INT64_MAX;
    if (clock_ms() >= p->last_due)
        return next;
    for (const struct op *op = p->queue; op; op = op->next)
        if (queue_waits(op) && op->due < next)
            next = op->due;
    return next;
}

void queue_add_locked(struct pool *p, struct op *op)
{
    struct op *at = p->queue;
    while (at && !at->background)
        at = at->next;
    if (op->background || !at)
        DL_APPEND(p->queue, op);
    else
        DL_PREPEND_ELEM(p->queue, at, op);
}

/* What is not worth keeping when no connection can be had: all but changes of unknown fate, which
 * are settled as long as their time allows. */
struct op *queue_hopeless_locked(struct pool *p)
{
    struct op *hopeless = NULL, *op, *tmp;
    int64_t limit = clock_ms() - p->config->timeout;
    DL_FOREACH_SAFE (p->queue, op, tmp) {
        if (op->patient ||
            (op->resumed && op_class(op)->retry == RETRY_SETTLE && op->submitted > limit))
            continue;
        DL_DELETE(p->queue, op);
        DL_APPEND(hopeless, op);
    }
    return hopeless;
}

/* What has waited so long for a connection that it must be answered now. */
struct op *queue_expired_locked(struct pool *p)
{
    struct op *expired = NULL, *op, *tmp;
    int64_t limit = clock_ms() - p->config->timeout;
    DL_FOREACH_SAFE (p->queue, op, tmp) {
        if (op->submitted <= limit && !op->patient) {
            DL_DELETE(p->queue, op);
            DL_APPEND(expired, op);
        }
    }
    return expired;
}

/* ---- taking ---- */

static void add_load_locked(struct lane *l, const struct op *op, int n)
{
    l->work.load += (unsigned)n;
    l->work.searches += op_class(op)->searches ? (unsigned)n : 0;
    l->work.ahead += op->background ? (unsigned)n : 0;
    l->work.changes += op_only_asks(op) ? 0 : (unsigned)n;
    if (n > 0 && dispatch_is_barrier(op))
        l->work.barrier = op;
    else if (n < 0 && l->work.barrier == op) /* whatever has become of it since */
        l->work.barrier = NULL;
    if (!l->work.load)
        lane_opens_locked(l, NULL);
}

/* Takes `op` out of the queue for this lane. */
static void take_locked(struct pool *p, struct lane *l, struct op *op, bool selects)
{
    DL_DELETE(p->queue, op);
    if (selects)
        lane_opens_locked(l, op->mailbox);
    add_load_locked(l, op, 1);
    l->work.taken_at = clock_ms();
    op->carrier = l->conn.index + 1;
}

/* One wake-up may have stood for several operations, and what was left to another lane needs that
 * one to be awake: passes it on. `taken` and `left` may be NULL. */
static void pass_wake_on_locked(struct pool *p, const struct op *taken, const struct op *left)
{
    const struct op *next = p->queue;
    while (taken && next && queue_waits(next))
        next = next->next;
    if (taken && next)
        dispatch_wake_locked(p, next, true);
    else if (left && op_class(left)->body && !left->background)
        dispatch_wake_locked(p, left, false); /* else one look would cause the next */
}

/* The first operation that the lane takes now; NULL: none. */
static struct op *next_op_locked(struct pool *p, struct lane *l)
{
    struct op *op, *taken = NULL, *left = NULL, *due = NULL;
    unsigned self = l->conn.index;
    struct sched_view view;
    enum sched_verdict verdict = SCHED_LEAVE;
    dispatch_view_locked(p, &view);
    DL_FOREACH (p->queue, op) {
        if (queue_waits(op))
            continue;
        struct sched_need need = dispatch_need_locked(p, op);
        verdict = sched_decide(&view, &need, self);
        if (verdict == SCHED_TAKE) {
            taken = op;
            take_locked(p, l, op, need.select && !(need.has >> self & 1));
            break;
        }
        left = left ? left : op;
        due = op->due ? op : due; /* nobody was woken for it when its time came */
        op->due = 0;
        if (verdict == SCHED_EMPTY)
            break;
    }
    l->work.emptying = verdict == SCHED_EMPTY;
    pass_wake_on_locked(p, taken, left);
    if (due)
        dispatch_wake_locked(p, due, true);
    return taken;
}

static bool told_once(bool *asked)
{
    bool was = *asked;
    *asked = false;
    return was;
}

struct turn pool_turn(struct pool *p, struct conn *c, bool takes, bool busy)
{
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    struct turn turn = {
        .unselect = !busy && told_once(&l->asked.unselect),
        .reselect = told_once(&l->asked.reselect),
        .watch = told_once(&l->asked.watch),
        .op = takes ? next_op_locked(p, l) : NULL,
        .willing_at = p->throttle.until,
    };
    if (turn.op) {
        turn.refused = throttle_refuses(&p->throttle, clock_ms()) && !turn.op->patient;
    } else {
        turn.finished = pool_closes_locked(p) && !p->queue && l->work.changes == 0;
        turn.due = queue_next_due_locked(p);
    }
    pthread_mutex_unlock(&p->lock);
    return turn;
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
    if ((now >= end && !op->patient) || (pool_closes_locked(p) && op_only_asks(op)))
        return false;
    op->pause = backoff_next(op->pause, BACKOFF_LAST);
    op->due = now + backoff_jitter(op->pause);
    if (op->due > end && !op->patient)
        op->due = end;
    queue_hold_back_locked(p, op);
    if (op->due > p->last_due)
        p->last_due = op->due;
    op->resumed = true;
    queue_add_locked(p, op);
    return true;
}

static bool settle_later_locked(struct pool *p, struct op *op)
{
    if (op->due > p->last_due)
        p->last_due = op->due;
    queue_add_locked(p, op);
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
    tell(op, err);
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
    again = again && (!pool_closes_locked(p) || retry == RETRY_SETTLE);
    if (again && op->patient)
        queue_add_locked(p, op); /* it may be what ends the sessions: others come first */
    else if (again)
        DL_PREPEND(p->queue, op);
    pthread_mutex_unlock(&p->lock);
    if (again)
        return;
    tell(op, queue_errno(err));
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
    return dispatch_silence(p);
}

bool pool_has_others(struct pool *p, const struct conn *c)
{
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    bool others = dispatch_others_locked(p, l);
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
        queue_add_locked(p, op);
    else
        DL_PREPEND(p->queue, op);
    dispatch_wake_locked(p, op, true);
    pthread_mutex_unlock(&p->lock);
}

/* ---- a server that asks for a pause ---- */

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

int64_t pool_willing_at(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    int64_t until = p->throttle.until;
    pthread_mutex_unlock(&p->lock);
    return until;
}
