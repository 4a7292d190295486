#include "imap/wire/uidmap.h"

#include <stdlib.h>

#include "imap/base/mem.h"

static struct uidpair *find(const struct uidmap *m, uint32_t from)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->pairs[i].from == from)
            return &m->pairs[i];
    return NULL;
}

uint32_t uidmap_get(const struct uidmap *m, uint32_t from)
{
    const struct uidpair *pair = find(m, from);
    return pair ? pair->to : 0;
}

void uidmap_put(struct uidmap *m, uint32_t from, uint32_t to)
{
    struct uidpair *pair = find(m, from);
    if (!pair) {
        if (m->n == m->cap) {
            m->cap = m->cap ? 2 * m->cap : 1;
            m->pairs = mem_realloc(m->pairs, m->cap * sizeof *m->pairs);
        }
        pair = &m->pairs[m->n++];
    }
    *pair = (struct uidpair){from, to};
}

void uidmap_cut(struct uidmap *m, const struct uidset *uids)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        if (!uidset_has(uids, m->pairs[i].from))
            m->pairs[n++] = m->pairs[i];
    m->n = n;
}

bool uidmap_read(struct uidmap *m, const struct uidset *wanted, struct str from, struct str to)
{
    bool any = false;
    for (size_t i = 0; i < wanted->n; i++)
        for (uint64_t uid = wanted->r[i].lo; uid <= wanted->r[i].hi; uid++) {
            uint32_t there;
            if (uidset_map(from.p, from.n, to.p, to.n, (uint32_t)uid, &there) != 0)
                continue;
            uidmap_put(m, (uint32_t)uid, there);
            any = true;
        }
    return any;
}

void uidmap_free(struct uidmap *m)
{
    free(m->pairs);
    *m = (struct uidmap){0};
}
