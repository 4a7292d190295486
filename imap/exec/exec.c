#include "imap/exec/exec.h"

#include <errno.h>

#include "imap/base/clock.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/op_read.h"

const struct op_class *op_class(const struct op *op)
{
#define CLASS(kind, name) [OP_##kind] = &exec_##name,
    static const struct op_class *const classes[OP_KINDS] = {OP_KINDS_OF(CLASS)};
#undef CLASS
    return classes[op->kind];
}

bool op_only_asks(const struct op *op)
{
    return op_class(op)->retry == RETRY_REPEAT && !op_class(op)->write;
}

bool op_writes(const struct op *op)
{
    return op_class(op)->write || (op->kind == OP_BODY && op_as_body(op)->mark_seen);
}

uint32_t op_highest_uid(const struct op *op)
{
    const struct uidset *uids = op_class(op)->uids ? op_class(op)->uids(op) : NULL;
    if (uids)
        return uids->n ? uids->r[uids->n - 1].hi : 0;
    return op->kind == OP_BODY ? op_as_body(op)->uid : 0;
}

void op_end(struct op *op)
{
    if (op_class(op)->end)
        op_class(op)->end(op);
}

bool exec_once_more(bool *again)
{
    bool first = !*again;
    *again = true;
    return first;
}

bool exec_too_early(const struct conn *c, const struct op *op)
{
    return op->lost_at && clock_ms() < op->lost_at + pool_config(c->pool)->settle;
}

void exec_later(struct conn *c, struct op *op)
{
    op->due = op->lost_at + pool_config(c->pool)->settle;
    conn_finish(c, op, -EINPROGRESS);
}
