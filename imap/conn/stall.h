/* A command that is not answered, and what was sent behind it. Internal to imap/. */
#ifndef IMAP_CONN_STALL_H
#define IMAP_CONN_STALL_H

#include <stdint.h>

struct conn;

/* In front of a command; behind what came. */
void stall_begin(struct conn *c);
void stall_heard(struct conn *c);

/* When (clock_ms()) the silence has lasted so long that what waits behind the command in front is
 * passed on to other connections; INT64_MAX: not. */
int64_t stall_deadline(const struct conn *c);
void stall_pass_on(struct conn *c);

#endif
