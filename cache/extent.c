#include "cache/extent.h"

#include "imap/base/limits.h"

/* To LIMIT_MESSAGE and back by halves takes a third of this. */
enum { MOST_PROBES = 100 };

void extent_learn(struct extent *e, uint64_t off, size_t got, size_t len, bool last)
{
    uint64_t end = off + got;
    if (got && e->bounded && end > e->bound)
        e->bounded = false; /* there is something after all */
    if (got && end > e->seen) {
        e->seen = end;
        e->tapers = got < len;
    }
    if ((last || !got) && (!e->bounded || end < e->bound)) {
        e->bounded = true;
        e->bound = end;
    }
}

bool extent_known(const struct extent *e)
{
    return e->bounded && e->bound <= e->seen;
}

bool extent_probe(const struct extent *e, uint64_t *off)
{
    if (!e->bounded)
        *off = e->seen + (e->tapers ? 0 : e->leap);
    else if (e->tapers || e->bound - e->seen <= EXTENT_STEP)
        *off = e->seen;
    else
        *off = e->seen + (e->bound - e->seen) / 2;
    if (*off >= LIMIT_MESSAGE)
        *off = LIMIT_MESSAGE - 1;
    return e->probes < MOST_PROBES && e->seen < LIMIT_MESSAGE;
}

void extent_asked(struct extent *e)
{
    e->probes++;
    if (!e->bounded)
        e->leap = e->leap ? 2 * e->leap : EXTENT_STEP;
}
