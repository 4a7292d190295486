/* Changing the flags of messages. */
#include <errno.h>

#include "imap/conn/handler.h"
#include "imap/exec/exec.h"
#include "imap/exec/exec_store.h"
#include "imap/exec/op_message.h"
#include "imap/wire/fetch.h"

enum step {
    STEP_STORE,
    STEP_ROW, /* behind a STORE without rows: are the messages there at all? */
};

struct progress {
    struct uidset left;  /* of which no row has told the flags since */
    struct uidset named; /* which a row has named since the last STORE was sent */
    struct uidset stored;
    bool again; /* asked a second time */
};
static_assert(sizeof(struct progress) <= OP_PROGRESS_CHANGE, "room");

static struct progress *progress_of(const struct op *op)
{
    return op->progress;
}

static void store_send(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    uidset_free(&p->named);
    struct buf *b = conn_begin(c, op, STEP_STORE, WANT_NONE);
    buf_adds(b, "UID STORE ");
    uidset_text(&p->left, b);
    buf_addc(b, ' ');
    struct buf change = {0};
    flag_change_text(&op_as_store(op)->change, &change);
    buf_adds(b, buf_str(&change));
    buf_free(&change);
    conn_end(c);
}

static void store_start(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    p->again = false; /* this connection has not been asked */
    uidset_free(&p->left);
    uidset_join(&p->left, &op_as_store(op)->uids);
    store_send(c, op);
}

/* STORE of a UID that is gone, or of which this connection has not heard yet, says OK and does
 * nothing; a row with the flags is what proves it. But Dovecot, for one, sends none when nothing
 * was to be changed. So behind the second STORE it is asked whether the message is there at all: by
 * FETCH, whose answer says whom it is for, so that several of these may be under way at once. */
static void store_again(struct conn *c, struct op *op)
{
    store_send(c, op);
    struct buf *b = conn_begin(c, op, STEP_ROW, WANT_NONE);
    buf_adds(b, "UID FETCH ");
    uidset_text(&progress_of(op)->left, b);
    buf_adds(b, " (UID)");
    conn_end(c);
}

static void store_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    struct progress *p = progress_of(op);
    int err = outcome_errno(r);
    if (step == STEP_ROW) {
        if (!err) {
            uidset_keep(&p->named, &p->left);
            uidset_join(&p->stored, &p->named);
            uidset_cut(&p->left, &p->named);
        }
        conn_finish(c, op, err ? err : p->left.n ? -ENOENT : 0);
    } else if (err || !p->left.n) {
        conn_finish(c, op, err);
    } else if (exec_once_more(&p->again)) {
        store_again(c, op); /* else the FETCH is on its way */
    }
}

void store_row(const struct conn *c, const struct fetch_row *row)
{
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        struct op *op = cmd->op;
        if (!op || op->kind != OP_STORE || !uidset_has(&op_as_store(op)->uids, row->uid))
            continue;
        struct progress *p = progress_of(op);
        uidset_add(&p->named, row->uid, row->uid);
        if (row->has & FETCH_FLAGS) {
            uidset_remove(&p->left, row->uid);
            uidset_add(&p->stored, row->uid, row->uid);
        }
        return;
    }
}

static const struct uidset *store_uids(const struct op *op)
{
    return &op_as_store(op)->uids;
}

static void store_end(struct op *op)
{
    struct progress *p = progress_of(op);
    op_as_store(op)->stored = p->stored;
    p->stored = (struct uidset){0};
    uidset_free(&p->left);
    uidset_free(&p->named);
}

/* Setting the same flags twice is setting them once. */
const struct op_class exec_store = {.retry = RETRY_REPEAT,
                                    .select = true,
                                    .write = true,
                                    .start = store_start,
                                    .answered = store_answered,
                                    .end = store_end,
                                    .uids = store_uids};
