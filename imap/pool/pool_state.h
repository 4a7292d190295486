/* The pool's own state, and the decisions about it: who takes what (dispatch.c), who connects when
 * (reconnect.c). Functions that end in _locked want the pool's lock held. Internal to imap/. */
#ifndef IMAP_POOL_POOL_STATE_H
#define IMAP_POOL_POOL_STATE_H

#include "imap/conn/owner.h"
#include "imap/pool/lane.h"
#include "imap/pool/pool.h"
#include "imap/pool/prompt.h"
#include "imap/pool/sched.h"
#include "imap/pool/throttle.h"

/* Of the first attempt to connect, for which pool_open() waits. Under the pool's lock. */
struct first {
    bool tried; /* it has ended */
    int err;
    struct buf why;
};

/* That no connection could be had, or was kept (reconnect.c). Under the pool's lock. */
struct outage {
    int err;              /* why the last attempt to connect failed, or 0 */
    char why[300];        /* what the status tells of it */
    int64_t since;        /* since when no connection is up; 0: one is */
    bool unasked;         /* nobody had asked for the attempt when it began, and no other was up */
    bool trusted;         /* nothing failed since a login: several may connect side by side */
    int64_t pause;        /* after the last failed attempt, ms; 0: the last one succeeded */
    int64_t denied_until; /* no attempt at all before: the login was refused; 0: it was not */
    unsigned brief;       /* connections in a row that were lost soon after the login */
    int64_t brief_at;     /* when the last of those was lost */
    unsigned spare_failures; /* in a row, to connect while another one was up */
    enum { TOLD_UP, TOLD_DOWN, TOLD_DENIED } told; /* what the log was told last */
};

/* What was found out of the server, by any connection. */
struct found {
    atomic_bool answers[EXTRAS];     /* it has answered this once */
    atomic_bool hangs_up[EXTRAS];    /* a connection ended over this, and it never had answered */
    atomic_int uids;                 /* enum pool_uids */
    atomic_bool idle_works;          /* an IDLE was accepted */
    atomic_llong idle_unanswered_at; /* clock_ms(): when the first IDLE without an answer was given
                                        up; 0: none was */
    atomic_llong no_idle_until;      /* clock_ms(); 0: IDLE has not failed */
    atomic_bool no_windows;          /* answers to partial fetches are of no use */
};

/* From pool_open() to pool_free(), in this order; it never goes back. */
enum pool_life {
    LIFE_OPEN,
    LIFE_CLOSING,  /* what was accepted is finished, and nothing else */
    LIFE_STOPPING, /* that took too long: whatever is going on ends */
    LIFE_REFUSING, /* the connections are gone: what still comes is refused */
    LIFE_ENDED,    /* nothing comes any more */
};

struct pool {
    const struct pool_config *config;
    const struct pool_events *events;
    void *ctx;
    int stop; /* eventfd: readable when everything must end */

    /* Guards all that follows, and the lanes. No other lock is taken under it but the log's. */
    pthread_mutex_t lock;
    pthread_cond_t opened;
    struct op *queue;   /* foreground first, each in the order submitted */
    struct lane *lanes; /* the array stays as long as the pool */
    unsigned nlanes;    /* that have a thread */
    struct first first;
    struct outage outage;
    struct throttle throttle;
    int64_t last_due; /* clock_ms(): after it nothing waits for an unwilling server any more */
    unsigned selects; /* in a row without a pause: someone goes back and forth between mailboxes */
    int64_t selected_at;
    enum pool_life life; /* by pool_become_locked() only */
    bool refusing;       /* there is a `refuser` */
    pthread_t refuser;   /* answers what comes when the connections are gone */
    struct prompt prompt;

    struct found found; /* atomics */
};

static inline struct lane *lane_of(const struct pool *p, const struct conn *c)
{
    return &p->lanes[c->index];
}

/* ---- pool.c ---- */

/* Nothing where the pool is there already or further. */
void pool_become_locked(struct pool *p, enum pool_life life);

/* Is it to end? */
static inline bool pool_closes_locked(const struct pool *p)
{
    return p->life >= LIFE_CLOSING;
}

/* ---- pool_queue.c ---- */

/* Is it waiting for its time to be asked again? */
bool queue_waits(const struct op *op);

/* When the first of what waits has its time (clock_ms()); INT64_MAX: nothing waits. */
int64_t queue_next_due_locked(const struct pool *p);

void queue_add_locked(struct pool *p, struct op *op);

/* Out of the queue: what is not worth keeping when no connection can be had, which is all but
 * changes of unknown fate; what has waited for a connection for its whole time. */
struct op *queue_hopeless_locked(struct pool *p);
struct op *queue_expired_locked(struct pool *p);

/* What a lost or impossible connection is to the caller of a system call. */
int queue_errno(int err);

/* Ends operations that were taken out of the queue. No lock is held. */
void queue_fail(struct op *list, int err);

/* While the server asks for a pause, `op` waits for its end; what nobody waits for outlasts any. */
void queue_hold_back_locked(const struct pool *p, struct op *op);

/* ---- lane.c ---- */

void lane_become_locked(struct lane *l, enum lane_state state);

/* "down", "connecting", "up" */
const char *lane_state_name(enum lane_state state);

/* Makes its thread look at the queue. */
void lane_wake(struct lane *l);

/* It is selecting a mailbox; NULL: not any more. */
void lane_opens_locked(struct lane *l, const char *mailbox);

/* ---- dispatch.c ---- */

/* Is nothing else to be under way on its connection? */
bool dispatch_alone(const struct op *op);

/* Is nothing to be begun behind it on its connection? */
bool dispatch_is_barrier(const struct op *op);

/* How long (ms) a server may be silent before others are asked. */
int64_t dispatch_silence(const struct pool *p);

/* What a decision is made from: the lanes, and an operation. */
void dispatch_view_locked(const struct pool *p, struct sched_view *v);
struct sched_need dispatch_need_locked(const struct pool *p, const struct op *op);

/* Is there another lane that is not stalled, or can one be had? */
bool dispatch_others_locked(const struct pool *p, const struct lane *l);

/* Is there something in the queue for which this lane, which is down, should connect? */
bool dispatch_needed_locked(const struct pool *p, const struct lane *l);

/* Wakes the lane that should take `op`, or connect for it; failing that, if `anyone`, one that has
 * other work under way and perhaps room. Without, it waits until that one has an answer. */
void dispatch_wake_locked(struct pool *p, const struct op *op, bool anyone);
void dispatch_wake_all_locked(struct pool *p);

/* Has the first lane that could carry bodies make itself ready. */
void dispatch_warm_locked(struct pool *p);

/* ---- pool_watch.c ---- */

/* `l` is about to leave its mailbox: who has it selected, too, and left it to `l` to be told of
 * changes, may have to do so now. */
void watch_leave_locked(struct pool *p, const struct lane *l);

/* ---- reconnect.c ---- */

/* Is it connected, or may it try to be now? */
bool reconnect_usable_locked(const struct pool *p, const struct lane *l);

/* Is it up or about to be, with nothing gone wrong that it would have to wait for? */
bool reconnect_expected_locked(const struct pool *p, const struct lane *l);

/* Is another one up; or up or about to be? */
bool reconnect_others_up_locked(const struct pool *p, const struct lane *l);
bool reconnect_others_alive_locked(const struct pool *p, const struct lane *l);

/* Out of the queue: what is to fail because `l` cannot connect. */
struct op *reconnect_doomed_locked(struct pool *p, const struct lane *l);

/* For how long (ms; -1: for ever) the thread of an unconnected connection may sleep. */
int reconnect_patience_locked(const struct pool *p, const struct lane *l);

/* What became of an attempt, and of a connection. */
void reconnect_done_locked(struct pool *p, struct lane *l);
void reconnect_failed_locked(struct pool *p, struct lane *l, int err, const char *why);
void reconnect_lost_locked(struct pool *p, struct lane *l, int err);

/* What the log is to be told of it: appended to `line`, once when the server goes, once when it
 * refuses the login and once when it is back, however many connections and attempts that takes.
 * After reconnect_failed_locked() and reconnect_lost_locked(), before reconnect_done_locked(). */
void reconnect_tell_failed_locked(struct pool *p, const struct lane *l, int err, const char *why,
                                  struct buf *line);
void reconnect_tell_lost_locked(struct pool *p, const struct lane *l, int err, const char *why,
                                struct buf *line);
void reconnect_tell_done_locked(struct pool *p, struct buf *line);

/* Appends the line "server: ..." for .imapfs/status. */
void reconnect_status_locked(const struct pool *p, struct buf *out);

#endif
