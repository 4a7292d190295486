/* Deleting one message, for its own sake or as the second half of a move. Internal to imap/. */
#ifndef IMAP_EXEC_EXEC_DELETE_H
#define IMAP_EXEC_EXEC_DELETE_H

#include "imap/exec/look.h"

/* An operation's own steps stay below the first of these. */
enum delete_step {
    DELETE_LOOK = 32, /* in front of a STORE that might hit another message */
    DELETE_ROW,       /* in front of any: was it \Deleted? */
    DELETE_STORE,
    DELETE_EXPUNGE_UID,
    DELETE_EXPUNGE_AGAIN,
    DELETE_SEARCH, /* which messages are \Deleted? */
    DELETE_EXPUNGE_ALL,
    DELETE_LOOK_UNLISTED, /* SEARCH did not name it: is it still there? */
    DELETE_LOOK_EXPUNGED, /* EXPUNGE said OK: is it still there? */
    DELETE_UNFLAG,        /* it may not be expunged: \Deleted, its own, is taken back */
};

/* Sends what deletes op->uid; of OP_MOVE it was seen just now. */
void delete_begin(struct conn *c, struct op *op);

/* The tagged answer to one of the steps above. */
void delete_answered(struct conn *c, struct op *op, int step, const struct response *r);

/* Nothing was expunged, or that cannot be said: an EXPUNGE that was taken for the operation's own
 * was another's. */
void delete_disown(struct conn *c, struct op *op);

/* Ends the operation; unless op->expunged, as above. */
void delete_finish(struct conn *c, struct op *op, int err);

#endif
