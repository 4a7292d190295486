/* Hearing of changes in the selected mailbox: IDLE (RFC 2177). Internal to imap/. */
#ifndef IMAP_CONN_IDLE_H
#define IMAP_CONN_IDLE_H

#include <stdbool.h>
#include <stdint.h>

struct conn;

/* What becomes of IDLE (idle.c). */
enum idle_state {
    IDLE_OFF,
    IDLE_ASKED,  /* sent, and the server has not agreed yet: nothing else can be begun */
    IDLE_ON,     /* the server tells what changes */
    IDLE_ENDING, /* DONE was sent, and with it what else there is to do; not answered yet */
};

struct idle {
    enum idle_state state;
    unsigned tag;       /* of the IDLE in flight; 0: none */
    bool refused;       /* by this session's server */
    int64_t since;      /* clock_ms(): when the IDLE was accepted that is, or was last, in force */
    int64_t known_at;   /* clock_ms(): nothing was untold of the mailbox; 0: never */
    bool judged;        /* a look is under way that shows whether IDLE had told all */
    bool missed;        /* that look brought out what IDLE had not told */
    int64_t not_before; /* clock_ms(): the end of the last pause that the server has asked for */
    int64_t considered; /* the clocks.answered_at that IDLE was thought of for */
};

/* In front of a command: ends an IDLE that the server has accepted. What is sent next leaves in one
 * write with it. */
void idle_done(struct conn *c);

/* "+" came. Was it the server's consent to IDLE? */
bool idle_accepted(struct conn *c);

/* IDLE was answered. */
void idle_answered(struct conn *c, bool ok);

/* The connection is gone. */
void idle_lost(struct conn *c);

/* The deadline that idle_deadline() tells (clock_ms()) was reached while nothing was awaited:
 * begins IDLE where that is wanted, or keeps the session alive. */
void idle_quiet(struct conn *c);

/* The server says of the mailbox what was not known. */
void idle_news(struct conn *c);

/* Around a look: it begins, now that IDLE may still be on; it has told all, and shows whether IDLE
 * had. idle_known() also behind a SELECT. */
void idle_judge(struct conn *c);
void idle_known(struct conn *c);

int64_t idle_deadline(const struct conn *c);

#endif
