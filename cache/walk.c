#include "cache/walk.h"

#include <string.h>

#include "cache/body.h"

enum {
    NEXT_FOLDER = 2000, /* ms that a walk may take to go on there */
    PAUSE = 10000,      /* ms without a read after which what was covered before does not count */
    STRIDE = 8,         /* messages that a walk may leave out at once */
    STRIDE_FIRST = 3,   /* the same while the walk may yet be chance */
    STRIDE_APART = 1,   /* the same while it may be chance and others read in between */
    CERTAIN = 8,        /* messages after which a walk is no chance */
    SCORE_MOST = 8,     /* so many reads in one direction weigh down two in the other */
    PASSED = 16,        /* readers of one list are not farther apart than this, in messages */
    SCATTER_LEAST = 16, /* messages read in no order before what is left is asked for */
    SCATTER_PART = 8,   /* the same as a part of the folder, an eighth, if that is more */
    STRANGE = 4,        /* reads in a row without a neighbour, before other orders are tried */
    DEEP = 1024 * 1024,
    DEEPNESS = 2,
};

static int dir_of(int side)
{
    return side == WALK_UP ? 1 : -1;
}

size_t walk_window(const struct walk_reading *r)
{
    return r->deepness ? DEEP : BODY_FIRST_WINDOW;
}

size_t walk_share(const struct walk_reading *r, const struct msg *m)
{
    size_t window = walk_window(r);
    return msg_size(m) < window ? (size_t)msg_size(m) : window;
}

/* ---- readings ---- */

static void forget(struct walks *ws, struct walk_reading *r)
{
    ws->n_unread += r->asked_bytes;
    uidset_free(&r->map);
    uidset_free(&r->asked);
    order_free(&r->order);
    *r = (struct walk_reading){.strange_next = STRANGE};
}

static struct walk_reading *find_reading(struct walks *ws, uint32_t gen)
{
    for (size_t i = 0; i < WALK_READINGS; i++)
        if (ws->readings[i].gen == gen)
            return &ws->readings[i];
    return NULL;
}

/* The one of this folder; else the one used longest ago, emptied. */
static struct walk_reading *reading_of(struct walks *ws, uint32_t gen, int64_t now)
{
    struct walk_reading *r = find_reading(ws, gen);
    if (!r) {
        r = &ws->readings[0];
        for (size_t i = 1; i < WALK_READINGS; i++)
            if (ws->readings[i].used < r->used)
                r = &ws->readings[i];
        forget(ws, r);
        r->gen = gen;
    } else if (now - r->at > PAUSE) {
        uidset_free(&r->map);
        r->n = 0;
        r->bytes = 0;
        r->sweep = 0;
        r->strange_next = STRANGE;
    }
    r->at = now;
    return r;
}

/* Who waits for bytes asks for them again once they are here: that is no other read. */
static bool is_recent(const struct walk_reading *r, uint32_t uid)
{
    for (size_t i = 0; i < WALK_RECENT && i < r->nrecent; i++)
        if (r->recent[i] == uid)
            return true;
    return false;
}

/* What was asked for ahead was not asked for in vain. */
static void was_read(struct walk_reading *r, const struct msg *m)
{
    if (!uidset_has(&r->asked, m->uid))
        return;
    size_t n = walk_share(r, m);
    uidset_remove(&r->asked, m->uid);
    r->asked_bytes -= n < r->asked_bytes && r->asked.n ? n : r->asked_bytes;
}

/* Puts a message that is read into the map. */
static void record(struct walk_reading *r, const struct msg *m)
{
    r->recent[r->nrecent++ % WALK_RECENT] = m->uid;
    if (!uidset_has(&r->map, m->uid)) {
        uidset_add(&r->map, m->uid, m->uid);
        r->n++;
        r->bytes += walk_share(r, m);
    }
    was_read(r, m);
    if (msg_size(m) > BODY_FIRST_WINDOW) {
        size_t slot = r->nlarge++ % WALK_LARGE;
        if (r->large[slot].uid && !r->large[slot].read_on && r->deepness)
            r->deepness--;
        r->large[slot].uid = m->uid;
        r->large[slot].read_on = false;
    }
}

void walk_read_on(struct walks *ws, uint32_t gen, uint32_t uid)
{
    struct walk_reading *r = find_reading(ws, gen);
    for (size_t i = 0; r && i < WALK_LARGE; i++) {
        if (r->large[i].uid != uid || r->large[i].read_on)
            continue;
        r->large[i].read_on = true;
        r->deepness += r->deepness < DEEPNESS;
    }
}

/* ---- stretches ---- */

/* How many steps lead from one place to the other; `most` + 1: more than that. */
static int steps(const struct walk_reading *r, const struct msgtable *t, struct place from,
                 struct place to, int most)
{
    int dir = order_compare(to, from);
    for (int n = 0; n <= most; n++) {
        if (order_compare(to, from) * dir <= 0)
            return n;
        if (!order_step(&r->order, t, &from, dir))
            break;
    }
    return most + 1;
}

enum fit { FIT_NOT, FIT_AHEAD, FIT_NEAR };

enum { INSIDE = -1 };

/* Does this message continue the stretch: at which side, or INSIDE, near an edge that others have
 * moved on already? */
static enum fit fits(const struct walks *ws, const struct walk_reading *r, const struct msgtable *t,
                     const struct walk_head *h, struct place where, int *side)
{
    int stride = h->n >= CERTAIN ? STRIDE : h->used + 1 == ws->clock ? STRIDE_FIRST : STRIDE_APART;
    for (int s = WALK_DOWN; s < WALK_SIDES; s++) {
        const struct walk_edge *e = &h->edge[s];
        int dir = dir_of(s);
        if (order_compare(where, e->at) * dir <= 0)
            continue;
        *side = s;
        if (steps(r, t, e->at, where, stride) <= stride)
            return FIT_NEAR;
        return order_compare(where, e->ahead) * dir <= 0 ? FIT_AHEAD : FIT_NOT;
    }
    *side = INSIDE;
    for (int s = WALK_DOWN; s < WALK_SIDES; s++)
        if ((h->edge[s].score || h->n < CERTAIN) &&
            steps(r, t, h->edge[s].at, where, PASSED) <= PASSED)
            return FIT_NEAR;
    return FIT_NOT;
}

static struct walk_head *find_head(const struct walks *ws, struct walk_reading *r,
                                   const struct msgtable *t, struct place where, int *side)
{
    struct walk_head *best = NULL;
    enum fit best_fit = FIT_NOT;
    for (size_t i = 0; i < WALK_HEADS; i++) {
        struct walk_head *h = &r->heads[i];
        int s;
        enum fit fit = h->used ? fits(ws, r, t, h, where, &s) : FIT_NOT;
        if (fit == FIT_NOT || fit < best_fit || (fit == best_fit && h->used < best->used))
            continue;
        best = h;
        best_fit = fit;
        *side = s;
    }
    return best;
}

static bool is_end(const struct walk_reading *r, const struct msgtable *t, struct place at,
                   int side)
{
    return !order_step(&r->order, t, &at, dir_of(side));
}

/* Readers of the stretch have come to this place, past all messages between. */
static void grow(struct walks *ws, struct walk_reading *r, const struct msgtable *t,
                 struct walk_head *h, int side, struct place where)
{
    struct walk_edge *e = &h->edge[side], *other = &h->edge[!side];
    int dir = dir_of(side);
    while (order_compare(where, e->at) * dir > 0) {
        const struct msg *p = order_step(&r->order, t, &e->at, dir);
        if (!p)
            break;
        size_t n = walk_share(r, p);
        h->walked += n;
        was_read(r, p);
        if (order_compare(e->at, e->ahead) * dir <= 0)
            e->ahead_bytes -= n < e->ahead_bytes ? n : e->ahead_bytes;
    }
    h->n++;
    e->at = where;
    if (order_compare(e->ahead, where) * dir <= 0) {
        e->ahead = where;
        e->ahead_bytes = 0;
    }
    e->score += e->score < SCORE_MOST;
    other->score /= 2;
    if (is_end(r, t, where, side)) {
        ws->ended = r->at;
        ws->ended_side = side;
    }
}

/* A new stretch, in place of the one used longest ago. */
static struct walk_head *begin(struct walks *ws, struct walk_reading *r, const struct msgtable *t,
                               const struct msg *m, struct place where)
{
    struct walk_head *h = &r->heads[0];
    for (size_t i = 1; i < WALK_HEADS; i++)
        if (r->heads[i].used < h->used)
            h = &r->heads[i];
    *h = (struct walk_head){.n = 1, .walked = walk_share(r, m)};
    for (int s = WALK_DOWN; s < WALK_SIDES; s++)
        h->edge[s].at = h->edge[s].ahead = where;
    /* Who has walked a folder to its end goes on in the next one. */
    if (ws->ended && r->at - ws->ended < NEXT_FOLDER && is_end(r, t, where, !ws->ended_side))
        h->edge[ws->ended_side].score = 1;
    return h;
}

/* The message belongs to a stretch, which it continues, or begins. */
static struct walk_head *place_in(struct walks *ws, struct walk_reading *r,
                                  const struct msgtable *t, const struct msg *m)
{
    struct place where = order_place(&r->order, m);
    int side = INSIDE;
    struct walk_head *h = find_head(ws, r, t, where, &side);
    r->strange = h ? 0 : r->strange + 1;
    if (!h)
        h = begin(ws, r, t, m, where);
    if (side != INSIDE)
        grow(ws, r, t, h, side, where);
    h->used = ws->clock;
    return h;
}

/* ---- orders ---- */

/* Goes on in another order if the last reads are neighbours there. */
static void try_orders(struct walks *ws, struct walk_reading *r, const struct msgtable *t)
{
    uint32_t last[STRANGE];
    for (size_t i = 0; i < STRANGE; i++)
        last[i] = r->recent[(r->nrecent - STRANGE + i) % WALK_RECENT];
    for (enum order_kind kind = ORDER_UID; kind < ORDER_KINDS; kind++) {
        if (kind == r->order.kind ||
            order_neighbours(kind, t, last, STRANGE, STRIDE_FIRST) < STRANGE - 1 ||
            !order_make(&r->order, kind, t))
            continue;
        memset(r->heads, 0, sizeof r->heads);
        r->strange_next = STRANGE;
        for (size_t i = 0; i < STRANGE - 1; i++, ws->clock++)
            place_in(ws, r, t, msgtable_find(t, last[i]));
        return;
    }
    r->strange_next *= 2; /* to look is not free */
}

/* ---- reads ---- */

static struct walk_lead lead_of(struct walk_reading *r, struct walk_head *h,
                                const struct msgtable *t, bool whole)
{
    unsigned down = h->edge[WALK_DOWN].score, up = h->edge[WALK_UP].score;
    /* In a folder of which much was read without a walk, neighbours are chance. */
    if (whole && h->n < CERTAIN && r->n >= SCATTER_LEAST && r->n >= t->live / SCATTER_PART)
        return (struct walk_lead){.r = r};
    if (down || up)
        return (struct walk_lead){r, h, down > up ? WALK_DOWN : WALK_UP};
    return (struct walk_lead){0};
}

struct walk_lead walk_read(struct walks *ws, uint32_t gen, const struct msgtable *t,
                           const struct msg *m, bool whole, int64_t now)
{
    struct walk_reading *r = reading_of(ws, gen, now);
    if (is_recent(r, m->uid))
        return (struct walk_lead){0};
    r->used = ++ws->clock;
    record(r, m);
    struct walk_head *h = NULL;
    if (whole && r->strange + 1 >= r->strange_next && r->nrecent >= STRANGE) {
        int side;
        if (!find_head(ws, r, t, order_place(&r->order, m), &side))
            try_orders(ws, r, t);
    }
    h = place_in(ws, r, t, m);
    return lead_of(r, h, t, whole);
}

/* ---- ahead ---- */

struct msg *walk_next(const struct walk_lead *lead, const struct msgtable *t, struct place *at)
{
    const struct walk_reading *r = lead->r;
    if (lead->head) {
        *at = lead->head->edge[lead->side].ahead;
        return order_step(&r->order, t, at, dir_of(lead->side));
    }
    struct msg *m = msgtable_after(t, r->sweep);
    *at = (struct place){.uid = m ? m->uid : r->sweep};
    return m;
}

void walk_pass(const struct walk_lead *lead, struct place at, const struct msg *m, bool asked)
{
    struct walk_reading *r = lead->r;
    size_t bytes = asked ? walk_share(r, m) : 0;
    if (asked && !uidset_has(&r->asked, m->uid)) {
        uidset_add(&r->asked, m->uid, m->uid);
        r->asked_bytes += bytes;
    }
    if (!lead->head) {
        r->sweep = at.uid;
        return;
    }
    struct walk_edge *e = &lead->head->edge[lead->side];
    e->ahead = at;
    e->ahead_bytes += bytes;
}

uint64_t walk_ahead(const struct walk_lead *lead)
{
    return lead->head ? lead->head->edge[lead->side].ahead_bytes : lead->r->asked_bytes;
}

uint64_t walk_evidence(const struct walk_lead *lead)
{
    return lead->head ? lead->head->walked : lead->r->bytes;
}

uint64_t walk_unread(const struct walks *ws)
{
    uint64_t n = ws->n_unread;
    for (size_t i = 0; i < WALK_READINGS; i++)
        n += ws->readings[i].asked_bytes;
    return n;
}

void walks_free(struct walks *ws)
{
    for (size_t i = 0; i < WALK_READINGS; i++)
        forget(ws, &ws->readings[i]);
}
