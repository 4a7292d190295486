/* Keeping what is known of a folder's messages true to the server: one run of that, from its look
 * to its last step.
 *
 * A sync is made for each run and is about one generation of its folder. Its steps know it by its
 * number: when the folder turns out to be another one, the sync is over, and what its steps still
 * bring finds it gone. Files: sync.c begins and ends it, sync_plan.c looks and finds out what is to
 * be asked, sync_steps.c asks that. */
#ifndef CACHE_SYNC_H
#define CACHE_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/holes.h"

struct account;
struct fetch_row;
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

/* Listing all messages of a folder for the first time. */
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

struct sync {
    uint64_t number; /* the cookie of its steps; never used twice */
    struct folder *folder;
    uint32_t gen; /* the generation of the folder that it is about */
    struct sync *prev, *next;

    unsigned todo;     /* SYNC_... bits */
    int64_t began;     /* clock_ms() */
    unsigned restarts; /* how often it was begun anew, as the folder turned out to be another one */
    unsigned hints;    /* what watch.hints were; given back when it fails */
    struct op *look; /* the pool's, until it is done; NULL: it has not begun with one, or is past */
    bool patient;    /* nobody has asked for it, so its look waits for a connection */

    uint32_t exists;   /* messages there */
    uint64_t modseq;   /* facts.modseq once it succeeds */
    uint32_t from;     /* UIDs from here on are new */
    uint32_t met_upto; /* the last UID of its rows of new messages */
    uint32_t probe;    /* the one message that it is about, of a folder not loaded; 0: all */
    bool probe_seen;   /* a row of that message came */
    bool left_out;     /* a listing has left out what it may yet name */
    struct load load;
    struct census census;
    struct holes holes;

    struct waiter *waiters;
    struct waiter *row_waiters; /* of listings that overtook the load */
    struct sync *next_hungry;   /* in syncs.hungry while there are row_waiters */
};

struct syncs {
    struct sync *running; /* by `prev` and `next` */
    struct sync *hungry;
    struct waiter *orphans; /* waited for a folder that is gone */
    uint64_t last_number;
};

/* ---- for those who need a folder looked at ---- */

/* The sync that runs, or one that is begun now: for somebody who waits, about that message alone if
 * it is not 0. */
struct sync *sync_join(struct account *a, struct folder *f, uint32_t probe);

/* Has `w` (NULL allowed) woken as soon as there may be more to list. */
void sync_await_rows(struct account *a, struct sync *s, struct waiter *w);

/* Looks at what is new in the folder, in which no sync runs, without anyone waiting for it. */
void sync_due(struct account *a, struct folder *f);

/* The server had nothing to say of this message: finds out whether it is gone, and wakes the
 * waiters then. */
void sync_recheck(struct account *a, struct folder *f, uint32_t uid, struct waiter *waiters);

/* A connection has found the mailbox of `op`, which ended with -ESTALE, under another UIDVALIDITY:
 * what is known of it is not shown any more before it was looked at. */
void sync_contradicted(struct account *a, const struct op *op);

/* ---- for those who change or remove a folder ---- */

/* The generation that the running sync is about, if there is one, has ended, and so does the sync:
 * what is still to come of it counts for nothing, and who waits for it waits for another. */
void sync_outdated(struct account *a, struct folder *f);

/* The folder has turned out to be another one: forgets its messages, and its sync is over. */
void sync_reset(struct account *a, struct folder *f);

/* The folder goes: those who wait for it ask again, and are told so. */
void sync_abandon(struct account *a, struct folder *f);

/* Ends a sync whose step was refused, now that LIST has told whether the mailbox is there. Takes
 * the account's lock. */
void sync_refused(struct account *a, struct op *op);

/* Takes those who waited for the sync of a folder that is gone, or cannot be looked at: they are to
 * ask again. */
struct waiter *sync_take_orphans(struct account *a);

/* Takes all who wait for any sync. */
struct waiter *sync_take_waiters(struct account *a);

/* ---- for what comes from the server; `s` may be NULL ---- */

/* A row came; `meta`: one that describes the message. True when rows are what tells which UIDs
 * there are. */
bool sync_row(struct sync *s, uint32_t uid, bool meta);

/* The message of a row that describes it is in the table now. A listing may follow the load up to
 * it as long as the rows come one by one. */
void sync_loaded(struct sync *s, const struct fetch_row *row);

/* Adds lo..hi to a set of the sync's own. When there is no memory, the sync ends with that as soon
 * as its step does. */
void sync_collect(struct sync *s, struct uidset *set, uint32_t lo, uint32_t hi);

/* The messages lo..hi are gone. */
void sync_went(struct sync *s, uint32_t lo, uint32_t hi);

void sync_on_batch(void *account);

/* ---- among the files of a sync ---- */

/* Looks (sync_plan.c), and does what is to do next (sync_steps.c). */
void sync_look(struct account *a, struct sync *s);
void sync_step(struct account *a, struct sync *s);

/* The sync that a step belongs to; NULL when that is over. */
struct sync *sync_of_step(struct account *a, const struct op *op);

/* Every step of a sync ends here, also of one that is over (NULL); with the account's lock held,
 * which is released. */
void sync_step_done(struct account *a, struct op *op, struct sync *s);

#endif
