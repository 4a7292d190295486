/* Did it arrive? What is noted before COPY or APPEND puts a message into a mailbox, and how it is
 * looked for there when the answer was lost: by its Message-ID and size, among what is there since.
 * Internal to imap/. */
#ifndef IMAP_EXEC_ARRIVAL_H
#define IMAP_EXEC_ARRIVAL_H

#include "imap/exec/exec.h"

struct fetch_row;

/* An operation's own steps stay below the first of these. */
enum arrival_step {
    ARRIVAL_MESSAGE = 64, /* UID FETCH of the message's Message-ID and size */
    ARRIVAL_WINDOW,       /* STATUS of the mailbox it goes to: where new UIDs begin */
    ARRIVAL_UID,          /* STATUS of it afterwards: where they begin now */
    ARRIVAL_EXAMINE,      /* the mailbox it went to */
    ARRIVAL_ROWS,         /* what is there since */
    ARRIVAL_SEARCH,       /* what is anywhere in it, where it is not known what is new */
};

enum arrival_verdict {
    ARRIVAL_OPEN,    /* more answers are to come */
    ARRIVAL_THERE,   /* op->new_uid, op->new_uidvalidity */
    ARRIVAL_LATER,   /* not yet, but it is too early to say: exec_later() */
    ARRIVAL_NOT,     /* it may be sent once more */
    ARRIVAL_UNCLEAR, /* or looking failed: op->fail is the errno */
};

/* Sends what asks for that of the message and of the mailbox which is not known yet. Of OP_APPEND
 * the message is op->bytes, else UID op->uid of the selected mailbox. What comes is kept when the
 * connection is lost; that nothing comes is no error. The answers have the first two steps. */
void arrival_note(struct conn *c, struct op *op);

/* The first half of it: of the message only. */
void arrival_note_message(struct conn *c, struct op *op);

/* The COPY said OK, but not which UID the copy has (there is no UIDPLUS): asks where new UIDs begin
 * now. If that is one further than before, the one between is the copy's -> op->new_uid. The answer
 * has the step ARRIVAL_UID. */
void arrival_ask_uid(struct conn *c, struct op *op);

/* Opens the mailbox that the message went to, op->dest (of OP_APPEND op->mailbox), and looks; the
 * connection must be the operation's alone. Afterwards conn_select() or conn_leave_box() is due. If
 * there is nothing to look for, nothing is sent and the verdict is not ARRIVAL_OPEN. */
enum arrival_verdict arrival_look(struct conn *c, struct op *op);

/* The tagged answer to one of the steps above. ARRIVAL_NOT comes once in an operation's
 * life: what is lost twice is ARRIVAL_UNCLEAR, and so is what a server was silent about. */
enum arrival_verdict arrival_answered(struct conn *c, struct op *op, int step,
                                      const struct response *r);

/* ---- for untagged.c ---- */

/* A row of the FETCH of ARRIVAL_MESSAGE; what belongs to it is taken out of row->has. */
void arrival_message_row(struct op *op, struct fetch_row *row);

/* A row of the mailbox that is looked into. */
void arrival_row(struct op *op, const struct fetch_row *row);

/* STATUS of the mailbox named op->dest or op->mailbox; `items` is its list. */
void arrival_status(struct op *op, const struct arg *items);

/* The mailbox, on the wire. */
const char *arrival_mailbox(const struct op *op);

#endif
