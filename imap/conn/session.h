/* From a socket to a session that is logged in. Internal to imap/. */
#ifndef IMAP_CONN_SESSION_H
#define IMAP_CONN_SESSION_H

#include "imap/base/buf.h"

struct conn;

/* From nothing to logged in. 0, or -errno with a sentence in `why`; c->stream is then closed. */
int session_open(struct conn *c, struct buf *why);

/* Forgets all that the server has said of itself and that is in force with it, and what it sent and
 * nobody has looked at: when a session begins or ends, and when TLS begins in its middle. */
void session_forget(struct conn *c);

#endif
