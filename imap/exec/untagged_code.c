/* Response codes, and words of trouble. */
#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/exec_mailbox.h"
#include "imap/exec/transfer.h"
#include "imap/exec/untagged.h"

void untagged_caps(struct conn *c, const struct arg *args)
{
    for (const struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->op)
            return;
    caps_read(&c->caps, args);
}

/* Numbers in codes that say something of the mailbox being selected. */
static void mailbox_code(struct conn *c, enum resp_code code, const struct response *r)
{
    uint64_t n;
    struct op *op = conn_wanting(c, WANT_SELECTED);
    if (!arg_number(r->code_args, INT64_MAX, &n))
        return;
    struct arrival *arrival = op && op_class(op)->arrival ? op_class(op)->arrival(op) : NULL;
    if (arrival && code == CODE_UIDVALIDITY && n <= UINT32_MAX)
        arrival->uidvalidity_now = (uint32_t)n;
    else if (op && code == CODE_UIDVALIDITY && n <= UINT32_MAX)
        mailbox_opened(op, (uint32_t)n);
    if (code == CODE_HIGHESTMODSEQ && box_is_open(&c->box) && n > c->box.state.modseq)
        c->box.state.modseq = n;
    if (arrival && code == CODE_UIDNEXT && n <= UINT32_MAX)
        arrival->uidnext_now = (uint32_t)n;
    if (!c->box.name || box_is_open(&c->box))
        return;
    if (code == CODE_UIDVALIDITY && n <= UINT32_MAX)
        c->box.state.uidvalidity = (uint32_t)n;
    else if (code == CODE_UIDNEXT && n <= UINT32_MAX)
        c->box.state.uidnext = (uint32_t)n;
    else if (code == CODE_HIGHESTMODSEQ)
        c->box.state.modseq = n;
}

/* COPYUID 38505 304,319:320 3956:3958 (RFC 4315 section 3) */
static bool copyuid(struct op *op, const struct arg *a)
{
    uint64_t validity;
    if (!a || !a->next || !a->next->next || !arg_number(a, UINT32_MAX, &validity))
        return false;
    uint32_t *its_validity;
    struct uidmap *copies = transfer_copies(op, &its_validity);
    if (*its_validity != validity)
        uidmap_free(copies); /* what an earlier COPY was told is of another life of the mailbox */
    *its_validity = (uint32_t)validity;
    if (!uidmap_read(copies, op_class(op)->uids(op), a->next->s, a->next->next->s))
        return false;
    return true;
}

/* APPENDUID 38505 3955 (RFC 4315 section 3) */
static void appenduid(struct op_append *o, const struct arg *a)
{
    uint64_t validity, uid;
    if (!a || !arg_number(a, UINT32_MAX, &validity) || !arg_number(a->next, UINT32_MAX, &uid))
        return;
    o->new_uid = (uint32_t)uid;
    o->new_uidvalidity = (uint32_t)validity;
}

void untagged_code(struct conn *c, struct op *op, const struct response *r)
{
    enum resp_code code = code_from_name(r->code);
    if (code == CODE_CLOSED) {
        box_closed(c);
    } else if (code == CODE_CAPABILITY) {
        untagged_caps(c, r->code_args);
    } else if (str_is(r->code, "NOTIFICATIONOVERFLOW")) {
        c->session.notified = false; /* from now on it tells nothing (RFC 5465 section 5.8) */
        pool_watching(c->pool, c);
        pool_folders(c->pool);
        pool_deaf(c->pool);
    } else if (code == CODE_ALERT) {
        static struct log_limit alerts = LOG_LIMIT("alerts of the server");
        if (log_may(&alerts))
            log_warn("the server says: " STR_FMT, STR_ARG(r->text));
    } else if (code == CODE_COPYUID) {
        /* Untagged before the EXPUNGEs of a MOVE (RFC 6851 section 4.3), else with the tagged OK.
         * Nobody else is interested. */
        if (op && (op->kind == OP_MOVE || op->kind == OP_COPY)) {
            copyuid(op, r->code_args);
            return;
        }
        for (struct cmd *cmd = c->cmds; cmd && !op; cmd = cmd->next)
            if (cmd->op && cmd->op->kind == OP_MOVE && copyuid(cmd->op, r->code_args))
                return;
    } else if (code == CODE_APPENDUID) {
        if (op && op->kind == OP_APPEND)
            appenduid(op_as_append(op), r->code_args);
    } else {
        mailbox_code(c, code, r);
    }
}

enum { DOUBT_PAUSE = 10000 }; /* ms before a mailbox is selected anew once more */

/* An untagged NO or BAD while the server is only asked what is new is how Dovecot says that
 * the selected mailbox was deleted and another one made in its place, of which it tells nothing
 * until that is selected; the command itself it answers OK. The mailbox is not selected anew again
 * and again for that, since the words may be about something else. */
void untagged_trouble(struct conn *c, const struct response *r)
{
    const struct cmd *cmd = c->cmds;
    while (cmd && cmd->op && cmd->op->kind != OP_CHECK)
        cmd = cmd->next;
    if (c->box.select != SELECT_OPEN || !cmd || code_from_name(r->code) == CODE_ALERT ||
        clock_ms() < c->clocks.doubt_next)
        return;
    log_info("%s: selected anew, since the server says: " STR_FMT, c->box.name, STR_ARG(r->text));
    c->clocks.doubt_next = clock_ms() + DOUBT_PAUSE;
    box_doubt(c);
}
