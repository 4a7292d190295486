/* One folder, in parts: its place in the tree, what is known of it (facts.h), how old that is, what
 * was told of it upward, when to look at it (watch.h), and the sync that is under way. Everything
 * in it is guarded by the account's lock. */
#ifndef CACHE_FOLDER_H
#define CACHE_FOLDER_H

#include <time.h>

#include "cache/facts.h"
#include "cache/fresh.h"
#include "cache/watch.h"

struct sync;

/* What appears in the folder and what vanishes, folders too, and who has heard of it. */
struct news {
    uint64_t version; /* counts all that */
    uint64_t shown;   /* `version` as of the last account_unchanged() */
    uint64_t told;    /* `version` as of the last folder_tell() */
    time_t told_when; /* when folder_tell() last told something */
    bool met;         /* what is in it was known once: only from then on what is new is a change */
};

struct folder {
    uint32_t id;
    uint32_t gen; /* of its messages under the current UIDVALIDITY */
    struct folder *parent, *children, *prev, *next;
    bool named;     /* in the LIST being applied */
    bool has_named; /* it, or something below it, is named there */
    bool missing;   /* it was not named in the LIST before */

    struct folder_facts facts;
    struct freshness fresh;
    struct news news;
    struct watch_entry watch;
    struct sync *sync; /* NULL: none runs */

    unsigned arrivals; /* moves into this folder under way */
    bool removing;     /* it is being deleted */
};

#endif
