/* LIST: when it is asked, and what its answer makes of the tree. */
#ifndef CACHE_LISTING_H
#define CACHE_LISTING_H

#include <stdbool.h>
#include <stdint.h>

struct account;
struct op;
struct waiter;

struct listings {
    bool on;          /* a LIST is under way */
    unsigned renames; /* RENAMEs under way */
    bool due;         /* a LIST waits for their end */
    uint64_t changes; /* counts our own changes, so that a LIST from before them is not used */
    int64_t used_at;  /* when the last LIST that was used began (clock_ms()); 0: none counts */
    struct waiter *waiters;
    struct op *refused; /* steps of syncs that were refused, until LIST has told; by `next` */
};

/* Begins a LIST unless one newer than `since` was used. False: one is under way already, which may
 * be from before what is to be seen. */
bool listing_refresh(struct account *a, int64_t since);

/* What is known of the tree counts as out of date. */
void listing_expire(struct account *a);

/* This mount has changed the tree: a LIST from before that is not used. */
void listing_changed(struct account *a);

/* Keeps a step of a sync that was refused until a LIST that is asked for after now has told what
 * there is, and hands it to sync_refused() then. */
void listing_judge(struct account *a, struct op *op);

/* Takes all who wait for a LIST. */
struct waiter *listing_take_waiters(struct account *a);

/* Around a RENAME of this mount's. */
void listing_rename_begin(struct account *a);
void listing_rename_end(struct account *a);

#endif
