#include "imap/conn/op.h"

#include <stdlib.h>

#include "imap/base/mem.h"

struct op *op_new(enum op_kind kind, const char *mailbox, uint32_t uidvalidity)
{
    struct op *op = mem_zalloc(sizeof *op);
    op->kind = kind;
    op->mailbox = mailbox ? mem_strdup(mailbox) : NULL;
    op->uidvalidity = uidvalidity;
    return op;
}

void op_free(struct op *op)
{
    if (!op)
        return;
    free(op->mailbox);
    free(op->dest);
    free(op->text);
    free(op->arrival.id);
    blob_unref(op->bytes);
    uidset_free(&op->uids);
    uidset_free(&op->spare);
    uidset_free(&op->found);
    free(op);
}
