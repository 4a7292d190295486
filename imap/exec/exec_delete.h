/* Deleting messages, for their own sake or as the second half of a move. Internal to imap/. */
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
    DELETE_LOOK_UNLISTED, /* SEARCH did not name them: are they still there? */
    DELETE_LOOK_EXPUNGED, /* EXPUNGE said OK: are they still there? */
    DELETE_UNFLAG,        /* they may not be expunged: \Deleted, its own, is taken back */
};

/* How far it got; part of an operation's progress. */
struct deletion {
    struct uidset left;     /* to be deleted yet */
    struct uidset unlisted; /* these, too: SEARCH did not name them as \Deleted */
    struct uidset gone;     /* they are not there any more */
    struct uidset flagged;  /* they are flagged \Deleted, and that is all that can be done */
    struct uidset own_flag; /* if they are \Deleted, then by its STORE; seen without before */
    /* Since it was last asked: VANISHED named them, or EXPUNGE did by their numbers; */
    struct uidset expunged;
    uint64_t unnamed; /* and so many more were expunged, whose numbers told nothing, */
    uint64_t untold;  /* and of those and these so many were taken for its own, and not told */
    int store_err;    /* of its STORE */
    int err;          /* of the first UID that could not be deleted */
    bool again;       /* begun a second time */
};

/* Sends what deletes the messages; of OP_MOVE they were seen just now. */
void delete_begin(struct conn *c, struct op *op, const struct uidset *uids);

/* The tagged answer to one of the steps above. */
void delete_answered(struct conn *c, struct op *op, int step, const struct response *r);

/* Nothing was expunged, or that cannot be said: an EXPUNGE that was taken for the operation's own
 * was another's. */
void delete_disown(struct conn *c, struct op *op);

/* Ends the operation, with the first of all errors; unless all that was expunged was its own, as
 * above. */
void delete_finish(struct conn *c, struct op *op, int err);

/* The error that the operation ends with, where the last one is `err`. */
int deletion_error(const struct deletion *d, int err);

void deletion_free(struct deletion *d);

/* ---- for untagged.c ---- */

/* EXPUNGE of this number: is it what an operation has asked for? */
bool delete_on_expunge(const struct conn *c, uint32_t number);

/* VANISHED named these: was any of them asked for? */
bool delete_on_vanished(const struct conn *c, const struct uidset *uids);

#endif
