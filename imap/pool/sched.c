#include "imap/pool/sched.h"

#include "imap/base/limits.h"

enum { COMFORTABLE = 4 }; /* operations on a lane before another is preferred */

static bool has(const struct sched_need *need, unsigned i)
{
    return need->has >> i & 1;
}

/* Bodies keep off lane 0 while another can carry them: is up, or is expected. A small one that
 * somebody waits for may go there rather than wait until another one is connected. */
static bool may_carry(const struct sched_view *v, const struct sched_need *need, unsigned i)
{
    if (!need->body || i != 0 || v->stopping)
        return true;
    if (need->small && !need->background)
        return true;
    for (unsigned o = 1; o < v->n; o++)
        if (v->lanes[o].expected)
            return false;
    return true;
}

/* Is it connecting, or may it be had by connecting? */
static bool comes(const struct sched_lane *l)
{
    return l->is == SCHED_COMING || (l->is == SCHED_DOWN && l->usable);
}

/* May another lane be had, by waiting until it is connected? */
static bool others_come(const struct sched_view *v, const struct sched_need *need, unsigned self)
{
    for (unsigned i = 0; i < v->n && !v->stopping; i++)
        if (i != self && may_carry(v, need, i) && comes(&v->lanes[i]))
            return true;
    return false;
}

bool sched_others(const struct sched_view *v, const struct sched_need *need, unsigned self)
{
    for (unsigned i = 0; i < v->n && !v->stopping; i++) {
        const struct sched_lane *l = &v->lanes[i];
        if (i == self || (need && !may_carry(v, need, i)))
            continue;
        if (comes(l) || (l->is == SCHED_UP && !l->barrier && !l->stalled))
            return true;
    }
    return false;
}

/* How many operations it may have under way and still start this one soon and without a SELECT.
 * Questions that someone waits for do not queue up behind bodies, nor anything behind what nobody
 * has asked for yet. */
static unsigned room(const struct sched_lane *l, const struct sched_need *need, bool selected)
{
    if (l->barrier || l->emptying || need->alone || (need->searches && l->searches))
        return 1;
    if (!need->select)
        return COMFORTABLE;
    if (!selected)
        return 1;
    if (need->background)
        return LIMIT_PIPELINE;
    return need->body && !l->ahead ? COMFORTABLE : 1;
}

/* Would it start the operation soon and without a SELECT, or is it idle? */
static bool suits(const struct sched_view *v, const struct sched_need *need, unsigned i)
{
    const struct sched_lane *l = &v->lanes[i];
    return l->is == SCHED_UP && !l->stalled && may_carry(v, need, i) &&
           l->load < room(l, need, has(need, i));
}

/* Whose mailbox would be missed less, if it had to select another? */
static bool loses_less(const struct sched_lane *l, const struct sched_lane *than)
{
    if (!l->box || !than->box)
        return !l->box && than->box;
    return l->taken_at < than->taken_at;
}

/* The best of those that wait until IDLE is accepted, or of the others; -1: none suits. */
static int best_of(const struct sched_view *v, const struct sched_need *need, bool asking)
{
    int idle = -1;
    for (unsigned k = 0; k < v->n; k++) {
        unsigned i = (k + need->body) % v->n; /* bodies keep off lane 0 if that costs nothing */
        if (v->lanes[i].asking != asking || !suits(v, need, i))
            continue;
        if (need->select && has(need, i))
            return (int)i;
        if (idle < 0 || (need->select && loses_less(&v->lanes[i], &v->lanes[idle])))
            idle = (int)i;
    }
    return idle;
}

/* The lane that should start the operation now: it has the mailbox selected, or is idle. -1: none
 * would start it soon. */
static int best_lane(const struct sched_view *v, const struct sched_need *need)
{
    int best = best_of(v, need, false);
    return best >= 0 ? best : best_of(v, need, true);
}

/* Is there no room on this lane, whatever there is elsewhere? */
static bool is_full(const struct sched_lane *l, const struct sched_need *need)
{
    return l->load >= LIMIT_PIPELINE || l->barrier || (need->alone && l->load > 0) ||
           (need->searches && l->searches > 0);
}

/* Read-ahead of one mailbox goes over one lane, whoever is idle: is there one that has it? */
static bool read_ahead_elsewhere(const struct sched_view *v, const struct sched_need *need)
{
    for (unsigned i = 0; i < v->n; i++) {
        const struct sched_lane *l = &v->lanes[i];
        if (l->is == SCHED_UP && !l->barrier && !l->stalled && has(need, i) &&
            may_carry(v, need, i))
            return true;
    }
    return false;
}

/* Is a body that somebody waits for better off with another lane? */
static bool body_elsewhere(const struct sched_view *v, const struct sched_need *need, unsigned self)
{
    int best = best_lane(v, need);
    if (best >= 0)
        return best != (int)self; /* that one is awake */
    /* Megabytes may be under way before it. */
    return v->lanes[self].ahead && others_come(v, need, self);
}

/* A look that nobody waits for takes no mailbox away that is in use, if another lane can be had. */
static bool spares_box(const struct sched_view *v, const struct sched_need *need, unsigned self)
{
    return need->patient && v->lanes[self].in_use && others_come(v, need, self);
}

/* May this lane, which has another mailbox selected or none, select the operation's? */
static bool may_select(const struct sched_view *v, const struct sched_need *need, unsigned self)
{
    if (v->lanes[self].load > 0)
        return false; /* what is in flight is about the mailbox selected now */
    if (spares_box(v, need, self))
        return false;
    for (unsigned i = 0; i < v->n; i++)
        if (i != self && !v->lanes[i].asking && has(need, i) && suits(v, need, i))
            return false; /* it is awake and needs no SELECT */
    return true;
}

static bool takes(const struct sched_view *v, const struct sched_need *need, unsigned self)
{
    const struct sched_lane *l = &v->lanes[self];
    if (is_full(l, need) || !may_carry(v, need, self))
        return false;
    if (l->stalled && sched_others(v, need, self))
        return false; /* who knows how long it would wait */
    if (need->background && !has(need, self) && read_ahead_elsewhere(v, need))
        return false;
    if (need->body && !need->background && body_elsewhere(v, need, self))
        return false;
    return !need->select || has(need, self) || may_select(v, need, self);
}

/* Can it begin there only when nothing else is under way? */
static bool wants_empty(const struct sched_need *need, unsigned i)
{
    return need->alone || (need->select && !has(need, i));
}

/* As long as many ask for what the lanes are at, none of them is ever empty. So the one that has
 * the least under way finishes that and begins nothing else: it is the same one until it is empty,
 * since its load cannot grow meanwhile. */
static bool empties_first(const struct sched_view *v, const struct sched_need *need, unsigned self)
{
    unsigned load = v->lanes[self].load;
    for (unsigned i = 0; i < v->n; i++) {
        const struct sched_lane *l = &v->lanes[i];
        if (i == self || l->is != SCHED_UP || l->barrier || !may_carry(v, need, i))
            continue;
        if (!wants_empty(need, i) || l->load < load || (l->load == load && i < self))
            return false;
    }
    return true;
}

static bool any_other_alive(const struct sched_view *v, unsigned self)
{
    for (unsigned i = 0; i < v->n; i++)
        if (i != self && v->lanes[i].is != SCHED_DOWN)
            return true;
    return false;
}

static bool empties(const struct sched_view *v, const struct sched_need *need, unsigned self)
{
    const struct sched_lane *l = &v->lanes[self];
    if (l->load == 0 || !need->waited)
        return false;
    if (!any_other_alive(v, self))
        return true;
    if (need->background || l->barrier || !may_carry(v, need, self) || !wants_empty(need, self))
        return false;
    return !spares_box(v, need, self) && empties_first(v, need, self);
}

static bool connects(const struct sched_view *v, const struct sched_need *need, unsigned self)
{
    if (!may_carry(v, need, self))
        return false;
    for (unsigned i = 0; i < v->n; i++)
        if (v->lanes[i].is == SCHED_COMING || suits(v, need, i))
            return false;
    return true;
}

enum sched_verdict sched_decide(const struct sched_view *v, const struct sched_need *need,
                                unsigned self)
{
    switch (v->lanes[self].is) {
    case SCHED_UP:
        return takes(v, need, self)     ? SCHED_TAKE
               : empties(v, need, self) ? SCHED_EMPTY
                                        : SCHED_LEAVE;
    case SCHED_DOWN:
        return connects(v, need, self) ? SCHED_CONNECT : SCHED_LEAVE;
    case SCHED_COMING:
        break;
    }
    return SCHED_LEAVE;
}

/* ---- who is told ---- */

/* Is a lane just selecting the mailbox of this read-ahead? It looks at the queue once it has. */
static bool is_opened(const struct sched_view *v, const struct sched_need *need)
{
    for (unsigned i = 0; i < v->n; i++)
        if (v->lanes[i].is == SCHED_UP && need->opens >> i & 1 && may_carry(v, need, i))
            return true;
    return false;
}

/* The first lane that may connect for it; -1: none, or another is about to be there. */
static int lane_to_connect(const struct sched_view *v, const struct sched_need *need)
{
    for (unsigned k = 0; k < v->n; k++) {
        unsigned i = (k + need->body) % v->n;
        if (v->lanes[i].is == SCHED_DOWN && v->lanes[i].usable && may_carry(v, need, i))
            return (int)i;
    }
    return -1;
}

/* Is a lane connecting that may carry it? */
static bool one_comes(const struct sched_view *v, const struct sched_need *need)
{
    for (unsigned i = 0; i < v->n; i++)
        if (v->lanes[i].is == SCHED_COMING && may_carry(v, need, i))
            return true;
    return false;
}

/* One that has other work under way and perhaps room; -1: none is up. */
static int busy_lane(const struct sched_view *v, const struct sched_need *need)
{
    int busy = -1;
    for (unsigned k = 0; k < v->n; k++) {
        unsigned i = (k + need->body) % v->n;
        if (v->lanes[i].is != SCHED_UP || !may_carry(v, need, i))
            continue;
        if (busy < 0 || v->lanes[busy].emptying || v->lanes[busy].stalled)
            busy = (int)i;
    }
    return busy;
}

/* Who goes back and forth between two mailboxes, as mv does, gets a lane for each. */
static bool spares(const struct sched_view *v, const struct sched_need *need, int best)
{
    const struct sched_lane *l = &v->lanes[best];
    return need->select && !has(need, (unsigned)best) && l->box &&
           (v->restless || (need->patient && l->in_use));
}

struct sched_call sched_call(const struct sched_view *v, const struct sched_need *need, bool anyone)
{
    struct sched_call call = {.lane = best_lane(v, need)};
    int down = lane_to_connect(v, need);
    if (call.lane >= 0 && down >= 0 && spares(v, need, call.lane))
        call.lane = -1;
    if (call.lane < 0 && need->background && is_opened(v, need))
        return call;
    call.warm = need->body && call.lane == 0; /* not again the one that lists */
    /* The only operation in the queue waits for the lane that is being connected, which is there
     * before another one would be. */
    if (need->only && one_comes(v, need))
        down = -1;
    if (call.lane < 0 && down >= 0) {
        call.lane = down;
        call.connect = true;
    }
    if (call.lane < 0 && anyone)
        call.lane = busy_lane(v, need);
    call.first = call.lane != 0 && !any_other_alive(v, v->n);
    return call;
}
