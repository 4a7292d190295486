#include "imap/exec/look.h"

#include "imap/base/log.h"
#include "imap/conn/owner.h"
#include "imap/wire/fetch.h"
#include "imap/wire/flags.h"

void look_ask_row(struct conn *c, struct op *op, int step)
{
    op->saw &= ~(unsigned)(OP_SAW_THERE | OP_SAW_DELETED);
    op->number = 0;
    buf_addf(conn_begin(c, op, step, WANT_LOOK), "UID FETCH %u (UID FLAGS)", op->uid);
    conn_end(c);
}

void look_ask(struct conn *c, struct op *op, int step)
{
    look_ask_row(c, op, LOOK_ROW);
    exec_search_begin(op);
    buf_addf(conn_begin(c, op, step, WANT_SEARCH), "UID SEARCH UID %u", op->uid);
    conn_end(c);
}

bool look_found(const struct op *op)
{
    return op->saw & OP_SAW_THERE || uidset_has(&op->found, op->uid);
}

int look_error(const struct op *op, const struct response *r)
{
    if (op->saw & OP_SAW_THERE)
        return 0;
    int err = outcome_errno(r);
    return err ? err : exec_search_error(op, r);
}

bool look_is_exact(const struct conn *c)
{
    return caps_has(&c->caps, CAP_UIDPLUS) || pool_uids(c->pool) == UIDS_EXACT;
}

void look_ask_nearest(struct conn *c, struct op *op)
{
    if (pool_uids(c->pool) != UIDS_UNKNOWN || !c->box.state.exists)
        return;
    buf_addf(conn_begin(c, op, LOOK_NEAREST, WANT_NEAREST), "UID FETCH %u (UID)", UINT32_MAX);
    conn_end(c);
}

void look_answered(struct conn *c, int step, const struct response *r)
{
    bool any = c->box.state.exists > 0;
    if (step == LOOK_NEAREST && r->cond == COND_OK && any && pool_uids(c->pool) == UIDS_UNKNOWN)
        pool_note_uids(c->pool, UIDS_EXACT);
}

/* Only the answer to the oldest command can be meant by a row that tells nothing but a UID. */
static void note_nearest(const struct conn *c, const struct fetch_row *row)
{
    if (!c->cmds || c->cmds->want != WANT_NEAREST || row->has || row->uid == UINT32_MAX ||
        pool_uids(c->pool) == UIDS_NEAREST)
        return;
    log_info("the server answers for the next message when it is asked for a UID that none has");
    pool_note_uids(c->pool, UIDS_NEAREST);
}

void look_row(struct conn *c, struct fetch_row *row)
{
    bool deleted = row->has & FETCH_FLAGS && row->flags & FLAG_DELETED;
    note_nearest(c, row);
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        struct op *op = cmd->op;
        if (!op || op->uid != row->uid)
            continue;
        if (cmd->want == WANT_LOOK || cmd->want == WANT_MESSAGE) {
            op->saw |= OP_SAW_THERE | (deleted ? OP_SAW_DELETED : 0u);
            op->number = row->seq;
        }
        /* That it is being deleted is told when it is done, or not at all. */
        if (deleted && (op->kind == OP_DELETE || op->kind == OP_MOVE))
            row->has &= ~(unsigned)FETCH_FLAGS;
    }
}
