/* What connections ask of their pool. Internal to imap/. */
#ifndef IMAP_POOL_INTERNAL_H
#define IMAP_POOL_INTERNAL_H

#include "imap/conn.h"

const struct pool_config *pool_config(const struct pool *p);

/* The descriptor that becomes readable when everything is to stop at once. */
int pool_stop_fd(const struct pool *p);

/* Takes the next operation that this connection should start now; NULL: none. */
struct op *pool_take(struct pool *p, struct conn *c);

/* Gives back what pool_take() gave: the operation ended with `err`; calls its done(). */
void pool_done(struct pool *p, struct conn *c, struct op *op, int err);

/* Gives back an operation whose connection was lost: repeated, settled or failed as its class
 * says. */
void pool_lost(struct pool *p, struct conn *c, struct op *op, int err);

/* What the thread of an unconnected connection should do. */
enum pool_advice {
    POOL_WAIT,    /* nothing to do: until woken */
    POOL_CONNECT, /* there is work that this connection should connect for */
    POOL_STOP,
};
enum pool_advice pool_advise(struct pool *p, struct conn *c);

/* For how long (ms; -1: for ever) such a thread may sleep unless it is woken. */
int pool_patience(struct pool *p, struct conn *c);

/* Until when connecting is worth while: what waits the longest must be answered by then. */
int64_t pool_connect_deadline(struct pool *p);

/* Publishes what became of connecting. `why` is borrowed. After a failure, what waits is failed if
 * no other connection can take it. */
void pool_connected(struct pool *p, struct conn *c, int err, const char *why);

/* Publishes that the connection ended with `err`. */
void pool_disconnected(struct pool *p, struct conn *c, int err);

/* Is the pool closing, with nothing left for this connection to do? */
bool pool_finished(struct pool *p, struct conn *c);

/* Publishes the selected mailbox (NULL: none). */
void pool_selected(struct pool *p, struct conn *c, const char *mailbox, bool write);

/* Was this connection asked to let go of its mailbox? Asks once. */
bool pool_should_release(struct pool *p, struct conn *c);

/* Asks all other connections to let go of `mailbox` and of what is below it. */
void pool_release(struct pool *p, struct conn *self, const char *mailbox, char delim);

/* Hand events up (struct pool_events). */
void pool_row(struct pool *p, const char *mailbox, uint32_t uidvalidity,
              const struct fetch_row *row);
void pool_changed(struct pool *p, const char *mailbox, uint32_t uidvalidity, unsigned what);
void pool_batch(struct pool *p);

#endif
