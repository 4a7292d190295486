/* A command that is not answered, and what was sent behind it. Internal to imap/. */
#ifndef IMAP_CONN_STALL_H
#define IMAP_CONN_STALL_H

#include <stdatomic.h>
#include <stdint.h>

struct conn;

struct stall {
    /* clock_ms(): since when the server has been silent though something is awaited; 0: nothing is.
     * Written by the connection's own thread, read by any. */
    atomic_llong silent_since;
    int64_t passed_on; /* the silent_since upon which stall_pass_on() has acted */
};

/* In front of a command; behind what came. */
void stall_begin(struct conn *c);
void stall_heard(struct conn *c);

/* When (clock_ms()) the silence has lasted so long that what waits behind the command in front is
 * passed on to other connections; INT64_MAX: not. */
int64_t stall_deadline(const struct conn *c);
void stall_pass_on(struct conn *c);

#endif
