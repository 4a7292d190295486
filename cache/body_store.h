/* Bodies in memory: bytes of messages that came and those under way, kept while there is room.
 * Internal to the files of body.h. */
#ifndef CACHE_BODY_STORE_H
#define CACHE_BODY_STORE_H

#include "cache/body.h"
#include "cache/extent.h"

struct op_body;
struct waiter;

/* Bytes that came. */
struct chunk {
    struct chunk *prev, *next; /* by offset */
    uint64_t off;
    size_t len;
    struct blob *bytes;
};

/* Bytes under way. */
struct fetch {
    struct fetch *prev, *next;
    uint64_t off;
    size_t len;
    size_t got;
    bool whole;     /* the whole message is asked for, and not a window; `len` is no promise then */
    bool no_memory; /* for what came */
    struct waiter *waiters;

    struct op_body *op; /* of a stream, else NULL */
    uint64_t run;       /* of a stream: where its reader began to read straight on */
    uint64_t reader;    /* of a stream: how far its reader has come */
};

struct body {
    uint64_t number; /* generation and UID */
    struct chunk *chunks;
    struct fetch *fetches;
    struct fetch *stream; /* the one of them that is; NULL: none */
    bool left;            /* one ended early: there is no second */
    size_t window;
    uint64_t frontier; /* where the last fetch ends: a fetch from here reads straight on */
    uint64_t run;      /* where the first of those began that read straight on */
    bool forgotten;    /* dropped as soon as nothing is under way */
    bool apart;        /* a set did not bring it: it is asked for alone */
    bool no_data;      /* the server had nothing to say of it, and it is being found out why */
    bool only_whole;   /* what windows of it bring is not to be believed: it is asked for whole */
    bool began;        /* a window at its beginning was answered */
    size_t first;      /* bytes of the last window at its beginning that came full; 0: none did */
    struct extent extent; /* until its size is measured */
    uint64_t asked;       /* another number under which it was read, since it was moved; 0: none */
};

/* NULL when nothing is kept of that message (msg_number()). */
struct body *body_find(struct account *a, uint64_t number);

/* Finds or makes; becomes the one used last. */
struct body *body_use(struct account *a, uint64_t number);

/* Keeps bytes of it, and shares them. */
void body_keep(struct account *a, struct body *b, uint64_t off, struct blob *bytes);

/* How many of these bytes are here, up to the first that is not. */
size_t body_present(const struct body *b, uint64_t off, size_t len);

/* Adds what lies from `off` on without a gap, up to `len` bytes; returns how many. */
size_t body_copy(const struct body *b, uint64_t off, size_t len, struct slices *out);

void body_drop_chunks(struct account *a, struct body *b);

/* Drops what lies farther than that behind its reader. */
void body_drop_behind(struct account *a, struct body *b, uint64_t reader, size_t most);

/* A fetch of it is over. Makes room, but not of bytes that its readers have not got yet. */
void body_fetched(struct account *a, struct body *b);

/* Makes room. The least recently used go first; of `keep` (NULL: none), what lies behind the
 * reader. */
void bodies_evict(struct account *a, struct body *keep, uint64_t reader);

/* There was no memory for something large: what is only kept goes, before there is none for what is
 * small and cannot be done without. */
void bodies_drop_all(struct account *a);

#endif
