/* Messages on their way to another mailbox, by MOVE, or by COPY and perhaps deletion: what is known
 * of each of them. Internal to imap/. */
#ifndef IMAP_EXEC_TRANSFER_H
#define IMAP_EXEC_TRANSFER_H

#include "imap/exec/arrival.h"
#include "imap/exec/exec_delete.h"
#include "imap/exec/op_message.h"
#include "imap/exec/search.h"

/* How far it got with what is left; kept when the connection is lost. */
enum transfer_phase {
    PHASE_BEGIN,  /* nothing was sent that changes anything */
    PHASE_MOVE,   /* UID MOVE was sent */
    PHASE_COPY,   /* UID COPY was sent: copies may exist, the messages do for certain */
    PHASE_DELETE, /* nothing is left: the copies are confirmed, and the messages being deleted */
};

/* The progress of OP_MOVE and of OP_COPY. */
struct transfer {
    enum transfer_phase phase;
    bool begun;               /* `left` is what it was begun with, or less */
    bool by_copy;             /* it is by COPY (and deletion), and not by MOVE */
    bool unsure;              /* the answer to a MOVE was lost, so it may be done at any time */
    struct uidset left;       /* neither moved nor copied yet, nor failed */
    struct uidset seen;       /* of these, those that were found there, in front of the command */
    struct uidset copied;     /* the copy is confirmed; of OP_MOVE to be deleted, or deleted */
    uint64_t sent;            /* how many the last MOVE was sent for */
    int refused;              /* errno of a MOVE that may be done all the same */
    struct deletion deletion; /* of OP_COPY, nothing but the error */
    struct look look;
    struct search search;
    struct arrival arrival;
};
static_assert(sizeof(struct transfer) <= OP_PROGRESS_CHANGE, "there is room behind the operation");

static inline struct transfer *transfer_of(const struct op *op)
{
    return op->progress;
}

/* The first time: all of these are left. */
void transfer_begin(struct op *op, const struct uidset *uids);

/* Ends the operation, with the first of all errors. What is left may be begun anew. */
void transfer_finish(struct conn *c, struct op *op, int err);

/* These of what is left have failed; or are moved. */
void transfer_give_up(struct op *op, const struct uidset *uids, int err);
void transfer_moved(struct op *op, const struct uidset *uids);

/* Forgets what was seen of what is left. */
void transfer_see_nothing(struct op *op);

/* Divides what is left by whether look_ask() has found it. */
void transfer_divide(const struct op *op, struct uidset *found, struct uidset *missing);

/* The COPY said OK: those are copied that it named (COPYUID); where it named none, those that were
 * seen in front of it. */
void transfer_proven(struct op *op);

/* The COPY whose answer was lost was looked after in the mailbox it went to: what is there is
 * copied, what is not is left, and of the rest nobody can tell. */
void transfer_judged(struct op *op);

/* Where it is noted which UIDs the copies have, and under which UIDVALIDITY (COPYUID). */
struct uidmap *transfer_copies(const struct op *op, uint32_t **validity);

/* Adds those of what is left that a COPYUID has named. */
void transfer_named(const struct op *op, struct uidset *out);

/* Of one message that was copied it is concluded (arrival_new_uid()). */
void transfer_learn_uid(struct op *op);

void transfer_free(struct transfer *t);

/* For op_class. */
struct search *transfer_search(const struct op *op);
struct look *transfer_look(const struct op *op);
struct deletion *transfer_deletion(const struct op *op);
struct arrival *transfer_arrival(const struct op *op);

#endif
