/* The messages of a folder in the order of their UIDs, dates or sizes, and stepping from one to its
 * neighbour. A reader takes them in one of these orders more often than not: ls sorts by name,
 * which begins with the date, or by what it is told to, and so do file managers. Not thread-safe.
 */
#ifndef CACHE_ORDER_H
#define CACHE_ORDER_H

#include "cache/msgtable.h"

enum order_kind { ORDER_UID, ORDER_DATE, ORDER_SIZE, ORDER_KINDS };

/* Where a message stands in an order; its neighbours are found from there, be it gone or not. */
struct place {
    uint64_t key; /* what it is sorted by; messages with the same key are sorted by UID */
    uint32_t uid;
};

/* Zero-initialised it is the order of UIDs, which needs no memory. */
struct order {
    enum order_kind kind;
    struct place *v; /* ascending; what has arrived since it was made is left out */
    size_t n;
};

/* Makes it that order of what is in the table now. False when there are too many messages to be
 * sorted while others wait, or no memory; the order of UIDs is always had. */
bool order_make(struct order *o, enum order_kind kind, const struct msgtable *t);

void order_free(struct order *o);

/* How many of the messages `uids` would be at most `stride` steps from the one before them in that
 * order; without making it, in one look at each message. `n` is at most ORDER_LOOK. */
enum { ORDER_LOOK = 8 };
size_t order_neighbours(enum order_kind kind, const struct msgtable *t, const uint32_t *uids,
                        size_t n, size_t stride);

struct place order_place(const struct order *o, const struct msg *m);

/* < 0, 0 or > 0, as the first stands before, at or behind the second. */
int order_compare(struct place a, struct place b);

/* The next message behind (dir > 0) or before (dir < 0) this place, which becomes its own; NULL at
 * the end, and the place stays. */
struct msg *order_step(const struct order *o, const struct msgtable *t, struct place *at, int dir);

#endif
