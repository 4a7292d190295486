/* One connection: its thread, its socket, its parser, its selected mailbox. Internal to imap/.
 *
 * Only the connection's own thread touches a struct conn, but for the fields that say otherwise.
 * Connecting and login (session.c) are straight-line code; then conn_serve() moves commands out and
 * responses in until the connection ends. */
#ifndef IMAP_CONN_H
#define IMAP_CONN_H

#include <pthread.h>
#include <stdatomic.h>

#include "imap/caps.h"
#include "imap/endless.h"
#include "imap/frame.h"
#include "imap/outcome.h"
#include "imap/pool.h"
#include "imap/secrets.h"
#include "imap/stream.h"

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

/* The step of the SELECT that conn.c sends in front of an operation's own commands. */
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

/* The selected mailbox. */
struct box {
    char *name;         /* wire name; NULL: none */
    bool write;         /* SELECT, not EXAMINE */
    bool ready;         /* the SELECT was answered */
    bool just_selected; /* that was for the operation being started */
    bool fresh;         /* no OP_CHECK has told of that SELECT yet */
    bool read_only;     /* the server said READ-ONLY */
    uint32_t resync;    /* UIDVALIDITY under which SELECT was asked to tell what changed; 0: not */
    bool closing;       /* what comes may still be about the mailbox before this one */
    bool doubt;         /* the server has trouble with it: selected anew before more is believed */
    uint64_t changes;   /* counts what the server said of messages that came or went */
    bool news;      /* it told of what others did since it was selected, or STATUS was last asked */
    uint32_t heard; /* this session has heard of all UIDs below it; and below state.uidnext */
    struct mailbox_state state;
};

/* A literal being handed on while it comes (flow.c). */
struct flow {
    struct op *op;      /* NULL: none */
    struct blob *piece; /* being filled; NULL: none */
    size_t skip;        /* bytes of the literal in front of those that were asked for */
    size_t at, left;    /* where the piece begins; bytes asked for that are not yet in a piece */
    size_t rest;        /* bytes of the literal behind those */
    struct buf head;    /* the response in front of it */
    bool passed;        /* the response being read is what is left of one whose literal passed */
};

/* A literal being sent: it goes out behind the first `pos` bytes of conn.out. */
struct outgoing {
    struct blob *bytes; /* NULL: none; a reference */
    size_t pos, at;     /* at: bytes of it already sent */
};

/* What becomes of IDLE (idle.c). */
enum idle_state {
    IDLE_OFF,
    IDLE_ASKED,  /* sent, and the server has not agreed yet: nothing else can be begun */
    IDLE_ON,     /* the server tells what changes */
    IDLE_ENDING, /* DONE was sent, and with it what else there is to do; not answered yet */
};

/* The answer to a command of session.c. */
struct reply {
    unsigned tag; /* awaited; 0: none */
    bool done;
    bool go_on; /* "+" came */
    enum resp_cond cond;
    enum resp_code code;
    struct buf text; /* human text; of "+", the challenge */
};

struct conn {
    struct pool *pool;
    unsigned index;
    pthread_t thread;
    int wake; /* eventfd: written by anyone to make the thread look at the queue */

    struct stream *stream; /* NULL: not connected */
    struct buf in;
    size_t in_at; /* start of the first response not yet handled */
    struct blob
        *in_blob; /* shares the memory of `in` since conn_blob(), while a response is handled */
    struct buf out;
    size_t out_at; /* start of what is not yet sent */
    struct outgoing literal;
    size_t unsent; /* what the kernel had not sent when it was last looked at */
    struct frame frame;
    struct flow flow;
    struct arena arena;
    struct caps caps;
    struct box box;
    struct cmd *cmds; /* in flight, in the order sent */
    unsigned ncmds;
    unsigned tag;
    size_t cmd_start;     /* in `out`, of the command being built */
    struct op *selecting; /* waits for its SELECT; nothing else is started meanwhile */
    struct endless endless;
    struct reply reply;
    struct secrets secrets; /* what this session's login is made of */
    struct buf words;       /* of conn_words() */
    const char *fault;      /* what the server did that ended the session before login; or NULL */
    bool greeted;
    bool hold;    /* after the awaited answer, if it is OK, not one byte more is looked at */
    bool serving; /* logged in: conn_pump() also returns when woken */
    enum resp_cond greeting;
    bool bye;            /* the server said so */
    bool logout;         /* we did */
    unsigned enable_tag; /* of the ENABLE in flight; 0: none */
    unsigned notify_tag; /* of the NOTIFY in flight; 0: none */
    bool notified;       /* NOTIFY (RFC 5465) is in force */
    bool qresync;        /* QRESYNC (RFC 7162) is */
    bool no_resync;      /* a SELECT that asked what had changed was refused */
    enum idle_state idle;
    unsigned idle_tag;   /* of the IDLE in flight; 0: none */
    bool no_idle;        /* the server has refused it */
    int64_t idle_since;  /* clock_ms(): when the IDLE was accepted that is, or was last, in force */
    int64_t known_at;    /* clock_ms(): nothing was untold of the mailbox; 0: never */
    bool judged;         /* a look is under way that shows whether IDLE had told all, */
    bool missed_some;    /* and it had not */
    int64_t quiet_since; /* clock_ms() when the last command was answered */
    int64_t watched_for; /* the quiet_since that IDLE was thought of for */
    int64_t doubt_next;  /* clock_ms(): no words of the server make box.doubt before */
    char personal[256];  /* the personal namespace's prefix */
    bool only_personal;  /* there are no other namespaces */
    int64_t passed_on;   /* the silent_since upon which stall_pass_on() has acted */
    int64_t slept;       /* clock_slept_ms() when the connection was last trusted */
    int64_t last_progress; /* clock_ms() of the last byte moved, or of work begun when idle */

    /* Under the pool's lock: what the others need to know of this one. */
    enum { CONN_DOWN, CONN_CONNECTING, CONN_UP } status;
    char *box_name;        /* of box.name; NULL: none */
    char *opening;         /* the mailbox being selected; NULL: none */
    uint32_t box_validity; /* its UIDVALIDITY */
    bool box_write;
    unsigned load;              /* operations taken and not finished */
    unsigned searches;          /* of these, such as may send SEARCH */
    unsigned ahead;             /* of these, read-ahead */
    unsigned changes;           /* of these, such as are not to be broken off */
    const struct op *closed_by; /* of these, the one behind which nothing is begun; NULL: none */
    bool drains;      /* nothing more is begun until they are finished: see sched_owed_locked() */
    bool release;     /* asked to let go of its mailbox */
    bool outdated;    /* its mailbox was found under another UIDVALIDITY */
    bool wanted;      /* asked to connect, though others could do what there is to do */
    bool warm;        /* asked to connect before there is anything to do */
    bool missed;      /* it carried NOTIFY, and is to connect until it does so again */
    int64_t tried_at; /* when it was last told to connect */
    int64_t up_since;
    bool before_brief;   /* it was up when another one was lost soon after its login */
    int64_t taken_at;    /* when it last took an operation */
    int64_t selected_at; /* when box_name was selected */
    int64_t own_at;      /* when another one last sent a change of it, while it was watched; or 0 */
    int64_t retry_at;    /* no new attempt before */
    int64_t backoff;     /* ms, without jitter; 0: no reason to wait */
    char cipher[80];
    char caps_published[1024];    /* caps.text */
    bool only_personal_published; /* of the same */
    char personal_published[256]; /* connection 0: `personal` of its first session */

    bool watching;           /* it is told of changes in its mailbox as they happen (IDLE) */
    bool notified_published; /* it is, by and by, of changes in all mailboxes (NOTIFY) */
    bool heard;              /* either was so at any time since it was connected */
    bool asking;             /* it waits until its server accepts IDLE */
    bool take_over; /* another one that was told of changes in the same mailbox has left it */

    /* clock_ms(): since when the server has been silent though something is awaited; 0: nothing is.
     * Only its own thread writes it. */
    atomic_llong silent_since;
    atomic_ullong bytes_in, bytes_out, commands, connects, wakeups;
};

/* ---- conn.c ---- */

/* Begins a tagged command of `op` (NULL: nobody waits) and returns the buffer to write it to, for
 * conn_end() to finish and queue. */
struct buf *conn_begin(struct conn *c, struct op *op, int step, enum want want);
void conn_end(struct conn *c);

/* Ends `op` with `err` once its last command is answered; more commands may not be sent for it. */
void conn_finish(struct conn *c, struct op *op, int err);

/* From here on nobody waits for the answers to what was sent for `op`. */
void conn_orphan(struct conn *c, const struct op *op);

/* The connection is gone and with it the answers to commands that nobody waits for. */
void conn_forget_cmds(struct conn *c);

/* The oldest operation in flight that wants this; NULL if none. */
struct op *conn_wanting(struct conn *c, enum want want);

/* Appends `s` as a quoted string. It must not hold CR, LF or NUL. */
void conn_quote(struct buf *out, const char *s);

/* Appends the wire name of a mailbox: as a quoted string, or as a literal where it has bytes that a
 * quoted string may not carry (8-bit, RFC 3501 section 9) and the server takes literals unasked. */
void conn_mailbox(const struct conn *c, struct buf *out, const char *name);

/* May `len` bytes be sent as a literal without asking first (RFC 7888)? */
bool conn_free_literal(const struct conn *c, size_t len);

/* Sends `bytes` (it takes a reference of its own) behind what was written so far, without copying
 * them. One at a time. */
void conn_literal(struct conn *c, struct blob *bytes);

/* Sends what `op` begins with; its mailbox is selected. */
void conn_start(struct conn *c, struct op *op);

/* Is anything awaited? An IDLE that the server has accepted may last. */
bool conn_busy(const struct conn *c);

/* The bytes, which are part of the response being handled, as a blob: a copy, or, when they are the
 * better part of what was read, the very memory. NULL when there is none left. */
struct blob *conn_blob(struct conn *c, struct str bytes);

/* Where conn_blob() gave the memory of what was read away: moves out what is not handled yet. 0, or
 * -ENOMEM. */
int conn_part(struct conn *c);

/* Moves bytes once: sends, waits until `deadline`, reads and handles what came. 0 or -errno; any
 * error means that the connection is lost. */
int conn_pump(struct conn *c, int64_t deadline);

/* Appends to what is sent without a word in the log, also where the server repeats it. */
void conn_secret(struct conn *c, const char *data, size_t len);

/* The body of the thread. */
void *conn_main(void *conn);

/* ---- trace.c: what a human gets to see of it ---- */

/* Writes the first line of what was sent (dir ">") or received ("<") to the debug log. */
void conn_debug(const struct conn *c, const char *dir, const char *data, size_t len);

/* Says in the log that a response makes no sense. */
void conn_passed_over(const struct conn *c, const char *data, size_t len);

/* The human text of a status response, without the secrets that the server repeats in it. Valid
 * until it is called again. Every such text passes through here before anything is done with it. */
struct str conn_words(struct conn *c, struct str text);

/* ---- stall.c ---- */

/* In front of a command; behind what came. */
void stall_begin(struct conn *c);
void stall_heard(struct conn *c);

/* When (clock_ms()) the silence has lasted so long that what waits behind the command in front is
 * passed on to other connections; INT64_MAX: not. */
int64_t stall_deadline(const struct conn *c);
void stall_pass_on(struct conn *c);

/* ---- idle.c ---- */

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

/* ---- box.c: the selected mailbox ---- */

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

/* ---- flow.c ---- */

/* After PARSE_MORE: does a large literal begin whose owner is clear? Then flow_feed() takes it. */
bool flow_begin(struct conn *c);

/* While c->flow.op: takes from c->in what is the literal's. */
void flow_feed(struct conn *c);

/* While c->flow.op, once c->in is empty: where the next bytes go, and at most how many; then, that
 * so many are there. */
char *flow_room(struct conn *c, size_t *want);
void flow_filled(struct conn *c, size_t n);

/* Does whoever gets the bytes want no more of them for now? */
bool flow_held(const struct conn *c);

/* Until when (clock_ms()) that is put up with. Then the stream is ended, and with it, since the
 * rest of the literal can only be read, the connection. */
int64_t flow_patience(const struct conn *c);
void flow_give_up(struct conn *c);

/* The connection is lost. */
void flow_drop(struct conn *c);

/* ---- session.c ---- */

/* From nothing to logged in. 0, or -errno with a sentence in `why`; c->stream is then closed. */
int session_open(struct conn *c, struct buf *why);

/* Forgets all that the server has said of itself and that is in force with it, and what it sent and
 * nobody has looked at: when a session begins or ends, and when TLS begins in its middle. */
void session_forget(struct conn *c);

/* ---- untagged.c ---- */

/* Are `literal` bytes of a message, announced by `row`, what the operation asked for? Then it is
 * those behind the first *skip, at most as many as it still wants: more than zero are skipped where
 * the server ignored the window. */
enum body_fit {
    BODY_FITS,
    BODY_OTHER, /* they are from elsewhere in the message */
    BODY_DOUBT, /* nobody can tell from where */
};
struct fetch_row;
enum body_fit conn_body_fit(struct conn *c, const struct op *op, const struct fetch_row *row,
                            size_t literal, size_t *skip);

/* Handles an untagged response. 0, or -errno to drop the connection. */
int untagged_handle(struct conn *c, const struct response *r);

/* Acts on the response code of a status response; `op`: whose tagged answer it is, or NULL. */
void untagged_code(struct conn *c, struct op *op, const struct response *r);

/* ---- exec.c, exec_*.c: what each kind of operation sends ---- */

/* What may be done with an operation whose connection was lost under it. */
enum op_retry {
    RETRY_REPEAT, /* ask again: it changes nothing, or the same change twice is one */
    RETRY_SETTLE, /* look first what happened, then answer or repeat: its start() sees `resumed` */
    RETRY_NEVER,  /* answer that it failed: nobody can tell whether it was done */
};

struct op_class {
    enum op_retry retry;
    bool select; /* needs its mailbox selected */
    bool write;  /* ... with SELECT */
    bool lists;  /* opens it for writing where it is to be opened: what is listed is changed next */
    bool body;   /* moves message bytes: kept off the connection that lists */
    bool searches; /* may send SEARCH, whose answers do not say whom they are for: one at a time */
    bool alone;    /* nothing else is under way on its connection meanwhile */
    void (*start)(struct conn *c, struct op *op);
    void (*answered)(struct conn *c, struct op *op, int step, const struct response *r);
    void (*go_on)(struct conn *c, struct op *op); /* of WANT_GO_ON; NULL: it has none */
};

const struct op_class *op_class(const struct op *op);

/* Does it change nothing, so that it can be asked twice, and broken off before an unmount? */
bool op_only_asks(const struct op *op);

#endif
