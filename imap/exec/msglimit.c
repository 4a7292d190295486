#include "imap/exec/msglimit.h"

#include <string.h>

#include "imap/base/limits.h"
#include "imap/wire/outcome.h"

void msglimit_begin(struct op *op)
{
    op->below = 0;
    op->parts = 0;
}

/* The UIDs in op->text that are below op->below. */
static void left(const struct op *op, struct uidset *set)
{
    const char *text = op->text;
    size_t n = strlen(text);
    bool open = n > 2 && strcmp(text + n - 2, ":*") == 0;
    struct uidset asked = {0};
    if (uidset_parse(&asked, text, open ? n - 2 : n) != 0)
        return;
    if (open)
        uidset_add(&asked, asked.r[0].lo, UINT32_MAX);
    for (size_t i = 0; i < asked.n && asked.r[i].lo < op->below; i++) {
        uint32_t hi = asked.r[i].hi < op->below ? asked.r[i].hi : op->below - 1;
        uidset_add(set, asked.r[i].lo, hi);
    }
    uidset_free(&asked);
}

void msglimit_uids(const struct op *op, struct buf *out)
{
    struct uidset set = {0};
    if (op->below)
        left(op, &set);
    if (set.n)
        uidset_text(&set, out);
    else
        buf_adds(out, op->text);
    uidset_free(&set);
}

void msglimit_keys(const struct op *op, struct buf *out)
{
    if (op->below)
        buf_addf(out, "UID 1:%u ", op->below - 1);
    buf_adds(out, op->text);
}

/* The lowest UID that was dealt with; 0: the server does not say. */
static uint32_t lowest(const struct response *r)
{
    uint64_t uid;
    bool said = r->code_args && arg_number(r->code_args->next, UINT32_MAX, &uid);
    return said ? (uint32_t)uid : 0;
}

bool msglimit_partial(const struct response *r)
{
    return r->cond == COND_OK && code_from_name(r->code) == CODE_MESSAGELIMIT && lowest(r) != 1;
}

bool msglimit_more(struct op *op, const struct response *r)
{
    uint32_t uid = msglimit_partial(r) ? lowest(r) : 0;
    if (!uid || (op->below && uid >= op->below) || op->parts == LIMIT_PARTS)
        return false;
    op->parts++;
    op->below = uid;
    struct uidset set = {0};
    if (op->kind != OP_SEARCH)
        left(op, &set);
    bool more = op->kind == OP_SEARCH || set.n > 0;
    uidset_free(&set);
    return more;
}
