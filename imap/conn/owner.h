/* What a connection asks of its owner, the pool, which defines all of this. Internal to imap/. */
#ifndef IMAP_CONN_OWNER_H
#define IMAP_CONN_OWNER_H

#include "imap/conn/conn.h"

struct fetch_row;
struct uidset;

const struct pool_config *pool_config(const struct pool *p);

/* The descriptor that becomes readable when everything is to stop at once. */
int pool_stop_fd(const struct pool *p);

/* What a connection that is logged in is to do next. */
struct turn {
    bool unselect; /* it was asked to let go of its mailbox; told once, and only when not busy */
    bool reselect; /* another one found its mailbox under another UIDVALIDITY; told once */
    bool watch;    /* another one has left its mailbox: is IDLE wanted now? Told once */
    bool finished; /* the pool is closing, and nothing is left here that must be finished */
    bool refused;  /* `op` may not be asked: the server asks to wait for too long */
    struct op *op; /* taken, to be started now; NULL: none, for now */

    /* Unless an operation was taken: when (clock_ms()) the first of those that wait for an
     * unwilling server is to be asked again; INT64_MAX: none waits. */
    int64_t due;
    int64_t willing_at; /* pool_willing_at() */
};

/* `takes`: an operation can be started; `busy`: an answer is awaited. */
struct turn pool_turn(struct pool *p, struct conn *c, bool takes, bool busy);

/* Gives back what pool_turn() gave: the operation ended with `err`; calls its done(), or, after
 * -EBUSY, which says that the server is unwilling and did nothing, asks again later. So it does, at
 * op->due, after -EINPROGRESS: what became of it cannot be known before. */
void pool_done(struct pool *p, struct conn *c, struct op *op, int err);

/* Gives back an operation whose connection was lost: repeated, settled or failed as its class
 * says. */
void pool_lost(struct pool *p, struct conn *c, struct op *op, int err);

/* Before pool_lost(): not this operation was in front of the others on a connection that fell
 * silent. One that only asks has its time once more. */
void pool_excuse(struct pool *p, struct op *op);

/* The server asks for a pause of `wait` ms (0: it does not say) with the words `why`. All
 * that is queued waits until then. */
void pool_throttled(struct pool *p, int64_t wait, struct str why);

/* Until when (clock_ms()) that is, or was last; 0: the server has not asked for it. */
int64_t pool_willing_at(struct pool *p);

/* How long (ms) a server may be silent before what waits is asked on another connection. */
int64_t pool_silence(const struct pool *p);

/* Is there another connection that could be asked, or can one be had? */
bool pool_has_others(struct pool *p, const struct conn *c);

/* Gives an operation back for another connection. */
void pool_pass_on(struct pool *p, struct conn *c, struct op *op);

/* What the thread of an unconnected connection should do. */
enum pool_advice {
    POOL_WAIT,    /* nothing to do: until woken */
    POOL_CONNECT, /* there is work that this connection should connect for */
    POOL_STOP,
};
enum pool_advice pool_advise(struct pool *p, struct conn *c);

/* For how long (ms; -1: for ever) such a thread may sleep unless it is woken. */
int pool_patience(struct pool *p, struct conn *c);

/* Until when connecting is worth while: what waits the longest must be answered by then. */
int64_t pool_connect_deadline(struct pool *p);

/* Publishes what became of connecting. `why` is borrowed. After a failure, what waits is failed if
 * no other connection can take it. */
void pool_connected(struct pool *p, struct conn *c, int err, const char *why);

/* Publishes that the connection ended with `err`. `why` is borrowed, and empty where it is not to
 * be told. */
void pool_disconnected(struct pool *p, struct conn *c, int err, const char *why);

/* What some servers hang up on, or refuse, when they are asked it; EXTRA_COUNT: what STATUS says of
 * the number of messages, which some count otherwise than SELECT does. */
enum pool_extra { EXTRA_INTRO, EXTRA_ENABLE, EXTRA_RESYNC, EXTRA_COUNT, EXTRAS };

/* May it be asked? Not any more after a server hung up on it, unless it has answered it, on
 * whichever connection: then it was the line that failed. */
bool pool_may_ask(const struct pool *p, enum pool_extra what);
void pool_answers(struct pool *p, enum pool_extra what);

/* The connection ended over it; returns whether that is why. */
bool pool_hangs_up(struct pool *p, enum pool_extra what);

/* What the server does with a UID that no message has: look.h. */
enum pool_uids { UIDS_UNKNOWN, UIDS_EXACT, UIDS_NEAREST };
enum pool_uids pool_uids(const struct pool *p);
void pool_note_uids(struct pool *p, enum pool_uids uids);

/* May IDLE be sent? Not for an hour after the server has left two without an answer, and answered
 * other things in between. Once is perhaps the line, and always is where it has accepted one. */
bool pool_may_idle(const struct pool *p);
void pool_idle_works(struct pool *p);

/* An IDLE was given up that has no answer; all that was sent before it on its connection had its
 * own by `heard` (clock_ms()). */
void pool_idle_unanswered(struct pool *p, int64_t heard);

/* IDLE has told this connection of a change that had not happened yet at `since` (clock_ms(); 0:
 * not known); or it had not, and a question brought it out (prompt.h). */
void pool_idle_told(struct pool *p, const struct conn *c, int64_t since);
void pool_idle_missed(struct pool *p);

/* A connection is about to change something in the mailboxes of `op`. */
void pool_own_change(struct pool *p, const struct conn *self, const struct op *op);

/* From now on pool_ignores_windows(): the server `does` something that makes its answers to partial
 * fetches useless. */
void pool_windows_ignored(struct pool *p, const char *does);

/* Publishes the selected mailbox (NULL: none). Connections that have it selected under another
 * UIDVALIDITY hear that theirs is old. */
void pool_selected(struct pool *p, struct conn *c, const char *mailbox, uint32_t uidvalidity,
                   bool write);

/* Asks all other connections to let go of `mailbox` and of what is below it. */
void pool_unselect(struct pool *p, struct conn *self, const char *mailbox, char delim);

/* Hand events up (struct pool_events). */
void pool_row(struct pool *p, const char *mailbox, uint32_t uidvalidity,
              const struct fetch_row *row);
void pool_changed(struct pool *p, const char *mailbox, uint32_t uidvalidity, unsigned what);
void pool_vanished(struct pool *p, const char *mailbox, uint32_t uidvalidity,
                   const struct uidset *uids);
void pool_status_of(struct pool *p, struct str mailbox, const struct mailbox_state *now);
void pool_folders(struct pool *p);
void pool_deaf(struct pool *p);
void pool_batch(struct pool *p);

/* Publishes whether the server tells this connection of changes unasked: by IDLE (idle.state),
 * by NOTIFY (session.notified). */
void pool_watching(struct pool *p, struct conn *c);

/* The same, once NOTIFY was answered. From the first OK on, the connection is made anew whenever it
 * is lost, though others could do all there is to do. */
void pool_notified(struct pool *p, struct conn *c);

/* Should this connection ask, by IDLE, to be told of changes in its mailbox? Not when another one
 * that does has the same mailbox selected. Without IDLE, NOTIFY is not enough: Dovecot 2.3
 * sometimes says nothing until the next command, of the selected mailbox as of others. */
bool pool_should_idle(struct pool *p, const struct conn *c);

#endif
