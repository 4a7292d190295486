/* Untagged responses: a table of {numbered or not, name, handler}, and the handlers of those that
 * are about mailboxes and the server. */
#include "imap/exec/untagged.h"

#include <errno.h>
#include <stdio.h>

#include "imap/base/limits.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/arrival.h"
#include "imap/exec/exec_check.h"
#include "imap/exec/exec_mailbox.h"
#include "imap/exec/op_read.h"
#include "imap/exec/search.h"

/* ---- mailboxes ---- */

static bool has_attr(const struct arg *attrs, const char *name)
{
    for (const struct arg *a = attrs; a; a = a->next)
        if (arg_is(a, name))
            return true;
    return false;
}

/* LIST (attrs) delim name */
static int on_list(struct conn *c, const struct response *r)
{
    struct op *op = conn_wanting(c, WANT_LIST);
    const struct arg *attrs = r->args;
    const struct arg *delim = attrs ? attrs->next : NULL;
    const struct arg *name = delim ? delim->next : NULL;
    bool gone = attrs && attrs->type == ARG_LIST && has_attr(attrs->child, "\\NonExistent") &&
                !has_attr(attrs->child, "\\HasChildren");
    /* Unasked (NOTIFY): something has changed. What comes in the middle of a whole LIST is as good
     * as a part of it. */
    if (c->session.notified && (!op || (gone && op->kind != OP_LIST)))
        pool_folders(c->pool);
    if (!op || !name || attrs->type != ARG_LIST || name->type == ARG_LIST)
        return 0;
    struct str n = name->s;
    if (name->type == ARG_NIL && n.n == 0) /* NIL as a name: a mailbox may be called that */
        n = (struct str){"NIL", 3};
    if (n.n == 0 || n.n > LIMIT_MAILBOX_NAME)
        return 0;
    if (op->kind != OP_LIST) {
        mailbox_listed(op, n, !has_attr(attrs->child, "\\NonExistent"),
                       !has_attr(attrs->child, "\\Noselect"));
        return 0;
    }
    char d = delim->type == ARG_STRING && delim->s.n == 1 ? delim->s.p[0] : '\0';
    if (d == '\r' || d == '\n')
        d = '\0'; /* it would go into names, and end the line they are in */
    if (op_as_list(op)->on_list(op_as_list(op), n, d, attrs->child))
        endless_news(c);
    return 0;
}

/* What is left out is 0, and `exists` UINT32_MAX. */
static struct mailbox_state status_items(const struct arg *items)
{
    struct mailbox_state s = {.exists = UINT32_MAX};
    uint64_t n;
    for (const struct arg *a = items; a && a->next; a = a->next->next) {
        if (!arg_number(a->next, INT64_MAX, &n))
            continue;
        if (arg_is(a, "HIGHESTMODSEQ"))
            s.modseq = n;
        else if (n > UINT32_MAX)
            continue;
        else if (arg_is(a, "MESSAGES")) {
            s.exists = (uint32_t)n;
        } else if (arg_is(a, "UIDNEXT"))
            s.uidnext = (uint32_t)n;
        else if (arg_is(a, "UIDVALIDITY"))
            s.uidvalidity = (uint32_t)n;
    }
    return s;
}

/* STATUS name (MESSAGES 3 ...) */
static int on_status(struct conn *c, const struct response *r)
{
    struct op *op = conn_wanting(c, WANT_STATUS), *sender = conn_wanting(c, WANT_WINDOW);
    const struct arg *list = r->args ? r->args->next : NULL;
    bool look = op && op->kind == OP_CHECK && r->args && mailbox_is(r->args->s, op->mailbox);
    if (c->session.notified && !look && list && list->type == ARG_LIST) {
        struct mailbox_state now = status_items(list->child);
        pool_status_of(c->pool, r->args->s, &now);
    }
    if (sender && list && list->type == ARG_LIST && mailbox_is(r->args->s, arrival_mailbox(sender)))
        arrival_status(sender, list->child);
    if (!op || !list || list->type != ARG_LIST || !mailbox_is(r->args->s, op->mailbox))
        return 0; /* of another mailbox: a deletion hangs on this number */
    struct mailbox_state said = status_items(list->child);
    if (op->kind == OP_CHECK)
        check_status(op, &said);
    else if (said.exists != UINT32_MAX)
        mailbox_counted(op, said.exists);
    return 0;
}

/* QUOTA root (STORAGE used limit) */
static int on_quota(struct conn *c, const struct response *r)
{
    struct op *op = conn_wanting(c, WANT_QUOTA);
    const struct arg *list = r->args ? r->args->next : NULL;
    if (!op || !list || list->type != ARG_LIST)
        return 0;
    for (const struct arg *a = list->child; a && a->next && a->next->next;
         a = a->next->next->next) {
        uint64_t used, limit;
        if (arg_is(a, "STORAGE") && arg_number(a->next, INT64_MAX, &used) &&
            arg_number(a->next->next, INT64_MAX, &limit)) {
            op_as_quota(op)->used = used;
            op_as_quota(op)->limit = limit;
        }
    }
    return 0;
}

/* NAMESPACE ((prefix delim)...) others shared */
static int on_namespace(struct conn *c, const struct response *r)
{
    const struct arg *first = r->args && r->args->type == ARG_LIST ? r->args->child : NULL;
    if (first && first->type == ARG_LIST && first->child && first->child->type == ARG_STRING)
        snprintf(c->session.personal, sizeof c->session.personal, STR_FMT,
                 STR_ARG(first->child->s));
    const struct arg *others = first ? r->args->next : NULL, *shared = others ? others->next : NULL;
    c->session.only_personal = shared && others->type == ARG_NIL && shared->type == ARG_NIL;
    return 0;
}

/* ---- the table ---- */

static int on_capability(struct conn *c, const struct response *r)
{
    untagged_caps(c, r->args);
    return 0;
}

/* ENABLED QRESYNC (RFC 5161) */
static int on_enabled(struct conn *c, const struct response *r)
{
    for (const struct arg *a = r->args; a; a = a->next)
        c->session.qresync |= arg_is(a, "QRESYNC");
    return 0;
}

static const struct {
    bool numbered;
    const char *name;
    int (*handle)(struct conn *, const struct response *);
} table[] = {
    {true, "FETCH", untagged_fetch},
    {true, "EXISTS", untagged_exists},
    {true, "EXPUNGE", untagged_expunge},
    {true, "EXPUNGED", untagged_expunge}, /* mailutils */
    {false, "LIST", on_list},
    {false, "SEARCH", search_on_search},
    {false, "ESEARCH", search_on_esearch},
    {false, "STATUS", on_status},
    {false, "CAPABILITY", on_capability},
    {false, "VANISHED", untagged_vanished},
    {false, "QUOTA", on_quota},
    {false, "NAMESPACE", on_namespace},
    {false, "ENABLED", on_enabled},
};

int untagged_handle(struct conn *c, const struct response *r)
{
    if (r->cond == COND_BYE) {
        buf_reset(&c->session.reply.text);
        buf_add(&c->session.reply.text, r->text.p, r->text.n);
        if (c->session.state == SESSION_LOGOUT)
            return 0;
        session_become(c, SESSION_BYE);
        return -ECONNRESET;
    }
    if (r->cond != COND_NONE) {
        untagged_code(c, NULL, r);
        if (r->cond != COND_OK)
            untagged_trouble(c, r);
        return 0;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].numbered == r->has_number && str_is(r->name, table[i].name))
            return table[i].handle(c, r);
    return 0;
}
