/* Keeping what is known of a folder's messages true to the server: one run of that, and how it is
 * begun and ended. */
#ifndef CACHE_SYNC_H
#define CACHE_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/holes.h"

struct account;
struct folder;
struct op;
struct waiter;

/* What a sync still has to do. */
enum sync_todo {
    SYNC_NEW = 1,    /* fetch metadata from sync.from up */
    SYNC_FLAGS = 2,  /* fetch flags */
    SYNC_UIDS = 4,   /* ask which UIDs there are */
    SYNC_HOLES = 8,  /* fetch metadata of UIDs that came without */
    SYNC_PROBE = 16, /* fetch metadata of one UID in a folder that is not loaded */
    SYNC_ROWS = 32,  /* ask in another way which UIDs there are */
    SYNC_BARE = 64,  /* fetch at least the flags of UIDs of which nothing more is to be had */
};

/* The first sync of a folder, which lists all of its messages. */
struct load {
    bool on;
    uint32_t uidnext; /* UIDNEXT as the server said when it began; 0: nothing */
    uint32_t seq;     /* the sequence number of facts.load_upto; 0: none yet */
    bool gap;         /* a number was left out, so nothing more is certain before the end */
};

/* The question which UIDs there are. */
struct census {
    bool on;
    uint32_t upto;      /* the last UID known when it was asked */
    struct uidset went; /* UIDs that are known to be gone since then */
    bool by_rows;       /* rows answer it */
    struct uidset rows; /* the UIDs of those */
};

/* One message of a folder that is not loaded. */
struct probe {
    bool on;
    uint32_t uid;
    bool seen; /* a row of that message came */
};

struct sync {
    bool on;
    bool patient; /* nobody has asked for it, so its look waits for a connection */
    struct op
        *look; /* the pool's, until it is done; NULL: it has not begun with one, or is past it */
    unsigned todo;     /* SYNC_... bits */
    unsigned restarts; /* how often it was begun anew, as the folder turned out to be another one */
    int64_t began;     /* clock_ms() */
    unsigned hints;    /* what watch.hints were; given back when it fails */
    uint32_t from;     /* UIDs from here on are new */
    uint32_t met_upto; /* the last UID of its rows of new messages */
    uint32_t exists;   /* messages there */
    uint64_t modseq;   /* facts.modseq once it succeeds */
    bool left_out;     /* a listing has left out what it may yet name */
    struct load load;
    struct census census;
    struct probe probe;
    struct holes holes;
    struct waiter *waiters;
    struct waiter *row_waiters; /* of listings that overtook the load */
    bool hungry;                /* in syncs.hungry */
    struct folder *next_hungry;
};

struct syncs {
    struct folder *hungry; /* folders with row_waiters */
};

/* The server had nothing to say of this message: finds out whether it is gone, and wakes the
 * waiters then. */
void folder_recheck(struct account *a, struct folder *f, uint32_t uid, struct waiter *waiters);

/* The generation that the running sync is about, if there is one, has ended, and so does the sync:
 * what is still to come of it counts for nothing, and who waits for it waits for another. */
void sync_outdated(struct account *a, struct folder *f);

/* Ends a sync whose step was refused, now that LIST has told whether the mailbox is there. Takes
 * the account's lock. */
void sync_refused(struct account *a, struct op *op);

void sync_on_batch(void *account);

/* A connection has found the mailbox of `op`, which ended with -ESTALE, under another UIDVALIDITY:
 * what is known of it is not shown any more before it was looked at. */
void folder_contradicted(struct account *a, const struct op *op);

/* Looks at what is new in the folder, without anyone waiting for it. */
void sync_due(struct account *a, struct folder *f);

#endif
