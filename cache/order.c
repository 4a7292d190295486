#include "cache/order.h"

#include <stdlib.h>

#include "imap/base/mem.h"

enum { MOST = 250000 }; /* messages that are sorted, which takes some 30 ms */

int order_compare(struct place a, struct place b)
{
    if (a.key != b.key)
        return a.key < b.key ? -1 : 1;
    return a.uid < b.uid ? -1 : a.uid > b.uid;
}

static int compare(const void *a, const void *b)
{
    return order_compare(*(const struct place *)a, *(const struct place *)b);
}

static uint64_t key_of(enum order_kind kind, const struct msg *m)
{
    switch (kind) {
    case ORDER_DATE:
        return (uint64_t)m->date ^ (uint64_t)1 << 63; /* dates before 1970 come first */
    case ORDER_SIZE:
        return m->size;
    default:
        return 0;
    }
}

bool order_make(struct order *o, enum order_kind kind, const struct msgtable *t)
{
    struct order made = {.kind = kind};
    if (kind != ORDER_UID) {
        if (!t->live || t->live > MOST)
            return false;
        made.v = mem_try(NULL, t->live * sizeof *made.v);
        if (!made.v)
            return false;
        struct msgplace at = {0};
        const struct msg *m;
        while ((m = msgtable_walk(t, &at)) != NULL)
            if (!(m->flags & MSG_GONE))
                made.v[made.n++] = (struct place){key_of(kind, m), m->uid};
        qsort(made.v, made.n, sizeof *made.v, compare);
    }
    order_free(o);
    *o = made;
    return true;
}

size_t order_neighbours(enum order_kind kind, const struct msgtable *t, const uint32_t *uids,
                        size_t n, size_t stride)
{
    struct place at[ORDER_LOOK];
    size_t passed[ORDER_LOOK] = {0}, found = 0;
    if (t->live > MOST && kind != ORDER_UID)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const struct msg *m = msgtable_find(t, uids[i]);
        if (!m)
            return 0;
        at[i] = (struct place){key_of(kind, m), m->uid};
    }
    struct msgplace place = {0};
    const struct msg *m;
    while ((m = msgtable_walk(t, &place)) != NULL) {
        struct place p = {key_of(kind, m), m->uid};
        for (size_t i = 1; i < n && !(m->flags & MSG_GONE); i++)
            passed[i] += order_compare(p, at[i - 1]) * order_compare(p, at[i]) < 0;
    }
    for (size_t i = 1; i < n; i++)
        found += passed[i] < stride && order_compare(at[i - 1], at[i]) != 0;
    return found;
}

void order_free(struct order *o)
{
    free(o->v);
    *o = (struct order){0};
}

struct place order_place(const struct order *o, const struct msg *m)
{
    return (struct place){key_of(o->kind, m), m->uid};
}

/* The index of the first place that is not before `at`. */
static size_t lower_bound(const struct order *o, struct place at)
{
    size_t lo = 0, hi = o->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (order_compare(o->v[mid], at) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct msg *step_sorted(const struct order *o, const struct msgtable *t, struct place *at,
                               int dir)
{
    size_t i = lower_bound(o, *at);
    if (dir > 0 && i < o->n && order_compare(o->v[i], *at) == 0)
        i++;
    for (; dir > 0 ? i < o->n : i > 0; i += dir > 0 ? 1 : -1) {
        struct place next = o->v[dir > 0 ? i : i - 1];
        struct msg *m = msgtable_find(t, next.uid);
        if (m) {
            *at = next;
            return m;
        }
    }
    return NULL;
}

struct msg *order_step(const struct order *o, const struct msgtable *t, struct place *at, int dir)
{
    if (o->kind != ORDER_UID)
        return step_sorted(o, t, at, dir);
    struct msg *m = dir > 0 ? msgtable_after(t, at->uid) : msgtable_before(t, at->uid);
    if (m)
        at->uid = m->uid;
    return m;
}
