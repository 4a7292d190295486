/* The mailbox that a connection has selected. Internal to imap/. */
#ifndef IMAP_CONN_BOX_H
#define IMAP_CONN_BOX_H

#include "imap/conn/op.h"

struct conn;
struct response;

/* How far SELECT or EXAMINE has got. */
enum select_state {
    SELECT_NONE,
    SELECT_CLOSING, /* asked; what comes may still be about the mailbox before this one */
    SELECT_ASKED,   /* asked, and no other is selected */
    SELECT_OPEN,    /* answered: the mailbox is selected */
    SELECT_DOUBTED, /* the server has trouble with it: selected anew before more is believed */
};

/* The selected mailbox. */
struct box {
    char *name;               /* wire name; NULL: none */
    bool write;               /* SELECT, not EXAMINE */
    enum select_state select; /* by box_become() only */
    bool just_selected;       /* that was for the operation being started */
    bool fresh;               /* no OP_CHECK has told of that SELECT yet */
    bool read_only;           /* the server said READ-ONLY */
    uint32_t resync;  /* UIDVALIDITY under which SELECT was asked to tell what changed; 0: not */
    uint64_t changes; /* counts what the server said of messages that came or went */
    bool news;      /* it told of what others did since it was selected, or STATUS was last asked */
    uint32_t heard; /* this session has heard of all UIDs below it; and below state.uidnext */
    struct mailbox_state state;
};

/* Is a mailbox selected, be it in doubt? */
static inline bool box_is_open(const struct box *b)
{
    return b->select >= SELECT_OPEN;
}

void box_become(struct conn *c, enum select_state select);

/* The server says that the mailbox before this one is closed (RFC 7162). */
void box_closed(struct conn *c);

/* Selects op->mailbox and then starts `op` anew; nothing else may be in flight for it. */
void conn_select(struct conn *c, struct op *op, bool write);

/* SELECT or EXAMINE for `op` was answered: starts it, or ends it with what is wrong. */
void box_selected(struct conn *c, struct op *op, const struct response *r);

/* Is the operation's mailbox selected, in the way that it needs, and not in doubt? */
bool box_fits(const struct conn *c, const struct op *op, bool write);

/* What is selected may not be what has that name by now, or may be old: it is selected anew before
 * more is believed. The cache hears that it should look. */
void box_doubt(struct conn *c);

/* Others have left nothing in the mailbox. */
void box_emptied(struct conn *c);

/* May it be another mailbox that STATUS has told of as `said` (what it left out is 0, and `exists`
 * UINT32_MAX)? `before`: the number of messages here when it was asked. */
bool box_contradicted(struct conn *c, const struct mailbox_state *said, uint32_t before);

/* Were the operation's UIDs learnt in another life of the selected mailbox? */
bool box_other_validity(const struct conn *c, const struct op *op);

/* The session has heard of this UID and of those below it. */
void box_heard(struct conn *c, uint32_t uid);

/* Leaves the selected mailbox without expunging anything, if it is `mailbox` or below it. */
void conn_deselect(struct conn *c, const char *mailbox, char delim);

/* Leaves whatever mailbox is selected on the server, without expunging anything. */
void conn_leave_box(struct conn *c);

/* Notes that no mailbox is selected any more, because of a command that is about to be sent. */
void conn_forget_box(struct conn *c);

#endif
