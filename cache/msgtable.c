#include "cache/msgtable.h"

#include <stdlib.h>

#include "imap/limits.h"

/* The index of the first slot whose UID is not below `uid`. */
static size_t lower_bound(const struct msgtable *t, uint32_t uid)
{
    size_t lo = 0, hi = t->n;
    if (t->n && t->v[t->n - 1].uid < uid)
        return t->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->v[mid].uid < uid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct msg *slot(const struct msgtable *t, uint32_t uid)
{
    size_t i = lower_bound(t, uid);
    return i < t->n && t->v[i].uid == uid ? &t->v[i] : NULL;
}

struct msg *msgtable_find(const struct msgtable *t, uint32_t uid)
{
    struct msg *m = slot(t, uid);
    return m && !(m->flags & MSG_GONE) ? m : NULL;
}

bool msgtable_knows(const struct msgtable *t, uint32_t uid)
{
    return slot(t, uid) != NULL;
}

struct msg *msgtable_add(struct msgtable *t, uint32_t uid)
{
    size_t i = lower_bound(t, uid);
    if (i < t->n && t->v[i].uid == uid)
        return t->v[i].flags & MSG_GONE ? NULL : &t->v[i];
    if (t->n >= LIMIT_MESSAGES)
        return NULL;
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap + t->cap / 2 : 64;
        struct msg *v = realloc(t->v, cap * sizeof *v);
        if (!v) {
            t->failed = true;
            return NULL;
        }
        t->v = v;
        t->cap = cap;
    }
    memmove(&t->v[i + 1], &t->v[i], (t->n - i) * sizeof *t->v);
    t->v[i] = (struct msg){.uid = uid};
    t->n++;
    t->live++;
    return &t->v[i];
}

void msgtable_remove(struct msgtable *t, struct msg *m)
{
    if (m->flags & MSG_GONE)
        return;
    m->flags |= MSG_GONE;
    t->garbage += m->label ? strlen(msgtable_label(t, m)) + 1 : 0;
    m->label = 0;
    t->live--;
}

void msgtable_revive(struct msgtable *t, struct msg *m)
{
    if (!(m->flags & MSG_GONE))
        return;
    *m = (struct msg){.uid = m->uid};
    t->live++;
}

struct msg *msgtable_after(const struct msgtable *t, uint32_t uid)
{
    if (uid == UINT32_MAX)
        return NULL;
    for (size_t i = lower_bound(t, uid + 1); i < t->n; i++)
        if (!(t->v[i].flags & MSG_GONE))
            return &t->v[i];
    return NULL;
}

const char *msgtable_label(const struct msgtable *t, const struct msg *m)
{
    return m->label ? t->labels.data + m->label : "";
}

void msgtable_set_label(struct msgtable *t, struct msg *m, const char *label, size_t len)
{
    if (!buf_try(&t->labels, len + 2)) {
        t->failed = true;
        return;
    }
    if (!t->labels.len)
        buf_addc(&t->labels, '\0');
    t->garbage += m->label ? strlen(msgtable_label(t, m)) + 1 : 0;
    m->label = 0;
    if (t->labels.len + len + 1 > UINT32_MAX)
        return;
    m->label = (uint32_t)t->labels.len;
    buf_add(&t->labels, label, len);
    buf_addc(&t->labels, '\0');
}

static void compact_labels(struct msgtable *t)
{
    struct buf old = t->labels;
    t->labels = (struct buf){0};
    if (!buf_try(&t->labels, old.len - t->garbage + 1)) {
        t->labels = old; /* later, then */
        return;
    }
    buf_addc(&t->labels, '\0');
    for (size_t i = 0; i < t->n; i++) {
        if (!t->v[i].label)
            continue;
        const char *s = old.data + t->v[i].label;
        t->v[i].label = (uint32_t)t->labels.len;
        buf_add(&t->labels, s, strlen(s) + 1);
    }
    t->garbage = 0;
    buf_free(&old);
}

void msgtable_compact(struct msgtable *t)
{
    if (t->n - t->live > 64 + t->n / 4) {
        size_t to = 0;
        for (size_t i = 0; i < t->n; i++)
            if (!(t->v[i].flags & MSG_GONE))
                t->v[to++] = t->v[i];
        t->n = to;
    }
    if (t->garbage > 4096 + t->labels.len / 2)
        compact_labels(t);
}

size_t msgtable_bytes(const struct msgtable *t)
{
    return t->cap * sizeof *t->v + t->labels.cap;
}

void msgtable_clear(struct msgtable *t)
{
    free(t->v);
    buf_free(&t->labels);
    *t = (struct msgtable){0};
}
