/* Who reads a folder's messages, in which order, and where they will be next. Decides only: what is
 * asked for is prefetch.c's. Guarded by the account's lock.
 *
 * A reading is what is remembered of one folder's readers together: which messages were read (the
 * map), and up to WALK_HEADS stretches of neighbours. A stretch grows at either edge, whoever
 * reads, since threads that share a list pass each other: so in which direction it goes is told by
 * the edge that grew last and most, not by two reads in a row. Behind that edge messages are asked
 * for ahead.
 *
 * - A stretch is known as a walk by its second message. The more it has walked, the more of its
 *   neighbours are left out without an end, and the more is asked for: see prefetch.c.
 * - Neighbours are those in the order of UIDs. When read after read begins a stretch of its own,
 *   but most of them are neighbours by date or by size, the reading goes on in that order.
 * - Who takes messages in an order that nobody can guess is known by what he has covered: from
 *   SCATTER_LEAST messages and a part of SCATTER_PART of the folder on, whatever is left is asked
 *   for. Who reads a few messages here and there gets nothing ahead.
 * - What the kernel keeps is read without a word to us. So of each batch one message is kept back,
 *   and when that is read, the stretch is seen to have come so far. What was asked for of the rest
 *   of a folder is not given to the kernel, so that all of its reads are seen. */
#ifndef CACHE_WALK_H
#define CACHE_WALK_H

#include "cache/order.h"
#include "imap/wire/uidset.h"

enum { WALK_READINGS = 8, WALK_HEADS = 8, WALK_RECENT = 16, WALK_LARGE = 4 };

enum { WALK_DOWN, WALK_UP, WALK_SIDES };

/* Where a stretch ends. */
struct walk_edge {
    struct place at;      /* the last message that was read */
    struct place ahead;   /* the last one that was asked for */
    uint64_t ahead_bytes; /* of the messages from there to here */
    unsigned score;       /* how well it has grown; 0: it has not */
};

struct walk_head {
    uint64_t used;   /* when, by walks.clock; 0: never */
    unsigned n;      /* messages by which it has grown */
    uint64_t walked; /* bytes of the messages that its readers have passed */
    struct walk_edge edge[WALK_SIDES];
};

struct walk_reading {
    uint32_t gen;  /* of the folder; 0: none */
    uint64_t used; /* when it was used last, by walks.clock */
    int64_t at;    /* the same by clock_ms() */

    struct uidset map; /* messages read since the last pause */
    size_t n;          /* the number of those */
    uint64_t bytes;    /* the bytes of those */

    struct walk_head heads[WALK_HEADS];
    struct order order;
    uint32_t recent[WALK_RECENT]; /* the last ones read, a ring */
    size_t nrecent;
    unsigned strange;      /* reads in a row that continued no stretch */
    unsigned strange_next; /* with so many strange ones other orders are tried */

    uint32_t sweep;       /* up to here whatever is left was asked for */
    struct uidset asked;  /* what was asked for ahead, and is not known to be read */
    uint64_t asked_bytes; /* the bytes of that */

    struct {
        uint32_t uid;
        bool read_on;
    } large[WALK_LARGE]; /* the last large messages, a ring */
    size_t nlarge;
    unsigned deepness; /* > 0: those were read beyond their first window */
    bool evicted;      /* messages were read that the kernel had forgotten */
};

struct walks {
    struct walk_reading readings[WALK_READINGS];
    uint64_t clock;
    int64_t ended;     /* when a walk last came to the end of its folder (clock_ms()); 0: never */
    int ended_side;    /* the side of the folder at which that end was */
    uint64_t n_unread; /* bytes asked for ahead of walks that are forgotten */
};

/* Where to ask for more. */
struct walk_lead {
    struct walk_reading *r; /* NULL: nowhere */
    struct walk_head *head; /* NULL: whatever is left of the folder */
    int side;
};

/* The first bytes of `m` are read, at `now` (clock_ms()). `whole`: all messages of the folder are
 * known. The lead is valid until the next call. */
struct walk_lead walk_read(struct walks *ws, uint32_t gen, const struct msgtable *t,
                           const struct msg *m, bool whole, int64_t now);

/* A large message is read beyond its first window. */
void walk_read_on(struct walks *ws, uint32_t gen, uint32_t uid);

/* Are large messages read to the end? Then so many bytes of each are worth being fetched. */
size_t walk_window(const struct walk_reading *r);

/* What of a message would be fetched ahead. */
size_t walk_share(const struct walk_reading *r, const struct msg *m);

/* The next message that might be asked for ahead, and its place, or NULL. The lead stays before it
 * until it is passed, asked for or not. */
struct msg *walk_next(const struct walk_lead *lead, const struct msgtable *t, struct place *at);
void walk_pass(const struct walk_lead *lead, struct place at, const struct msg *m, bool asked);

/* Bytes asked for ahead of this lead that were not read yet; bytes read that speak for it. */
uint64_t walk_ahead(const struct walk_lead *lead);
uint64_t walk_evidence(const struct walk_lead *lead);

/* Bytes asked for and not read, as far as can be seen. */
uint64_t walk_unread(const struct walks *ws);

void walks_free(struct walks *ws);

#endif
