#include "imap/exec/search.h"

#include <errno.h>
#include <stdio.h>

#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/exec/msglimit.h"

void search_begin(struct search *s)
{
    uidset_free(&s->found);
    s->said = s->part = false;
}

int search_error(const struct search *s, const struct response *r)
{
    return s->said && !msglimit_partial(r) ? 0 : -EIO;
}

static struct log_limit strange = LOG_LIMIT("answers to SEARCH that are none");

static int found(const struct conn *c, struct op *op, const char *text, size_t len)
{
    struct search *s = op_class(op)->search(op);
    if (!s->part)
        s->changes = c->box.changes;
    int err = len ? uidset_parse(&s->found, text, len) : 0;
    if (!err && s->found.n > UIDSET_MAX_RANGES)
        err = -E2BIG; /* all its answers together */
    s->said = err == 0;
    if (err && err != -ENOMEM && log_may(&strange))
        log_warn("%s: a SEARCH answer that is not a set of UIDs", op->mailbox);
    return err == -ENOMEM ? err : err ? -EPROTO : 0;
}

/* SEARCH 2 84 882 */
int search_on_search(struct conn *c, const struct response *r)
{
    struct op *op = conn_wanting(c, WANT_SEARCH);
    if (!op)
        return 0;
    struct buf set = {0};
    for (const struct arg *a = r->args; a; a = a->next) {
        uint64_t n;
        if (a->type == ARG_LIST)
            continue; /* (MODSEQ 917162500) */
        if (!arg_number(a, UINT32_MAX, &n) || n == 0) {
            /* Half an answer must not pass for a whole one: something may be deleted upon it. */
            if (log_may(&strange))
                log_warn("%s: a SEARCH answer that is not a list of UIDs", op->mailbox);
            buf_free(&set);
            return 0;
        }
        if (!buf_try(&set, a->s.n + 1)) {
            buf_free(&set);
            return -ENOMEM;
        }
        if (set.len)
            buf_addc(&set, ',');
        buf_add(&set, a->s.p, a->s.n);
    }
    int err = found(c, op, set.data, set.len);
    buf_free(&set);
    return err;
}

/* Whose answer it is, by its correlator (RFC 4466 section 2.6.2). One that names no SEARCH in
 * flight is nobody's; without one it is the oldest's. */
static struct op *correlated(struct conn *c, const struct arg *args)
{
    const struct arg *name = args && args->type == ARG_LIST ? args->child : NULL;
    const struct arg *tag = name && arg_is(name, "TAG") ? name->next : NULL;
    if (!tag)
        return conn_wanting(c, WANT_SEARCH);
    for (const struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        char text[16];
        snprintf(text, sizeof text, "A%u", cmd->tag);
        if (cmd->want == WANT_SEARCH && str_is(tag->s, text))
            return cmd->op;
    }
    return NULL;
}

/* ESEARCH (TAG "A1") UID ALL 2,10:11 (RFC 4731) */
int search_on_esearch(struct conn *c, const struct response *r)
{
    struct op *op = correlated(c, r->args);
    if (!op)
        return 0;
    for (const struct arg *a = r->args; a; a = a->next) {
        if (!arg_is(a, "ALL"))
            continue;
        bool set = a->next && a->next->type == ARG_ATOM;
        return set ? found(c, op, a->next->s.p, a->next->s.n) : 0;
    }
    return found(c, op, NULL, 0); /* nothing matched */
}
