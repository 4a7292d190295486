/* A server that asks for a pause: what it is asked by an account's connections,
 * all of them, waits. Under the pool's lock; times are clock_ms(). Internal to imap/. */
#ifndef IMAP_POOL_THROTTLE_H
#define IMAP_POOL_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/base/buf.h"
#include "imap/base/str.h"

struct throttle {
    int64_t until; /* nothing is asked before; 0: the server is willing */
    int64_t pause; /* ms: the last one that was ours to choose; 0: the server chose it */
    char why[200]; /* the server's words */
};

/* The server said `why`, and asks for `wait` ms, of which it gets LIMIT_THROTTLE_LONGEST; 0: it
 * does not say how long, and pauses grow as long as it says so. Returns whether that is new, and
 * ought to be told once. */
bool throttle_note(struct throttle *t, int64_t now, int64_t wait, struct str why);

/* The server did what it was asked. */
void throttle_over(struct throttle *t, int64_t now);

/* How long to wait still, in ms. What asks now waits, unless that is longer than anyone should:
 * then it is refused at once. */
int64_t throttle_left(const struct throttle *t, int64_t now);
bool throttle_waits(const struct throttle *t, int64_t now);
bool throttle_refuses(const struct throttle *t, int64_t now);

/* Appends ", but asks to wait for 12 s: WORDS", if it does. */
void throttle_status(const struct throttle *t, int64_t now, struct buf *out);

#endif
