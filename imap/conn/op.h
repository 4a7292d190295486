/* One thing asked of the server: what, in which mailbox, and whom to tell. An operation becomes one
 * or several commands on one connection, and is repeated or settled when that connection is lost.
 */
#ifndef IMAP_CONN_OP_H
#define IMAP_CONN_OP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "imap/base/blob.h"
#include "imap/wire/response.h"
#include "imap/wire/uidset.h"

enum op_kind {
    OP_LIST,   /* all mailboxes -> on_list */
    OP_CHECK,  /* what is new in `mailbox` (SELECT/EXAMINE, or NOOP when selected) -> state */
    OP_META,   /* metadata of the UIDs in `text` -> events.row */
    OP_FLAGS,  /* flags of the UIDs in `text`, changed since `modseq` if not 0 -> events.row */
    OP_SEARCH, /* UIDs matching `text`, RFC 3501 section 6.4.4 -> found */
    OP_BODY, /* `len` bytes at `off` of message `uid`, or all of it if `whole` -> on_bytes. -EAGAIN:
              * what the server sent was no such window, so the message is to be asked for whole */
    OP_BODIES, /* the first `len` bytes of each of the messages `uids` -> on_bytes */
    OP_HEADER, /* the header fields `text` of each of the messages `uids` -> on_bytes */
    OP_MOVE,   /* message `uid` to `dest` -> new_uid */
    OP_COPY,   /* message `uid` to `dest` -> new_uid */
    OP_APPEND, /* `bytes` to `mailbox`, with the flags `text` and the date `date` -> new_uid */
    OP_DELETE, /* message `uid` -> expunged */
    OP_STORE,  /* flags of message `uid`: `text` is "+FLAGS (\Seen)" and the like */
    OP_CREATE, /* mailbox `mailbox` */
    OP_REMOVE, /* mailbox `mailbox`, if it holds nothing but the UIDs in `spare` */
    OP_RENAME, /* mailbox `mailbox` to `dest` */
    OP_QUOTA,  /* of `mailbox` -> quota_used, quota_limit */
    OP_KINDS,
};

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
    bool resynced;   /* the SELECT told all that had changed since op.modseq (RFC 7162) */
};

/* What is known of a message on its way into a mailbox, and of that mailbox (arrival.h). */
struct arrival {
    bool known;    /* these two are: */
    char *id;      /* Message-ID with its brackets; NULL: none to search for; owned */
    uint64_t size; /* RFC822.SIZE */
    bool repeated; /* it did not arrive, and was sent once more */
    uint32_t uidnext, uidvalidity; /* of the mailbox before; 0: the server did not say */
    uint32_t uidnext_now;          /* of the mailbox when it was looked into; 0: likewise */
    uint32_t uid;                  /* of a message there that has the Message-ID */
    unsigned rows;                 /* messages there since */
    bool doubt;                    /* one of them cannot be told apart */
};

struct op {
    enum op_kind kind;
    bool background; /* read-ahead: waits for everything else */
    bool patient;    /* nobody waits for it: it stays queued until there is a connection, however
                      * long that takes; until pool_hurry() */
    bool stream;     /* OP_BODY: all that is left of a large message. Nothing else is begun on its
                      * connection, so that it may be held; after a lost one it goes on where that
                      * ended; and it may end before its time, with -ECANCELED */

    bool whole; /* OP_BODY: not a window; `off` is 0 and `len` the most that is taken */

    /* The request; strings are owned. */
    char *mailbox;        /* wire name; NULL where the kind needs none */
    uint32_t uidvalidity; /* what the caller's UIDs were learnt under; 0: any. Else -> -ESTALE */
    char *dest;           /* wire name */
    /* OP_MOVE: all that is known of `dest`, whose UIDs are below the one, under the other; 0: it is
     * not known. */
    uint32_t dest_uidnext, dest_uidvalidity;
    char *text;
    uint32_t uid;
    uint64_t off;
    uint32_t len;
    struct uidset uids; /* OP_BODIES, OP_HEADER: those that have not come yet */
    uint64_t modseq;
    uint32_t modseq_validity; /* OP_CHECK: the UIDVALIDITY that `modseq` was learnt under */
    struct blob *bytes;       /* OP_APPEND: the message; a reference of the operation's */
    int64_t date;             /* OP_APPEND: INTERNALDATE, seconds since 1970 */
    /* OP_CHECK of a mailbox that is selected: beside it STATUS is asked, since another one may have
     * been made in its place; `changed`: only where the server would not say so. */
    bool thorough, changed;
    bool refresh; /* OP_META, OP_SEARCH: what arrived before it was submitted must be seen, also by
                     a connection that has not heard of it yet */
    bool mark_seen;      /* OP_BODY: BODY[] instead of BODY.PEEK[] */
    char delim;          /* OP_REMOVE, OP_RENAME: the hierarchy delimiter, 0 for NIL */
    struct uidset spare; /* UIDs this mount deleted that are only flagged so far */

    /* Of a stream, its caller's at any time until `done`: he has enough for now, and no byte more
     * is read; pool_resume() ends that. When he last came on (clock_ms()): if that is long ago
     * while it is held, the stream ends. */
    atomic_bool hold;
    atomic_llong used_at;

    /* Whom to tell: on the connection's thread, no lock held, strings borrowed for the call.
     * `done` comes exactly once, last, and the operation is the callee's to op_free(). `bytes` is a
     * reference of the callee's, or NULL when there was no memory for them; `at` is where they
     * begin in what was asked for, since those of OP_BODY may come in pieces, one behind the other,
     * and from the start again after a lost connection. `on_list` returns whether the mailbox had
     * not been named before. */
    bool (*on_list)(struct op *op, struct str name, char delim, const struct arg *attrs);
    void (*on_bytes)(struct op *op, uint32_t uid, size_t at, struct blob *bytes);
    void (*done)(struct op *op);
    void *ctx;
    uint64_t cookie; /* the caller's own */

    /* The answer. */
    int err; /* 0 or -errno */
    struct mailbox_state state;
    struct uidset found;
    uint32_t new_uid; /* 0: the server did not say (no COPYUID, RFC 4315) */
    uint32_t new_uidvalidity;
    bool expunged; /* OP_DELETE, OP_MOVE; false: it is flagged \Deleted and still there */
    bool got;      /* on_bytes was called; of a SEARCH: the server said what it found */
    bool pieces;   /* OP_BODY: its bytes came while the server was still sending */
    uint64_t quota_used, quota_limit; /* KiB; limit 0: none */

    /* The pool's and the connection's own. */
    struct op *prev, *next;
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
    uint32_t passed;    /* of a stream: bytes that were handed on */
    bool timed_out;     /* a connection was given up under it, since the server was silent */
    bool again;         /* asked a second time, since the server may not have seen what is new */
    uint32_t below;     /* UIDs from here on were dealt with (msglimit.h); 0: none */
    unsigned parts;     /* answers after which some were left */
    int phase;          /* of the kind's own steps; survives a lost connection */
    int fail;           /* first error of its commands, kept until the last is answered */
    uint64_t count;  /* of STATUS: messages there; of OP_CHECK: messages here when it was asked, or
                        as STATUS said; of OP_MOVE, OP_DELETE: expunges seen; where `refresh`:
                        box.changes as of the first answer */
    bool by_copy;    /* OP_MOVE: by COPY and deletion */
    bool unsure;     /* OP_MOVE, OP_CREATE, OP_REMOVE, OP_RENAME: the answer to one was lost, so it
                      * may be done at any time */
    uint32_t number; /* OP_MOVE, OP_DELETE: the message's sequence number by now; 0: not known */
    bool own;        /* OP_MOVE, OP_DELETE: an EXPUNGE was taken for its own, and not told */
    bool own_flag; /* OP_DELETE: if it is \Deleted, then by its STORE; it was seen without before */
    bool apart;    /* wants its connection for itself: it may look into another mailbox */
    struct arrival arrival;
    unsigned saw; /* OP_SAW_... bits */
};

/* What the answers to an operation's commands have shown. */
enum {
    OP_SAW_MAILBOX = 1,  /* LIST had op->mailbox, as one that holds messages */
    OP_SAW_DEST = 2,     /* LIST had op->dest */
    OP_SAW_BELOW = 4,    /* LIST had something below op->mailbox */
    OP_SAW_LEVEL = 16,   /* LIST had op->mailbox, as a level that holds no messages */
    OP_SAW_MESSAGE = 32, /* the message was seen before it was moved; of OP_STORE, a row named it */
    OP_SAW_COUNT = 8,    /* STATUS had MESSAGES */
    OP_SAW_VANISHED = 64, /* VANISHED named the message, or EXPUNGE its number */
    OP_SAW_FLAGS = 128,   /* a row told the message's flags */
    OP_SAW_THERE = 256,   /* a row named the message since it was looked for */
    OP_SAW_DELETED = 512, /* such a row had it as \Deleted */
    OP_SAW_OTHER = 1024,  /* of OP_BODY: bytes of the message came, and not those asked for */
};

/* Copies `mailbox` (NULL allowed). */
struct op *op_new(enum op_kind kind, const char *mailbox, uint32_t uidvalidity);
void op_free(struct op *op);

#endif
