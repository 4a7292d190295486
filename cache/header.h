/* Header fields of messages, as the rest of the cache has to do with them. */
#ifndef CACHE_HEADER_H
#define CACHE_HEADER_H

#include <stddef.h>
#include <stdint.h>

struct account;
struct folder;
struct header;
struct msg;

/* Questions for header fields, message after message in one folder. */
struct header_walk {
    uint32_t gen;   /* of the folder; 0: none */
    uint32_t last;  /* the message asked about last */
    unsigned asked; /* messages so far */
    int64_t at;     /* when the last one was asked about (clock_ms()) */
};

struct headers {
    struct header *all; /* a hash table, in the order in which they were asked for */
    size_t bytes;       /* of those that are here */
    struct header_walk walk;
};

void header_forget(struct account *a, uint32_t gen, uint32_t uid);
void headers_free(struct account *a);

/* The message's first bytes, which are here, are about to be given up: keeps its fields if such
 * have been asked for lately. */
void header_keep(struct account *a, const struct folder *f, const struct msg *m);

#endif
