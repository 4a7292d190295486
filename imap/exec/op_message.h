/* Operations that change messages, a struct for each kind: what is asked, and what is answered of
 * each UID. They take sets; the caller keeps a set so short that a command can have it. What is
 * answered holds whether or not there is an error, which is that of the first UID that failed. */
#ifndef IMAP_EXEC_OP_MESSAGE_H
#define IMAP_EXEC_OP_MESSAGE_H

#include "imap/base/blob.h"
#include "imap/exec/op_kinds.h"
#include "imap/wire/flags.h"
#include "imap/wire/uidmap.h"

/* Messages to another mailbox. No error: all of them are there, and `gone` or `flagged` here. */
struct op_move {
    struct op op;
    struct uidset uids;
    char *dest; /* wire name; owned */
    /* All that is known of `dest`, whose UIDs are below the one, under the other; 0: not known. */
    uint32_t dest_uidnext, dest_uidvalidity;
    struct uidset spare; /* UIDs this mount deleted that are only flagged so far */

    struct uidset gone;    /* they are not here any more */
    struct uidset flagged; /* they are flagged \Deleted, and still here */
    struct uidmap copies;  /* which UIDs they have there, as far as the server said so */
    uint32_t copies_validity;
};

/* Messages to another mailbox, where they stay here as well. */
struct op_copy {
    struct op op;
    struct uidset uids;
    char *dest; /* wire name; owned */

    struct uidset copied;
    struct uidmap copies; /* as of op_move */
    uint32_t copies_validity;
};

struct op_delete {
    struct op op;
    struct uidset uids;
    struct uidset spare; /* as of op_move */

    struct uidset gone;    /* they are not there any more */
    struct uidset flagged; /* they are flagged \Deleted, and still there */
};

struct op_store {
    struct op op;
    struct uidset uids;
    struct flag_change change;

    struct uidset stored;
};

/* A message to the mailbox. */
struct op_append {
    struct op op;
    struct blob *bytes; /* a reference of the operation's */
    char *flags;        /* names, a space between two; NULL: none; owned */
    int64_t date;       /* INTERNALDATE, seconds since 1970 */

    uint32_t new_uid; /* 0: the server did not say (no APPENDUID, RFC 4315) */
    uint32_t new_uidvalidity;
};

struct op_move *op_move_new(const char *mailbox, uint32_t uidvalidity, const char *dest);
struct op_copy *op_copy_new(const char *mailbox, uint32_t uidvalidity, const char *dest);
struct op_delete *op_delete_new(const char *mailbox, uint32_t uidvalidity);
struct op_store *op_store_new(const char *mailbox, uint32_t uidvalidity);

/* Takes over the reference. */
struct op_append *op_append_new(const char *mailbox, struct blob *bytes);

OP_AS(move, OP_MOVE)
OP_AS(copy, OP_COPY)
OP_AS(delete, OP_DELETE)
OP_AS(store, OP_STORE)
OP_AS(append, OP_APPEND)

#endif
