/* Operations that change mailboxes, a struct for each kind. Nothing is answered but whether they
 * succeeded. */
#ifndef IMAP_EXEC_OP_MAILBOX_H
#define IMAP_EXEC_OP_MAILBOX_H

#include "imap/exec/op_kinds.h"
#include "imap/wire/uidset.h"

struct op_create {
    struct op op;
};

/* Of a mailbox that holds nothing but the UIDs in `spare`. */
struct op_remove {
    struct op op;
    char delim;          /* the hierarchy delimiter; 0: NIL */
    struct uidset spare; /* UIDs this mount deleted that are only flagged so far */
};

struct op_rename {
    struct op op;
    char *dest; /* wire name; owned */
    char delim; /* as of op_remove */
};

struct op_create *op_create_new(const char *mailbox);
struct op_remove *op_remove_new(const char *mailbox, uint32_t uidvalidity, char delim);
struct op_rename *op_rename_new(const char *mailbox, const char *dest, char delim);

OP_AS(create, OP_CREATE)
OP_AS(remove, OP_REMOVE)
OP_AS(rename, OP_RENAME)

#endif
