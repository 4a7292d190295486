/* Sending what was written to wire.out and the literal in it. Internal to imap/. */
#ifndef IMAP_CONN_SEND_H
#define IMAP_CONN_SEND_H

#include <stdbool.h>

struct conn;

/* Is there anything that was not sent yet? */
bool send_pending(const struct conn *c);

/* Sends as much as the socket takes. 0, or -errno: the connection is lost. */
int send_flush(struct conn *c);

/* A command that is slow to leave is no silence of the server's: notes whether the kernel has sent
 * some of what it took. */
void send_note(struct conn *c);

/* The literal is sent, or the connection is lost. */
void send_drop_literal(struct conn *c);

#endif
