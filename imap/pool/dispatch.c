/* From the pool to the decision who takes what (sched.h), and back: the picture of the lanes, what
 * an operation needs, and the wake-ups. */
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/conn/handler.h"
#include "imap/pool/pool_state.h"

enum {
    SMALL_BODY = 68 * 1024, /* bytes that lane 0 carries when no other is ready */
    RESTLESS = 4,           /* SELECTs in a row without a pause */
    UNFAIR = 500,           /* ms; who waits longer gets the next turn */
    SILENCE = 1000,         /* ms in which a server says nothing, before another line is tried */
    IN_USE = 10000,         /* ms after an operation that a mailbox stays selected if it can */
};

bool dispatch_alone(const struct op *op)
{
    return op_class(op)->alone || (op->apart && op->resumed);
}

bool dispatch_is_barrier(const struct op *op)
{
    return dispatch_alone(op) || op_streams(op);
}

int64_t dispatch_silence(const struct pool *p)
{
    return p->config->timeout < 4 * SILENCE ? p->config->timeout / 4 : SILENCE;
}

/* ---- the picture ---- */

static struct sched_lane picture_locked(const struct pool *p, const struct lane *l, int64_t now)
{
    static const enum sched_is is[] = {
        [LANE_DOWN] = SCHED_DOWN, [LANE_CONNECTING] = SCHED_COMING, [LANE_UP] = SCHED_UP};
    int64_t silent_since = l->conn.stall.silent_since;
    return (struct sched_lane){
        .is = is[l->state],
        .usable = l->state == LANE_DOWN && reconnect_usable_locked(p, l),
        .expected = reconnect_expected_locked(p, l),
        .stalled = silent_since && now - silent_since >= dispatch_silence(p),
        .asking = l->watch.asking,
        .barrier = l->work.barrier,
        .emptying = l->work.emptying,
        .box = l->box.name,
        .in_use = l->box.name && now - l->work.taken_at < IN_USE,
        .load = l->work.load,
        .searches = l->work.searches,
        .ahead = l->work.ahead,
        .taken_at = l->work.taken_at,
    };
}

void dispatch_view_locked(const struct pool *p, struct sched_view *v)
{
    int64_t now = clock_ms();
    v->n = p->nlanes < SCHED_LANES ? p->nlanes : SCHED_LANES;
    v->stopping = pool_closes_locked(p);
    v->restless = p->selects > RESTLESS;
    for (unsigned i = 0; i < v->n; i++)
        v->lanes[i] = picture_locked(p, &p->lanes[i], now);
}

static bool has_selected(const struct lane *l, const struct op *op)
{
    return l->box.name && strcmp(l->box.name, op->mailbox) == 0 && (l->box.write || !op_writes(op));
}

static bool is_small(const struct op *op)
{
    return op->kind == OP_BODY     ? op_as_body(op)->len <= SMALL_BODY
           : op->kind == OP_BODIES ? op_as_bodies(op)->len <= SMALL_BODY
                                   : true;
}

struct sched_need dispatch_need_locked(const struct pool *p, const struct op *op)
{
    const struct op_class *class = op_class(op);
    struct sched_need need = {
        .select = class->select,
        .body = class->body,
        .small = is_small(op),
        .searches = class->searches,
        .alone = dispatch_alone(op),
        .background = op->background,
        .patient = op->patient,
        .waited = clock_ms() - op->submitted > UNFAIR,
        .only = !p->queue || !p->queue->next,
    };
    for (unsigned i = 0; i < p->nlanes && op->mailbox; i++) {
        const struct lane *l = &p->lanes[i];
        need.has |= (uint32_t)has_selected(l, op) << i;
        need.opens |= (uint32_t)(l->box.opening && strcmp(l->box.opening, op->mailbox) == 0) << i;
    }
    return need;
}

/* ---- questions ---- */

bool dispatch_others_locked(const struct pool *p, const struct lane *l)
{
    struct sched_view v;
    dispatch_view_locked(p, &v);
    return sched_others(&v, NULL, l->conn.index);
}

bool dispatch_needed_locked(const struct pool *p, const struct lane *l)
{
    struct sched_view v;
    dispatch_view_locked(p, &v);
    for (const struct op *op = p->queue; op; op = op->next) {
        if (queue_waits(op))
            continue;
        struct sched_need need = dispatch_need_locked(p, op);
        if (sched_decide(&v, &need, l->conn.index) == SCHED_CONNECT)
            return true;
    }
    return false;
}

/* ---- waking ---- */

void dispatch_warm_locked(struct pool *p)
{
    for (unsigned i = 1; i < p->nlanes; i++) {
        struct lane *l = &p->lanes[i];
        if (l->state != LANE_DOWN)
            return;
        if (reconnect_usable_locked(p, l)) {
            l->line.warm = true;
            lane_wake(l);
            return;
        }
    }
}

void dispatch_wake_locked(struct pool *p, const struct op *op, bool anyone)
{
    struct sched_view v;
    dispatch_view_locked(p, &v);
    struct sched_need need = dispatch_need_locked(p, op);
    struct sched_call call = sched_call(&v, &need, anyone);
    if (call.warm)
        dispatch_warm_locked(p);
    if (call.connect)
        p->lanes[call.lane].line.wanted = true;
    if (call.lane >= 0)
        lane_wake(&p->lanes[call.lane]);
    if (call.first)
        lane_wake(&p->lanes[0]);
}

void dispatch_wake_all_locked(struct pool *p)
{
    for (unsigned i = 0; i < p->nlanes; i++)
        lane_wake(&p->lanes[i]);
}
