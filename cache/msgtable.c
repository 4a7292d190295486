#include "cache/msgtable.h"

#include <stdlib.h>

#include "imap/base/limits.h"
#include "imap/base/mem.h"

enum { BLOCK_MIN = 8, BLOCK_MAX = 512 }; /* messages that a block has room for */

/* The block where the UID is, if it is anywhere: the last one that does not begin behind it. There
 * must be blocks. */
static size_t find_block(const struct msgtable *t, uint32_t uid)
{
    size_t lo = 0, hi = t->nblocks;
    if (t->blocks[hi - 1].first <= uid)
        return hi - 1;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->blocks[mid].first <= uid)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* The index of the first message of a block whose UID is not below `uid`. */
static uint16_t lower_bound(const struct msgblock *b, uint32_t uid)
{
    uint16_t lo = 0, hi = b->n;
    if (b->v[hi - 1].uid < uid)
        return hi;
    while (lo < hi) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);
        if (b->v[mid].uid < uid)
            lo = (uint16_t)(mid + 1);
        else
            hi = mid;
    }
    return lo;
}

static struct msg *slot(const struct msgtable *t, uint32_t uid)
{
    if (!t->nblocks)
        return NULL;
    const struct msgblock *b = &t->blocks[find_block(t, uid)];
    uint16_t i = lower_bound(b, uid);
    return i < b->n && b->v[i].uid == uid ? &b->v[i] : NULL;
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

/* Room for `cap` messages in a block. */
static bool block_grow(struct msgtable *t, struct msgblock *b, uint16_t cap)
{
    struct msg *v = mem_try(b->v, cap * sizeof *v);
    if (!v)
        return false;
    t->room += (size_t)cap - b->cap;
    b->v = v;
    b->cap = cap;
    return true;
}

/* Puts a block that has room for `cap` messages, and none yet, at `at`; NULL without memory. */
static struct msgblock *block_insert(struct msgtable *t, size_t at, uint16_t cap)
{
    struct msgblock b = {0};
    if (!t->blocks || t->nblocks == t->blocks_cap) {
        size_t more = t->blocks_cap ? t->blocks_cap + t->blocks_cap / 2 : 1;
        more = more > t->blocks_cap ? more : t->blocks_cap + 1;
        struct msgblock *blocks = mem_try(t->blocks, more * sizeof *blocks);
        if (!blocks)
            return NULL;
        t->blocks = blocks;
        t->blocks_cap = more;
    }
    if (!block_grow(t, &b, cap))
        return NULL;
    memmove(&t->blocks[at + 1], &t->blocks[at], (t->nblocks - at) * sizeof *t->blocks);
    t->blocks[at] = b;
    t->nblocks++;
    return &t->blocks[at];
}

/* Makes room for one message at *i of block `at`, which is full: returns the block that has it, *i
 * then being its place there; NULL without memory. At an edge of the block another one is begun, so
 * that messages that come in order, whichever it is, fill their blocks. */
static struct msgblock *make_room(struct msgtable *t, size_t at, uint16_t *i)
{
    struct msgblock *b = &t->blocks[at];
    if (b->cap < BLOCK_MAX)
        return block_grow(t, b, (uint16_t)(b->cap * 2)) ? b : NULL;
    if (*i == 0)
        return block_insert(t, at, BLOCK_MAX);
    if (*i == b->n) {
        *i = 0;
        return block_insert(t, at + 1, BLOCK_MAX);
    }
    struct msgblock *right = block_insert(t, at + 1, BLOCK_MAX);
    if (!right)
        return NULL;
    b = &t->blocks[at];
    uint16_t half = b->n / 2;
    right->n = (uint16_t)(b->n - half);
    memcpy(right->v, &b->v[half], right->n * sizeof *b->v);
    right->first = right->v[0].uid;
    b->n = half;
    if (*i <= half)
        return b;
    *i = (uint16_t)(*i - half);
    return right;
}

struct msg *msgtable_add(struct msgtable *t, uint32_t uid)
{
    size_t at = t->nblocks ? find_block(t, uid) : 0;
    struct msgblock *b = t->nblocks ? &t->blocks[at] : NULL;
    uint16_t i = b ? lower_bound(b, uid) : 0;
    if (b && i < b->n && b->v[i].uid == uid)
        return b->v[i].flags & MSG_GONE ? NULL : &b->v[i];
    if (t->n >= LIMIT_MESSAGES)
        return NULL;
    if (!b)
        b = block_insert(t, 0, BLOCK_MIN);
    else if (b->n == b->cap)
        b = make_room(t, at, &i);
    if (!b) {
        t->failed = true;
        return NULL;
    }
    memmove(&b->v[i + 1], &b->v[i], (size_t)(b->n - i) * sizeof *b->v);
    b->v[i] = (struct msg){.uid = uid};
    b->first = b->v[0].uid;
    b->n++;
    t->n++;
    t->live++;
    return &b->v[i];
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

struct msg *msgtable_walk(const struct msgtable *t, struct msgplace *at)
{
    if (at->block < t->nblocks && at->i == t->blocks[at->block].n)
        *at = (struct msgplace){.block = at->block + 1};
    return at->block < t->nblocks ? &t->blocks[at->block].v[at->i++] : NULL;
}

uint32_t msgtable_last(const struct msgtable *t)
{
    const struct msgblock *b = t->nblocks ? &t->blocks[t->nblocks - 1] : NULL;
    return b ? b->v[b->n - 1].uid : 0;
}

struct msg *msgtable_after(const struct msgtable *t, uint32_t uid)
{
    if (uid == UINT32_MAX || !t->nblocks)
        return NULL;
    struct msgplace at = {.block = find_block(t, uid + 1)};
    at.i = lower_bound(&t->blocks[at.block], uid + 1);
    struct msg *m = msgtable_walk(t, &at);
    while (m && m->flags & MSG_GONE)
        m = msgtable_walk(t, &at);
    return m;
}

struct msg *msgtable_before(const struct msgtable *t, uint32_t uid)
{
    size_t block = t->nblocks ? find_block(t, uid) : 0;
    size_t i = t->nblocks ? lower_bound(&t->blocks[block], uid) : 0;
    for (;;) {
        while (i > 0) {
            struct msg *m = &t->blocks[block].v[--i];
            if (!(m->flags & MSG_GONE))
                return m;
        }
        if (block == 0)
            return NULL;
        i = t->blocks[--block].n;
    }
}

const char *msgtable_label(const struct msgtable *t, const struct msg *m)
{
    return m->label ? t->labels.data + m->label : "";
}

bool msgtable_label_room(struct msgtable *t, size_t len)
{
    bool room = buf_try(&t->labels, len + 2);
    t->failed |= !room;
    return room;
}

void msgtable_set_label(struct msgtable *t, struct msg *m, const char *label, size_t len)
{
    if (!msgtable_label_room(t, len))
        return;
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
    struct msgplace at = {0};
    for (struct msg *m; (m = msgtable_walk(t, &at)) != NULL;) {
        if (!m->label)
            continue;
        const char *s = old.data + m->label;
        m->label = (uint32_t)t->labels.len;
        buf_add(&t->labels, s, strlen(s) + 1);
    }
    t->garbage = 0;
    buf_free(&old);
}

/* Moves what is not gone to the front, block by block. */
static void compact_blocks(struct msgtable *t)
{
    size_t to = 0;
    uint16_t n = 0; /* of block `to`: already there */
    for (size_t from = 0; from < t->nblocks; from++) {
        const uint16_t end = t->blocks[from].n;
        for (uint16_t i = 0; i < end; i++) {
            const struct msg *m = &t->blocks[from].v[i];
            if (m->flags & MSG_GONE)
                continue;
            if (n == t->blocks[to].cap) {
                t->blocks[to++].n = n;
                n = 0;
            }
            t->blocks[to].v[n++] = *m;
        }
    }
    if (n)
        t->blocks[to++].n = n;
    for (size_t i = 0; i < to; i++)
        t->blocks[i].first = t->blocks[i].v[0].uid;
    for (size_t i = to; i < t->nblocks; i++) {
        t->room -= t->blocks[i].cap;
        free(t->blocks[i].v);
    }
    t->nblocks = to;
    t->n = t->live;
}

void msgtable_compact(struct msgtable *t)
{
    if (t->n - t->live > 64 + t->n / 4 || t->room > BLOCK_MAX + t->n + t->n / 4)
        compact_blocks(t);
    if (t->garbage > 4096 + t->labels.len / 2)
        compact_labels(t);
}

size_t msgtable_bytes(const struct msgtable *t)
{
    return t->room * sizeof(struct msg) + t->blocks_cap * sizeof *t->blocks + t->labels.cap;
}

void msgtable_clear(struct msgtable *t)
{
    for (size_t i = 0; i < t->nblocks; i++)
        free(t->blocks[i].v);
    free(t->blocks);
    buf_free(&t->labels);
    *t = (struct msgtable){0};
}
