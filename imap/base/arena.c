#include "imap/base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "imap/base/mem.h"

enum { BLOCK_SIZE = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    alignas(max_align_t) unsigned char data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
    size_t need = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!a->blocks || a->blocks->size - a->used < need) {
        size_t room = need > BLOCK_SIZE ? need : BLOCK_SIZE;
        struct arena_block *b = mem_try(NULL, sizeof *b + room);
        if (!b)
            return NULL;
        b->next = a->blocks;
        b->size = room;
        a->blocks = b;
        a->used = 0;
    }
    void *p = a->blocks->data + a->used;
    a->used += need;
    a->total += need;
    return memset(p, 0, size);
}

void arena_reset(struct arena *a)
{
    while (a->blocks && (a->blocks->next || a->blocks->size > BLOCK_SIZE)) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->used = 0;
    a->total = 0;
}

void arena_free(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    *a = (struct arena){0};
}
