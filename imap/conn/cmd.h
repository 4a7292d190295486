/* A command that was sent and is not answered yet. Internal to imap/. */
#ifndef IMAP_CONN_CMD_H
#define IMAP_CONN_CMD_H

#include <stdbool.h>

struct conn;
struct op;

/* Which untagged data a command is answered with; the oldest command that wants it gets it. */
enum want {
    WANT_NONE,
    WANT_LIST,
    WANT_SEARCH,
    WANT_STATUS,
    WANT_BODY,
    WANT_HEADER,
    WANT_QUOTA,
    WANT_SELECTED,
    WANT_MESSAGE, /* these three: arrival.h */
    WANT_WINDOW,
    WANT_ROWS,
    WANT_LOOK, /* these two: look.h */
    WANT_NEAREST,
    WANT_EXPUNGE,
    WANT_GO_ON, /* "+": the command is the last one in flight */
};

/* The step of the SELECT that box.c sends in front of an operation's own commands. */
enum { STEP_SELECT = -1 };

struct cmd {
    struct cmd *prev, *next;
    unsigned tag;
    struct op *op; /* NULL: nobody waits for the answer */
    int step;      /* the operation's own number for it */
    enum want want;
    char name[16]; /* as IMAP calls it: "UID STORE" */
    char *select;  /* STEP_SELECT: the mailbox */
    bool given_up; /* it only asks, and nobody waits any more: stall_pass_on() */
};

/* It was answered, or its connection is lost: it is in flight no more, and freed. */
void cmd_remove(struct conn *c, struct cmd *cmd);

#endif
