/* Lists of those who wait for an answer (struct waiter, account.h). Guarded by the account's lock,
 * but for wake_all(). */
#ifndef CACHE_WAITER_H
#define CACHE_WAITER_H

#include "cache/account.h"

/* Puts `w` (NULL allowed) on a list. */
void waiter_add(struct waiter **list, struct waiter *w);

/* Takes the whole list. */
struct waiter *waiters_take(struct waiter **list);

void waiters_move(struct waiter **to, struct waiter **from);

/* Wakes a list that was taken off; no lock may be held. */
void wake_all(struct waiter *list, int err);

#endif
