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
#include "imap/frame.h"
#include "imap/outcome.h"
#include "imap/pool.h"
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
    WANT_SELECTED
};

/* The step of the SELECT that conn.c sends in front of an operation's own commands. */
enum { STEP_SELECT = -1 };

struct cmd {
    struct cmd *prev, *next;
    unsigned tag;
    struct op *op; /* NULL: nobody waits for the answer */
    int step;      /* the operation's own number for it */
    enum want want;
    char *select; /* STEP_SELECT: the mailbox */
};

/* The selected mailbox. */
struct box {
    char *name;         /* wire name; NULL: none */
    bool write;         /* SELECT, not EXAMINE */
    bool ready;         /* the SELECT was answered */
    bool just_selected; /* ... just now, for the operation being started */
    bool fresh;         /* ... and no OP_CHECK has told so yet */
    bool read_only;     /* the server said READ-ONLY */
    struct mailbox_state state;
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
    struct buf out;
    size_t out_at; /* start of what is not yet sent */
    struct frame frame;
    struct arena arena;
    struct caps caps;
    struct box box;
    struct cmd *cmds; /* in flight, in the order sent */
    unsigned ncmds;
    unsigned tag;
    size_t cmd_start;     /* in `out`, of the command being built */
    struct op *selecting; /* waits for its SELECT; nothing else is started meanwhile */
    struct reply reply;
    const char *fault; /* what the server did that ended the session before login; or NULL */
    bool greeted;
    enum resp_cond greeting;
    bool bye;              /* the server said so */
    bool logout;           /* we did */
    bool no_intro;         /* this server hangs up when asked ID or NAMESPACE */
    char personal[256];    /* the personal namespace's prefix */
    int64_t last_progress; /* clock_ms() of the last byte received, or of work begun when idle */

    /* Under the pool's lock: what the others need to know of this one. */
    enum { CONN_DOWN, CONN_CONNECTING, CONN_UP } status;
    char *box_name; /* of box.name; NULL: none */
    bool box_write;
    unsigned load;     /* operations taken and not finished */
    unsigned searches; /* ... that may send SEARCH */
    bool alone;        /* one of them wants to be alone */
    bool release;      /* asked to let go of its mailbox */
    bool wanted;       /* asked to connect, though others could do what there is to do */
    int64_t up_since;
    int64_t retry_at; /* no new attempt before */
    int64_t backoff;  /* ms; 0: the last attempt succeeded, or there was none */
    unsigned early;   /* deaths in a row soon after connecting */
    char cipher[80];
    char caps_published[1024];    /* caps.text */
    char personal_published[256]; /* connection 0: `personal` of its first session */

    bool hold;    /* after the awaited answer not one byte more is looked at */
    bool serving; /* logged in: conn_pump() also returns when woken */

    atomic_ullong bytes_in, bytes_out, commands, connects;
};

/* ---- conn.c ---- */

/* Begins a tagged command of `op` (NULL: nobody waits) and returns the buffer to write it to, for
 * conn_end() to finish and queue. */
struct buf *conn_begin(struct conn *c, struct op *op, int step, enum want want);
void conn_end(struct conn *c);

/* Ends `op` with `err` once its last command is answered; more commands may not be sent for it. */
void conn_finish(struct conn *c, struct op *op, int err);

/* Leaves the selected mailbox without expunging anything, if it is `mailbox` or below it. */
void conn_deselect(struct conn *c, const char *mailbox, char delim);

/* Leaves whatever mailbox is selected on the server, without expunging anything. */
void conn_leave_box(struct conn *c);

/* Notes that no mailbox is selected any more, because of a command that is about to be sent. */
void conn_forget_box(struct conn *c);

/* The oldest operation in flight that wants this; NULL if none. */
struct op *conn_wanting(struct conn *c, enum want want);

/* Appends `s` as a quoted string. It must not hold CR, LF or NUL. */
void conn_quote(struct buf *out, const char *s);

/* Moves bytes once: sends, waits until `deadline`, reads and handles what came. 0 or -errno; any
 * error means that the connection is lost. */
int conn_pump(struct conn *c, int64_t deadline);

/* Appends to what is sent without a word in the log. */
void conn_secret(struct conn *c, const char *data, size_t len);

/* The body of the thread. */
void *conn_main(void *conn);

/* Writes one line to the debug log. */
void conn_debug(struct conn *c, const char *dir, const char *data, size_t len);

/* ---- session.c ---- */

/* From nothing to logged in. 0, or -errno with a sentence in `why`; c->stream is then closed. */
int session_open(struct conn *c, struct buf *why);

/* ---- untagged.c ---- */

/* Handles an untagged response. 0, or -errno to drop the connection. */
int untagged_handle(struct conn *c, const struct response *r);

/* Acts on the response code of a status response; `op`: whose tagged answer it is, or NULL. */
void untagged_code(struct conn *c, struct op *op, const struct response *r);

/* ---- exec.c, exec_read.c, exec_change.c: what each kind of operation sends ---- */

/* What may be done with an operation whose connection was lost under it. */
enum op_retry {
    RETRY_REPEAT, /* ask again: it changes nothing, or the same change twice is one */
    RETRY_SETTLE, /* look first what happened, then answer or repeat: its start() sees attempts > 0
                   */
    RETRY_NEVER,  /* answer that it failed: nobody can tell whether it was done */
};

struct op_class {
    enum op_retry retry;
    bool select;   /* needs its mailbox selected */
    bool write;    /* ... with SELECT */
    bool body;     /* moves message bytes: kept off the connection that lists */
    bool searches; /* may send SEARCH, whose answers do not say whom they are for: one at a time */
    bool alone;    /* nothing else is under way on its connection meanwhile */
    void (*start)(struct conn *c, struct op *op);
    void (*answered)(struct conn *c, struct op *op, int step, const struct response *r);
};

const struct op_class *op_class(const struct op *op);

#endif
