#include "imap/op.h"

#include <stdlib.h>

#include "imap/mem.h"

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

const char *op_name(const struct op *op)
{
    static const char *const names[OP_KINDS] = {
        [OP_LIST] = "LIST",     [OP_CHECK] = "CHECK",   [OP_META] = "META",
        [OP_FLAGS] = "FLAGS",   [OP_SEARCH] = "SEARCH", [OP_BODY] = "BODY",
        [OP_BODIES] = "BODIES", [OP_HEADER] = "HEADER", [OP_MOVE] = "MOVE",
        [OP_COPY] = "COPY",     [OP_DELETE] = "DELETE", [OP_STORE] = "STORE",
        [OP_CREATE] = "CREATE", [OP_REMOVE] = "REMOVE", [OP_RENAME] = "RENAME",
        [OP_QUOTA] = "QUOTA",   [OP_APPEND] = "APPEND",
    };
    return names[op->kind];
}
