/* Memory for one response: handed out piece by piece, given back all at once. */
#ifndef IMAP_BASE_ARENA_H
#define IMAP_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes in use in the newest block */
    size_t total;               /* bytes handed out since the last reset */
};

/* Aligned for any type, zeroed; valid until arena_reset(). NULL when memory is gone. */
void *arena_alloc(struct arena *a, size_t size);

/* Forgets everything handed out; keeps one block for the next use. */
void arena_reset(struct arena *a);

void arena_free(struct arena *a);

#endif
