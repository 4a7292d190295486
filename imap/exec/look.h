/* Are messages there? What is asked before and after a change whose OK alone proves nothing, and
 * what the answers show. Internal to imap/.
 *
 * Two questions go out together. A row of UID FETCH proves that a message is there; that no row
 * comes proves nothing, since some servers have none to give at times. UID SEARCH says in so many
 * words what it has not found; but mailutils takes the number behind its key UID for a sequence
 * number. So a message is gone when neither of the two names it. */
#ifndef IMAP_EXEC_LOOK_H
#define IMAP_EXEC_LOOK_H

#include "imap/exec/exec.h"
#include "imap/wire/uidset.h"

struct fetch_row;

/* Steps of commands whose tagged answers an operation has nothing to do upon. */
enum look_step {
    LOOK_ROW = 96, /* UID FETCH of the messages */
    LOOK_NEAREST,  /* UID FETCH of a UID that no message has: look_answered() */
};

struct look {
    struct uidset asked;
    struct uidset there;   /* a row named them since they were asked about */
    struct uidset deleted; /* of these, those that such a row had as \Deleted */
    struct seat {
        uint32_t uid, number; /* the message's sequence number by now */
    } * seats;                /* of these, where the number is known; owned */
    size_t nseats, cap;
};

/* Forgets all that was seen. */
void look_forget(struct look *l);

/* Asks both. `step`: the operation's own, for the answer to the second one. */
void look_ask(struct conn *c, struct op *op, const struct uidset *uids, int step);

/* Asks for the rows alone, in one go with what is sent behind it: they tell the messages' numbers,
 * by which their EXPUNGE is known, and that they were there, \Deleted or not. `step`: LOOK_ROW, or
 * the operation's own. */
void look_ask_rows(struct conn *c, struct op *op, const struct uidset *uids, int step);

/* The answer to look_ask(): adds those of the messages that were found. 0, or -errno when that was
 * not said of all. */
void look_found(const struct op *op, struct uidset *found);
int look_error(const struct op *op, const struct response *r);

/* mailutils does what is asked of a UID that no message has to the message next to it, and says OK:
 * it flags and copies another one. Such a server is not to be told anything of a message that was
 * not seen just before. Is it known that this one is not of that kind? */
bool look_is_exact(const struct conn *c);

/* Finds out, if it is not known. */
void look_ask_nearest(struct conn *c, struct op *op);

/* The tagged answer to one of the steps above. */
void look_answered(struct conn *c, int step, const struct response *r);

/* The UID whose message has this number, out of the seats; those behind it move up. 0: none. */
uint32_t look_unseat(struct look *l, uint32_t number);

/* ---- for untagged_fetch.c ---- */

/* A row that tells whose it is; what its message's own change makes of it is taken out of row->has.
 */
void look_row(struct conn *c, struct fetch_row *row);

#endif
