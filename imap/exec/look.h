/* Is a message there? What is asked before and after a change whose OK alone proves nothing, and
 * what the answers show. Internal to imap/.
 *
 * Two questions go out together. A row of UID FETCH proves that the message is there; that no row
 * comes proves nothing, since some servers have none to give at times. UID SEARCH says in so many
 * words what it has not found; but mailutils takes the number behind its key UID for a sequence
 * number. So a message is gone when neither of the two names it. */
#ifndef IMAP_EXEC_LOOK_H
#define IMAP_EXEC_LOOK_H

#include "imap/exec/exec.h"

struct fetch_row;

/* Steps of commands whose tagged answers an operation has nothing to do upon. */
enum look_step {
    LOOK_ROW = 96, /* UID FETCH of the message */
    LOOK_NEAREST,  /* UID FETCH of a UID that no message has: look_answered() */
};

/* Asks both. `step`: the operation's own, for the answer to the second one. */
void look_ask(struct conn *c, struct op *op, int step);

/* Asks for the row alone, in one go with what is sent behind it: it tells the message's number, by
 * which its EXPUNGE is known, and that it was there, \Deleted or not. `step`: LOOK_ROW, or the
 * operation's own. */
void look_ask_row(struct conn *c, struct op *op, int step);

/* The answer to look_ask(): was it found? 0, or -errno when that was not said. */
bool look_found(const struct op *op);
int look_error(const struct op *op, const struct response *r);

/* mailutils does what is asked of a UID that no message has to the message next to it, and says OK:
 * it flags and copies another one. Such a server is not to be told anything of a message that was
 * not seen just before. Is it known that this one is not of that kind? */
bool look_is_exact(const struct conn *c);

/* Finds out, if it is not known. */
void look_ask_nearest(struct conn *c, struct op *op);

/* The tagged answer to one of the steps above. */
void look_answered(struct conn *c, int step, const struct response *r);

/* ---- for untagged.c ---- */

/* A row that tells whose it is; what its message's own change makes of it is taken out of row->has.
 */
void look_row(struct conn *c, struct fetch_row *row);

#endif
