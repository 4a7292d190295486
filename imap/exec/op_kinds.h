/* What the structs of all kinds of operations share: each begins with a struct op, and is what its
 * kind says. */
#ifndef IMAP_EXEC_OP_KINDS_H
#define IMAP_EXEC_OP_KINDS_H

#include <assert.h>

#include "imap/conn/op.h"

/* op_as_body() and the like: the operation as what it is. */
#define OP_AS(name, is)                                                                            \
    static inline struct op_##name *op_as_##name(const struct op *op)                              \
    {                                                                                              \
        assert(op->kind == (is));                                                                  \
        return (struct op_##name *)op;                                                             \
    }

/* Frees the operation and what it owns, of whichever kind; NULL is allowed. */
void op_free(struct op *op);

#endif
