/* Did they arrive? What is noted before COPY or APPEND puts messages into a mailbox, and how they
 * are looked for there when the answer was lost: by Message-ID and size, among what is there since.
 * Internal to imap/. */
#ifndef IMAP_EXEC_ARRIVAL_H
#define IMAP_EXEC_ARRIVAL_H

#include "imap/exec/exec.h"
#include "imap/wire/uidset.h"

struct fetch_row;

/* An operation's own steps stay below the first of these. */
enum arrival_step {
    ARRIVAL_MESSAGE = 64, /* UID FETCH of the messages' Message-IDs and sizes */
    ARRIVAL_WINDOW,       /* STATUS of the mailbox they go to: where new UIDs begin */
    ARRIVAL_UID,          /* STATUS of it afterwards: where they begin now */
    ARRIVAL_EXAMINE,      /* the mailbox they went to */
    ARRIVAL_ROWS,         /* what is there since */
    ARRIVAL_SEARCH,       /* what is anywhere in it, where it is not known what is new */
};

enum arrival_verdict {
    ARRIVAL_OPEN,   /* more answers are to come */
    ARRIVAL_LATER,  /* not yet, but it is too early to say: exec_later() */
    ARRIVAL_JUDGED, /* arrival_there(), arrival_not(); of the rest arrival.fail is the errno */
};

/* What is known of a message on its way, by its UID; of OP_APPEND that is 0. */
struct traveller {
    uint32_t uid;
    bool known;     /* these two are: */
    char *id;       /* Message-ID with its brackets; NULL: none to search for; owned */
    uint64_t size;  /* RFC822.SIZE */
    bool doubt;     /* something there may be it, or may not */
    uint32_t there; /* the UID of what is there and is it; 0: nothing is */
    enum { FATE_UNCLEAR, FATE_THERE, FATE_NOT } fate;
};

/* Part of an operation's progress. */
struct arrival {
    struct traveller *travellers; /* owned */
    size_t n;
    bool repeated;                 /* some did not arrive, and were sent once more */
    uint32_t uidnext, uidvalidity; /* of the mailbox before; 0: the server did not say */
    uint32_t uidnext_now;          /* of the mailbox when it was looked into; 0: likewise */
    uint32_t uidvalidity_now;      /* likewise */
    unsigned rows;                 /* messages there since */
    bool doubt;                    /* one of them cannot be told apart from any other */
    int fail;                      /* errno of what is not clear; 0: all is */
};

/* Sends what asks for that of the messages and of the mailbox which is not known yet. Of OP_APPEND
 * the message is its bytes (and `uids` NULL), else they are UIDs of the selected mailbox. What
 * comes is kept when the connection is lost; that nothing comes is no error. The answers have the
 * first two steps. */
void arrival_note(struct conn *c, struct op *op, const struct uidset *uids);

/* The first half of it: of the messages only. Of how many of them is it known already? */
void arrival_note_messages(struct conn *c, struct op *op, const struct uidset *uids);
uint64_t arrival_known(const struct op *op, const struct uidset *uids);

/* The COPY of one message said OK, but not which UID the copy has (there is no UIDPLUS): asks where
 * new UIDs begin now. If that is one further than before, the one between is the copy's:
 * arrival_new_uid(). The answer has the step ARRIVAL_UID. */
void arrival_ask_uid(struct conn *c, struct op *op);
uint32_t arrival_new_uid(const struct op *op);

/* Opens the mailbox that the messages went to, op_move.dest and the like, and looks; the connection
 * must be the operation's alone. Afterwards conn_select() or conn_leave_box() is due. If there is
 * nothing to look for, nothing is sent and the verdict is not ARRIVAL_OPEN. */
enum arrival_verdict arrival_look(struct conn *c, struct op *op, const struct uidset *uids);

/* The tagged answer to one of the steps above. That a message may be sent once more, since it did
 * not arrive, is said once in an operation's life: what is lost twice is unclear, and so is what a
 * server was silent about. */
enum arrival_verdict arrival_answered(struct conn *c, struct op *op, int step,
                                      const struct response *r);

/* After ARRIVAL_JUDGED: adds the messages that are there, and those that may be sent once more. */
void arrival_there(const struct op *op, struct uidset *uids);
void arrival_not(const struct op *op, struct uidset *uids);
const struct traveller *arrival_of(const struct op *op, uint32_t uid);

void arrival_free(struct arrival *a);

/* ---- for untagged.c ---- */

/* A row of the FETCH of ARRIVAL_MESSAGE; what belongs to it is taken out of row->has. */
void arrival_message_row(struct op *op, struct fetch_row *row);

/* A row of the mailbox that is looked into. */
void arrival_row(struct op *op, const struct fetch_row *row);

/* STATUS of that mailbox; `items` is its list. */
void arrival_status(struct op *op, const struct arg *items);

/* The mailbox, on the wire. */
const char *arrival_mailbox(const struct op *op);

#endif
