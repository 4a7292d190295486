/* The connections of one account and the queue of operations they share. The cache's only way to
 * the server. */
#ifndef IMAP_POOL_POOL_H
#define IMAP_POOL_POOL_H

#include "imap/conn/config.h"
#include "imap/exec/op_mailbox.h"
#include "imap/exec/op_message.h"
#include "imap/exec/op_read.h"
#include "imap/wire/fetch.h"

struct pool;

/* What the server says unasked, or in answer to OP_META and OP_FLAGS. Called on a connection's
 * thread with no lock held; arguments are borrowed for the call. `mailbox` is the wire name. */
struct pool_events {
    /* A FETCH row with a UID. */
    void (*row)(void *ctx, const char *mailbox, uint32_t uidvalidity, const struct fetch_row *row);
    /* Something changed that a UID does not tell: the bits of enum pool_change. */
    void (*changed)(void *ctx, const char *mailbox, uint32_t uidvalidity, unsigned what);
    /* These messages are not there any more (VANISHED, RFC 7162). */
    void (*vanished)(void *ctx, const char *mailbox, uint32_t uidvalidity,
                     const struct uidset *uids);
    /* Another mailbox changed, and is now like this (NOTIFY, RFC 5465); what the server did not say
     * is 0, and `exists` UINT32_MAX. */
    void (*status)(void *ctx, struct str mailbox, const struct mailbox_state *now);
    /* Mailboxes were made, renamed or deleted. */
    void (*folders)(void *ctx);
    /* A connection that told of changes is lost, so that what happens from now on may not be heard
     * of; or it tells again, and what happened in between was not. */
    void (*deaf)(void *ctx);
    /* What arrived together has been delivered. */
    void (*batch)(void *ctx);
};

/* Starts the threads and logs the first connection in; waits for that. On failure NULL, and `why`
 * says what went wrong in one sentence. */
struct pool *pool_open(const struct pool_config *config, const struct pool_events *events,
                       void *ctx, struct buf *why);

/* Takes over `op`; its done() will be called exactly once, on another thread, also when there is no
 * server. May be called with the caller's locks held. */
void pool_submit(struct pool *p, struct op *op);

/* Somebody waits from now on for an operation that was submitted as `patient` and is not done: it
 * is one like others, as if it were submitted now. May be called with the caller's locks held. */
void pool_hurry(struct pool *p, struct op *op);

/* Puts a UID into an OP_BODIES that was submitted and is not done, or takes it out, as long as no
 * connection has begun with it. False: one has. */
bool pool_amend(struct pool *p, struct op_bodies *b, uint32_t uid, bool in);

/* Is there a connection that carries bodies and not listings? */
bool pool_body_lane(struct pool *p);

/* May a stream (op_body.stream) have a connection for itself, and others be left for what someone
 * waits for? If it turns out that it may not, the stream ends with -ECANCELED. */
bool pool_may_stream(struct pool *p);

/* Was the server found to ignore the windows of partial fetches, or to answer with others? */
bool pool_ignores_windows(const struct pool *p);

/* Goes on with a stream that is held. */
void pool_resume(struct pool *p, struct op_body *b);

/* Since when (clock_ms()) a connection has had this mailbox selected that is told of changes in it
 * as they happen (IDLE); INT64_MAX: there is none at this moment. */
int64_t pool_hears(struct pool *p, const char *mailbox);

/* Has the server shown that what pool_hears() is about is told at once? */
bool pool_tells_at_once(struct pool *p);

/* Is a connection told of changes in every mailbox at this moment (NOTIFY)? */
bool pool_tells_all(struct pool *p);

/* Message bodies may be asked for soon: connects for them, if no connection is there that could
 * carry them. */
void pool_warm(struct pool *p);

/* Finishes the changes that were submitted (for at most the timeout), logs out, ends the threads.
 * What is submitted from now on is answered -ENOTCONN. */
void pool_stop(struct pool *p);

/* After pool_stop(): frees everything; NULL is allowed. */
void pool_free(struct pool *p);

/* Appends lines for .imapfs/status: one per connection, then the sums. */
void pool_status(struct pool *p, struct buf *out);

/* The personal namespace's prefix (RFC 2342), "" when there is none. Valid until pool_free(). */
const char *pool_namespace(struct pool *p);

#endif
