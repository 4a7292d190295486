/* Operations that change nothing on the server, a struct for each kind: what is asked, and what is
 * answered. A constructor copies the mailbox's wire name; the rest of what is asked the caller
 * fills in before pool_submit(), and owns nothing of it from then on. */
#ifndef IMAP_EXEC_OP_READ_H
#define IMAP_EXEC_OP_READ_H

#include "imap/base/blob.h"
#include "imap/exec/op_kinds.h"
#include "imap/wire/response.h"
#include "imap/wire/uidset.h"

/* All mailboxes. */
struct op_list {
    struct op op;
    /* Of each, on the connection's thread, no lock held; strings are borrowed for the call. Returns
     * whether the mailbox had not been named before. */
    bool (*on_list)(struct op_list *l, struct str name, char delim, const struct arg *attrs);
};

/* What is new in the mailbox: by SELECT or EXAMINE, or by NOOP when it is selected. */
struct op_check {
    struct op op;
    uint64_t modseq; /* known already, under this UIDVALIDITY; 0: nothing is */
    uint32_t modseq_validity;
    bool thorough; /* of a selected mailbox STATUS is asked, too: another may be in its place */
    bool changed;  /* so is it, but only where the server would not say so */

    struct mailbox_state state;
};

/* The metadata of messages -> events.row */
struct op_meta {
    struct op op;
    char *uids;   /* a set, or "5:*"; owned */
    bool refresh; /* what arrived before it was submitted must be seen, also by a connection that
                   * has not heard of it yet */
};

/* The flags of messages -> events.row */
struct op_flags {
    struct op op;
    char *uids;      /* a set, or "5:*"; owned */
    uint64_t modseq; /* only what has changed since; 0: all */
};

/* Which messages match, RFC 3501 section 6.4.4. */
struct op_search {
    struct op op;
    char *keys;   /* owned */
    bool refresh; /* as of op_meta */

    struct uidset found;
};

/* Bytes of a message. -EAGAIN: what the server sent was no such window, so the message is to be
 * asked for whole. */
struct op_body {
    struct op op;
    uint32_t uid;
    uint64_t off;   /* 0 if `whole` */
    uint32_t len;   /* the most that is taken */
    bool whole;     /* not a window */
    bool stream;    /* all that is left of a large message. Nothing else is begun on its connection,
                     * so that it may be held; after a lost one it goes on where that ended; and it
                     * may end before its time, with -ECANCELED */
    bool mark_seen; /* BODY[] instead of BODY.PEEK[] */
    /* On the connection's thread, no lock held. `bytes` is a reference of the callee's, or NULL
     * when there was no memory for them; `at` is where they begin in what was asked for, since they
     * may come in pieces, one behind the other, and from the start again after a lost connection.
     */
    void (*on_bytes)(struct op_body *b, size_t at, struct blob *bytes);
    /* Of a stream, its caller's at any time until `done`: there is enough for now, and no byte more
     * is read; pool_resume() ends that. */
    atomic_bool hold;
    /* When the caller last came on (clock_ms()): long ago while it is held, the stream ends. */
    atomic_llong used_at;

    bool pieces; /* the bytes came while the server was still sending */
};

/* The beginnings of messages, of each at most `len` bytes. */
struct op_bodies {
    struct op op;
    struct uidset uids; /* in the end, those that have not come */
    uint32_t len;
    void (*on_bytes)(struct op_bodies *b, uint32_t uid, struct blob *bytes); /* as of op_body */
};

/* Header fields of messages. */
struct op_header {
    struct op op;
    struct uidset uids; /* in the end, those that have not come */
    char *fields;       /* names, a space between two; owned */
    void (*on_bytes)(struct op_header *h, uint32_t uid, struct blob *bytes); /* as of op_body */
};

/* The quota of the mailbox. */
struct op_quota {
    struct op op;

    uint64_t used, limit; /* KiB; limit 0: none */
};

struct op_list *op_list_new(void);
struct op_check *op_check_new(const char *mailbox); /* of whatever UIDVALIDITY */
struct op_meta *op_meta_new(const char *mailbox, uint32_t uidvalidity, char *uids);
struct op_flags *op_flags_new(const char *mailbox, uint32_t uidvalidity, char *uids);
struct op_search *op_search_new(const char *mailbox, uint32_t uidvalidity, char *keys);
struct op_body *op_body_new(const char *mailbox, uint32_t uidvalidity);
struct op_bodies *op_bodies_new(const char *mailbox, uint32_t uidvalidity);
struct op_header *op_header_new(const char *mailbox, uint32_t uidvalidity, char *fields);
struct op_quota *op_quota_new(const char *mailbox);

OP_AS(list, OP_LIST)
OP_AS(check, OP_CHECK)
OP_AS(meta, OP_META)
OP_AS(flags, OP_FLAGS)
OP_AS(search, OP_SEARCH)
OP_AS(body, OP_BODY)
OP_AS(bodies, OP_BODIES)
OP_AS(header, OP_HEADER)
OP_AS(quota, OP_QUOTA)

#endif
