/* One thing asked of the server: what, in which mailbox, and whom to tell. An operation becomes one
 * or several commands on one connection, and is repeated or settled when that connection is lost.
 */
#ifndef IMAP_CONN_OP_H
#define IMAP_CONN_OP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* All kinds, each with the name of its class (exec_list). What each asks and answers:
 * exec/op_read.h, exec/op_message.h, exec/op_mailbox.h. */
#define OP_KINDS_OF(X)                                                                             \
    X(LIST, list)                                                                                  \
    X(CHECK, check)                                                                                \
    X(META, meta)                                                                                  \
    X(FLAGS, flags)                                                                                \
    X(SEARCH, search)                                                                              \
    X(BODY, body)                                                                                  \
    X(BODIES, bodies)                                                                              \
    X(HEADER, header)                                                                              \
    X(MOVE, move)                                                                                  \
    X(COPY, copy)                                                                                  \
    X(APPEND, append)                                                                              \
    X(DELETE, delete)                                                                              \
    X(STORE, store)                                                                                \
    X(CREATE, create)                                                                              \
    X(REMOVE, remove)                                                                              \
    X(RENAME, rename)                                                                              \
    X(QUOTA, quota)

#define OP_ENUM(kind, name) OP_##kind,
enum op_kind { OP_KINDS_OF(OP_ENUM) OP_KINDS };
#undef OP_ENUM

/* What is said to have changed in a mailbox, where no UID tells it. */
enum pool_change { CHANGE_EXISTS = 1, CHANGE_EXPUNGE = 2, CHANGE_FLAGS = 4, CHANGE_POLL = 8 };

/* A mailbox as one connection sees it. */
struct mailbox_state {
    uint32_t uidvalidity; /* 0: the server did not say */
    uint32_t uidnext;     /* at the time of SELECT; 0: the server did not say */
    uint32_t exists;
    uint64_t modseq; /* HIGHESTMODSEQ at the time of SELECT; 0: none */
    bool current;    /* that was just now, so no UID is above uidnext that was given out before */
    bool fresh;      /* by SELECT, so what was told unasked before is not all; else by NOOP */
    bool resynced;   /* the SELECT told all that had changed since op_check.modseq (RFC 7162) */
};

/* Bytes behind each operation for its progress: of such as only read, and of those that change
 * messages. */
enum { OP_PROGRESS = 128, OP_PROGRESS_CHANGE = 1024 };

/* What all kinds have in common, the first member of each kind's own struct. */
struct op {
    struct op *prev, *next; /* in the pool's queue */
    enum op_kind kind;
    char *mailbox;        /* wire name; NULL where the kind needs none; owned */
    uint32_t uidvalidity; /* what the caller's UIDs were learnt under; 0: any. Else -> -ESTALE */
    bool background;      /* read-ahead: waits for everything else */
    bool patient; /* nobody waits for it: it stays queued until there is a connection, however
                   * long that takes; until pool_hurry() */

    /* Whom to tell, on the connection's thread, no lock held: exactly once, last, and the operation
     * is the callee's to op_free(). */
    void (*done)(struct op *op);
    void *ctx;
    uint64_t cookie; /* the caller's own */
    int err;         /* 0 or -errno */

    /* How far it got, which survives a lost connection: the file's that executes it, of zeros
     * before its first start(), and over with op_end(). */
    void *progress;
    bool apart; /* begun anew, it wants its connection for itself: it may look into another mailbox
                 */

    /* The pool's and the connection's own. */
    atomic_bool sent;   /* it is on its way to the server */
    int64_t submitted;  /* clock_ms(); or when the connection that was lost under it last moved */
    int64_t due;        /* clock_ms(): not before; 0: at once */
    int64_t pause;      /* ms: the last one, after the server was unwilling */
    int64_t held;       /* ms waited because the server asked for so much */
    bool resumed;       /* begun before: by a connection that was lost, or an unwilling server */
    int64_t lost_at;    /* clock_ms(): when a connection was last lost under it; 0: never */
    unsigned attempts;  /* connections lost under it */
    unsigned passed_on; /* times it was taken back from a connection whose server was silent */
    unsigned carrier;   /* under the pool's lock: the connection that has it, its index plus one */
    bool timed_out;     /* a connection was given up under it, since the server was silent */
};

#endif
