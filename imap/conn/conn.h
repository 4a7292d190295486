/* One connection: its thread, its socket, its parser, its selected mailbox. Internal to imap/.
 *
 * Only the connection's own thread touches a struct conn, but for the fields that say otherwise.
 * Connecting and login (session.c) are straight-line code; then conn_serve() moves commands out and
 * responses in until the connection ends. */
#ifndef IMAP_CONN_CONN_H
#define IMAP_CONN_CONN_H

#include <pthread.h>
#include <stdatomic.h>

#include "imap/conn/box.h"
#include "imap/conn/cmd.h"
#include "imap/conn/config.h"
#include "imap/conn/endless.h"
#include "imap/conn/flow.h"
#include "imap/conn/idle.h"
#include "imap/conn/secrets.h"
#include "imap/conn/stream.h"
#include "imap/wire/caps.h"
#include "imap/wire/frame.h"
#include "imap/wire/outcome.h"

/* A literal being sent: it goes out behind the first `pos` bytes of conn.out. */
struct outgoing {
    struct blob *bytes; /* NULL: none; a reference */
    size_t pos, at;     /* at: bytes of it already sent */
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

#endif
