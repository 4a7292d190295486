/* Who takes what from the queue.
 *
 * Connections pull: a thread with room takes the first operation it may take. Connection 0 carries
 * no message bodies as long as there is another that can, so that a listing never waits behind an
 * attachment. */
#include "imap/pool/pool_state.h"

#include <errno.h>
#include <unistd.h>
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/conn/handler.h"

enum {
    COMFORTABLE = 4,        /* operations on a connection before another is preferred */
    SMALL_BODY = 68 * 1024, /* bytes that connection 0 carries when no other is ready */
    RESTLESS = 4,           /* SELECTs in a row without a pause */
    UNFAIR = 500,           /* ms; who waits longer gets the next turn */
    SILENCE = 1000,         /* ms in which a server says nothing, before another line is tried */
    IN_USE = 10000,         /* ms after an operation that a mailbox stays selected if it can */
};

void sched_wake_lane(struct lane *l)
{
    uint64_t one = 1;
    if (write(l->conn.wake, &one, sizeof one) < 0 && errno != EAGAIN)
        log_error("cannot wake connection %u: %s", l->conn.index, strerror(errno));
}

bool sched_alone(const struct op *op)
{
    return op_class(op)->alone || (op->apart && op->resumed);
}

bool sched_closes(const struct op *op)
{
    return sched_alone(op) || op->stream;
}

bool sched_waits(const struct op *op)
{
    return op->due && clock_ms() < op->due;
}

int64_t sched_next_due_locked(const struct pool *p)
{
    int64_t next = INT64_MAX;
    if (clock_ms() >= p->last_due)
        return next;
    for (const struct op *op = p->queue; op; op = op->next)
        if (sched_waits(op) && op->due < next)
            next = op->due;
    return next;
}

/* Bodies keep off connection 0 while another can carry them: is up, or is expected. A small
 * one that somebody waits for may go there rather than wait until another one is connected. */
static bool lane_ok_locked(const struct pool *p, const struct lane *l, const struct op *op)
{
    if (!op_class(op)->body || l->conn.index != 0 || p->stopping)
        return true;
    if (!op->background && op->len <= SMALL_BODY)
        return true;
    for (unsigned i = 1; i < p->nlanes; i++)
        if (reconnect_expected_locked(p, &p->lanes[i]))
            return false;
    return true;
}

bool sched_has_selected(const struct lane *l, const struct op *op)
{
    bool write = op_class(op)->write || op->mark_seen;
    return l->box.name && strcmp(l->box.name, op->mailbox) == 0 && (l->box.write || !write);
}

int64_t sched_silence(const struct pool *p)
{
    return p->config->timeout < 4 * SILENCE ? p->config->timeout / 4 : SILENCE;
}

bool sched_stalled(const struct pool *p, const struct lane *l)
{
    int64_t since = l->conn.stall.silent_since;
    return since && clock_ms() - since >= sched_silence(p);
}

/* A connection that is up and would start `op` soon and without a SELECT, or is idle. */
static bool suits_locked(const struct pool *p, const struct lane *l, const struct op *op)
{
    if (l->state != LANE_UP || !lane_ok_locked(p, l, op) || sched_stalled(p, l))
        return false;
    if (l->work.barrier || l->work.emptying || sched_alone(op) ||
        (op_class(op)->searches && l->work.searches))
        return l->work.load == 0;
    if (!op_class(op)->select)
        return l->work.load < COMFORTABLE;
    if (op->background)
        return sched_has_selected(l, op) ? l->work.load < LIMIT_PIPELINE : l->work.load == 0;
    /* Questions that someone waits for do not queue up behind bodies, nor anything behind what
     * nobody has asked for yet. */
    unsigned room = op_class(op)->body && !l->work.ahead ? COMFORTABLE : 1;
    return sched_has_selected(l, op) ? l->work.load < room : l->work.load == 0;
}

/* Whose mailbox would be missed less, if it had to select another? */
static bool loses_less(const struct lane *l, const struct lane *than)
{
    if (!l->box.name || !than->box.name)
        return !l->box.name && than->box.name;
    return l->work.taken_at < than->work.taken_at;
}

/* The best of those that wait until IDLE is accepted, which may be long, or of the others. */
static struct lane *best_of_locked(const struct pool *p, const struct op *op, bool asking)
{
    bool body = op_class(op)->body;
    struct lane *idle = NULL;
    for (unsigned i = 0; i < p->nlanes; i++) {
        struct lane *l = &p->lanes[(i + body) % p->nlanes];
        if (l->watch.asking != asking || !suits_locked(p, l, op))
            continue;
        if (op_class(op)->select && sched_has_selected(l, op))
            return l;
        if (!idle || (op_class(op)->select && loses_less(l, idle)))
            idle = l;
    }
    return idle;
}

/* The connection that should start `op` now: it has the mailbox selected, or is idle; bodies keep
 * off connection 0 if that costs nothing. NULL: none would start it soon. */
static struct lane *best_locked(const struct pool *p, const struct op *op)
{
    struct lane *best = best_of_locked(p, op, false);
    return best ? best : best_of_locked(p, op, true);
}

/* May another connection be had, by waiting until it is connected? */
static bool others_come_locked(const struct pool *p, const struct lane *l, const struct op *op)
{
    for (unsigned i = 0; i < p->nlanes && !p->stopping; i++) {
        const struct lane *o = &p->lanes[i];
        if (o != l && lane_ok_locked(p, o, op) &&
            (o->state == LANE_CONNECTING ||
             (o->state == LANE_DOWN && reconnect_usable_locked(p, o))))
            return true;
    }
    return false;
}

bool sched_others_locked(const struct pool *p, const struct lane *l, const struct op *op)
{
    for (unsigned i = 0; i < p->nlanes && !p->stopping; i++) {
        const struct lane *o = &p->lanes[i];
        if (o == l || (op && !lane_ok_locked(p, o, op)))
            continue;
        bool up = o->state == LANE_UP && !o->work.barrier && !sched_stalled(p, o);
        bool comes =
            o->state == LANE_CONNECTING || (o->state == LANE_DOWN && reconnect_usable_locked(p, o));
        if (up || comes)
            return true;
    }
    return false;
}

/* Was its mailbox needed just now? */
static bool in_use_locked(const struct lane *l)
{
    return l->box.name && clock_ms() - l->work.taken_at < IN_USE;
}

bool sched_may_take_locked(const struct pool *p, const struct lane *l, const struct op *op)
{
    if (l->work.load >= LIMIT_PIPELINE || l->work.barrier || !lane_ok_locked(p, l, op) ||
        (sched_alone(op) && l->work.load > 0) || (op_class(op)->searches && l->work.searches > 0))
        return false;
    if (sched_stalled(p, l) && sched_others_locked(p, l, op))
        return false; /* who knows how long it would wait */
    /* Read-ahead of one mailbox goes over one connection, whoever is idle. */
    if (op->background && !sched_has_selected(l, op))
        for (unsigned i = 0; i < p->nlanes; i++)
            if (p->lanes[i].state == LANE_UP && !p->lanes[i].work.barrier &&
                !sched_stalled(p, &p->lanes[i]) && sched_has_selected(&p->lanes[i], op) &&
                lane_ok_locked(p, &p->lanes[i], op))
                return false;
    if (op_class(op)->body && !op->background) {
        const struct lane *best = best_locked(p, op);
        if (best && best != l)
            return false; /* it is awake */
        if (!best && l->work.ahead && others_come_locked(p, l, op))
            return false; /* megabytes may be under way before it */
    }
    if (!op_class(op)->select || sched_has_selected(l, op))
        return true;
    if (l->work.load > 0)
        return false; /* what is in flight is about the mailbox selected now */
    if (op->patient && in_use_locked(l) && others_come_locked(p, l, op))
        return false; /* a look that nobody waits for takes no mailbox away */
    for (unsigned i = 0; i < p->nlanes; i++) {
        const struct lane *o = &p->lanes[i];
        if (o != l && !o->watch.asking && sched_has_selected(o, op) && suits_locked(p, o, op))
            return false; /* it is awake and needs no SELECT */
    }
    return true;
}

/* Can it begin there only when nothing else is under way? */
static bool wants_empty(const struct lane *l, const struct op *op)
{
    return sched_alone(op) || (op_class(op)->select && !sched_has_selected(l, op));
}

/* As long as many ask for what the connections are at, none of them is ever empty. So the one that
 * has the least under way finishes that and begins nothing else: it is the same one until it is
 * empty, since its load cannot grow meanwhile. */
static bool empties_first_locked(const struct pool *p, const struct lane *l, const struct op *op)
{
    for (unsigned i = 0; i < p->nlanes; i++) {
        const struct lane *o = &p->lanes[i];
        if (o == l || o->state != LANE_UP || o->work.barrier || !lane_ok_locked(p, o, op))
            continue;
        if (!wants_empty(o, op) || o->work.load < l->work.load ||
            (o->work.load == l->work.load && o < l))
            return false;
    }
    return true;
}

bool sched_owed_locked(const struct pool *p, const struct lane *l, const struct op *op)
{
    if (l->work.load == 0 || clock_ms() - op->submitted <= UNFAIR)
        return false;
    if (!reconnect_others_alive_locked(p, l))
        return true;
    if (op->background || l->work.barrier || !lane_ok_locked(p, l, op) || !wants_empty(l, op))
        return false;
    if (op->patient && in_use_locked(l) && others_come_locked(p, l, op))
        return false; /* it would not have it even then */
    return empties_first_locked(p, l, op);
}

/* Has the first connection that could carry bodies make itself ready. */
void sched_warm_locked(struct pool *p)
{
    for (unsigned i = 1; i < p->nlanes; i++) {
        struct lane *l = &p->lanes[i];
        if (l->state != LANE_DOWN)
            return;
        if (reconnect_usable_locked(p, l)) {
            l->line.warm = true;
            sched_wake_lane(l);
            return;
        }
    }
}

/* Is a connection just selecting the mailbox of this read-ahead? */
static bool is_opened_locked(const struct pool *p, const struct op *op)
{
    for (unsigned i = 0; i < p->nlanes; i++) {
        const struct lane *l = &p->lanes[i];
        if (l->state == LANE_UP && l->box.opening && strcmp(l->box.opening, op->mailbox) == 0 &&
            lane_ok_locked(p, l, op))
            return true;
    }
    return false;
}

void sched_wake_locked(struct pool *p, const struct op *op, bool anyone)
{
    struct lane *best = best_locked(p, op), *down = NULL, *busy = NULL;
    bool any = false, coming = false, body = op_class(op)->body;
    for (unsigned i = 0; i < p->nlanes; i++) {
        struct lane *l = &p->lanes[(i + body) % p->nlanes];
        any |= l->state != LANE_DOWN;
        if (!lane_ok_locked(p, l, op))
            continue;
        coming |= l->state == LANE_CONNECTING;
        if (l->state == LANE_DOWN && reconnect_usable_locked(p, l))
            down = down ? down : l;
        else if (l->state == LANE_UP && anyone)
            busy = busy && !busy->work.emptying && !sched_stalled(p, busy) ? busy : l;
    }
    /* Who goes back and forth between two mailboxes, as mv does, gets a connection for each. */
    if (best && op_class(op)->select && !sched_has_selected(best, op) && best->box.name && down &&
        (p->selects > RESTLESS || (op->patient && in_use_locked(best))))
        best = NULL;
    if (!best && op->background && is_opened_locked(p, op))
        return; /* it looks once it has selected */
    if (body && best && best->conn.index == 0)
        sched_warm_locked(p); /* not again the one that lists */
    /* What is alone in the queue waits for the connection that is being made, which is there before
     * another one would be. */
    if (coming && !p->queue->next)
        down = NULL;
    struct lane *l = best ? best : down ? down : busy;
    if (l && l == down)
        l->line.wanted = true;
    if (l)
        sched_wake_lane(l);
    if (!any && (!l || l != &p->lanes[0]))
        sched_wake_lane(&p->lanes[0]); /* it connects, or says that nobody can */
}

void sched_wake_all_locked(struct pool *p)
{
    for (unsigned i = 0; i < p->nlanes; i++)
        sched_wake_lane(&p->lanes[i]);
}

void sched_enqueue_locked(struct pool *p, struct op *op)
{
    struct op *at = p->queue;
    while (at && !at->background)
        at = at->next;
    if (op->background || !at)
        DL_APPEND(p->queue, op);
    else
        DL_PREPEND_ELEM(p->queue, at, op);
}

/* Is there something that no connection which is up will take soon? */
bool sched_needed_locked(const struct pool *p, const struct lane *l)
{
    struct op *op;
    DL_FOREACH (p->queue, op) {
        if (sched_waits(op) || !lane_ok_locked(p, l, op))
            continue;
        bool suited = false;
        for (unsigned i = 0; i < p->nlanes && !suited; i++)
            suited = suits_locked(p, &p->lanes[i], op) || p->lanes[i].state == LANE_CONNECTING;
        if (!suited)
            return true;
    }
    return false;
}

/* What is not worth keeping when no connection can be had: all but changes of unknown fate, which
 * are settled as long as their time allows. */
struct op *sched_hopeless_locked(struct pool *p)
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
struct op *sched_expired_locked(struct pool *p)
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
