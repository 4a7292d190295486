/* One connection: its thread, its socket, its parser, its selected mailbox. Internal to imap/.
 *
 * Connecting and login (session.c) are straight-line code; then conn_serve() moves commands out and
 * responses in until the connection ends. */
#ifndef IMAP_CONN_CONN_H
#define IMAP_CONN_CONN_H

#include <stdatomic.h>

#include "imap/base/blob.h"
#include "imap/conn/box.h"
#include "imap/conn/cmd.h"
#include "imap/conn/config.h"
#include "imap/conn/endless.h"
#include "imap/conn/flow.h"
#include "imap/conn/idle.h"
#include "imap/conn/session.h"
#include "imap/conn/stall.h"
#include "imap/conn/wire.h"
#include "imap/wire/caps.h"

/* When something happened last; all are clock_ms(), if nothing else is said. */
struct clocks {
    int64_t progress_at; /* the last byte moved, or work began when there was none */
    int64_t answered_at; /* the last command was answered */
    int64_t doubt_next;  /* no words of the server make SELECT_DOUBTED before */
    int64_t slept;       /* clock_slept_ms() when the connection was last trusted */
};

/* Written by the connection's own thread, read by any. */
struct counters {
    atomic_ullong received, sent; /* bytes */
    atomic_ullong commands, connects, wakeups;
};

/* Owned by the connection's thread, but for `wake`, `stall.silent_since` and `counters`. What the
 * other connections need to know of this one is the pool's, under its lock (pool/lane.h). */
struct conn {
    struct pool *pool;
    unsigned index;
    int wake; /* eventfd: written by anyone to make the thread look at the queue */

    struct wire wire;
    struct flow flow;
    struct caps caps;
    struct session session;
    struct box box;
    struct idle idle;

    struct cmd *cmds; /* in flight, in the order sent */
    unsigned ncmds;
    unsigned tag;         /* of the last command sent */
    struct op *selecting; /* waits for its SELECT; nothing else is started meanwhile */

    struct endless endless;
    struct stall stall;
    struct clocks clocks;
    struct counters counters;
};

/* Begins a tagged command of `op` (NULL: nobody waits) and returns the buffer to write it to, for
 * conn_end() to finish and queue. */
struct buf *conn_begin(struct conn *c, struct op *op, int step, enum want want);
void conn_end(struct conn *c);

/* Ends `op` with `err` once its last command is answered; more commands may not be sent for it. */
void conn_finish(struct conn *c, struct op *op, int err);

/* From here on nobody waits for the answers to what was sent for `op`. */
void conn_orphan(struct conn *c, const struct op *op);

/* The connection is gone and with it the answers to commands that nobody waits for. */
void conn_forget_cmds(struct conn *c);

/* The oldest operation in flight that wants this; NULL if none. */
struct op *conn_wanting(struct conn *c, enum want want);

/* Appends `s` as a quoted string. It must not hold CR, LF or NUL. */
void conn_quote(struct buf *out, const char *s);

/* Appends the wire name of a mailbox: as a quoted string, or as a literal where it has bytes that a
 * quoted string may not carry (8-bit, RFC 3501 section 9) and the server takes literals unasked. */
void conn_mailbox(const struct conn *c, struct buf *out, const char *name);

/* May `len` bytes be sent as a literal without asking first (RFC 7888)? */
bool conn_free_literal(const struct conn *c, size_t len);

/* Sends `bytes` (it takes a reference of its own) behind what was written so far, without copying
 * them. One at a time. */
void conn_literal(struct conn *c, struct blob *bytes);

/* Sends what `op` begins with; its mailbox is selected. */
void conn_start(struct conn *c, struct op *op);

/* Is anything awaited? An IDLE that the server has accepted may last. */
bool conn_busy(const struct conn *c);

/* The bytes, which are part of the response being handled, as a blob: a copy, or, when they are the
 * better part of what was read, the very memory. NULL when there is none left. */
struct blob *conn_blob(struct conn *c, struct str bytes);

/* Where conn_blob() gave the memory of what was read away: moves out what is not handled yet. 0, or
 * -ENOMEM. */
int conn_part(struct conn *c);

/* Moves bytes once: sends, waits until `deadline`, reads and handles what came. 0 or -errno; any
 * error means that the connection is lost. */
int conn_pump(struct conn *c, int64_t deadline);

/* Appends to what is sent without a word in the log, also where the server repeats it. */
void conn_secret(struct conn *c, const char *data, size_t len);

/* The body of the thread. */
void *conn_main(void *conn);

#endif
