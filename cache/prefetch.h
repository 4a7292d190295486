/* Bodies asked for before they are read. */
#ifndef CACHE_PREFETCH_H
#define CACHE_PREFETCH_H

#include "cache/walk.h"

struct account;
struct batch;
struct folder;
struct waiter;

struct prefetch {
    struct walks walks;
    struct batch *batches; /* under way */
    size_t inflight;       /* bytes asked for ahead, until they are here and stored */
    uint64_t n_bytes;      /* bytes that came ahead of their reader */
};

/* Someone reads `len` bytes at `off` of the message. Returns where that shows a walk to go on:
 * prefetch_more() then asks for what lies there. */
struct walk_lead prefetch_read(struct account *a, const struct folder *f, struct msg *m,
                               uint64_t off, size_t len);
void prefetch_more(struct account *a, const struct folder *f, const struct walk_lead *lead);

/* If byte `off` of the message is about to come in a batch, has `w` woken then: true. */
bool prefetch_await(struct account *a, const struct folder *f, const struct msg *m, uint64_t off,
                    struct waiter *w);

/* If others are being waited for, asks for the whole of a small message together with those of them
 * that no connection has begun with yet, and has `w` woken when it is here, or is to be asked for
 * alone: true. */
bool prefetch_join(struct account *a, const struct folder *f, const struct msg *m,
                   struct waiter *w);

void prefetch_free(struct account *a);

#endif
