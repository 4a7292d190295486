/* The account: one part for each file that keeps something, which that file alone changes. (What
 * prefetch.c asks for because somebody waits counts among the bodies under way.)
 *
 * account.lock guards all of it, every folder and every message; `config`, `hooks` and `pool` do
 * not change once the account is open. It is taken before any lock of the pool's, and never while a
 * waiter is woken. Hooks are called with it held (account_hooks), but for `label`. */
#ifndef CACHE_STATE_H
#define CACHE_STATE_H

#include <pthread.h>

#include "cache/account.h"
#include "cache/body.h"
#include "cache/change.h"
#include "cache/header.h"
#include "cache/listing.h"
#include "cache/moved.h"
#include "cache/prefetch.h"
#include "cache/sync.h"
#include "cache/tree.h"
#include "cache/watch.h"

struct account {
    const struct account_config *config;
    struct account_hooks hooks;
    struct pool *pool;
    pthread_mutex_t lock;

    struct tree tree;
    struct listings listings;
    struct syncs syncs;
    struct watch watch;
    struct bodies bodies;
    struct prefetch ahead;
    struct headers headers;
    struct changes changes;
    struct moves moves;
};

void account_lock(struct account *a);
void account_unlock(struct account *a);

/* Makes it an operation for this account: `done` finds the account in op->ctx. */
struct op *account_op(struct account *a, struct op *op, void (*done)(struct op *));

#endif
