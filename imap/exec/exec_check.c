/* What is new in a mailbox. */
#include <errno.h>

#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/exec.h"
#include "imap/exec/exec_check.h"
#include "imap/exec/op_read.h"

enum { CHECK_STATUS, CHECK_NOOP };

struct progress {
    enum {
        PHASE_BEGIN,
        PHASE_ASKED,   /* STATUS is asked in front of NOOP */
        PHASE_NEWS,    /* NOOP told something, so STATUS is asked behind it */
        PHASE_DOUBTED, /* it is selected anew for what STATUS said */
    } phase;
    uint32_t count; /* messages here when STATUS was asked; or as STATUS said, in PHASE_DOUBTED */
};
static_assert(sizeof(struct progress) <= OP_PROGRESS, "room");

/* A mailbox that was deleted and made anew while it is selected is told of by Dovecot in words, by
 * Cyrus as one that is empty and stays so, and by Courier not at all: it answers as if the new
 * messages were the old ones. STATUS is about what has the name now. */
static void status_send(struct conn *c, struct op *op)
{
    struct progress *p = op->progress;
    c->box.news = false;
    p->count = c->box.state.exists;
    struct buf *b = conn_begin(c, op, CHECK_STATUS, WANT_STATUS);
    buf_adds(b, "STATUS ");
    conn_mailbox(c, b, op->mailbox);
    buf_adds(b, " (UIDVALIDITY UIDNEXT MESSAGES)");
    conn_end(c);
}

/* Was something told of the mailbox since it was selected, or STATUS asked? It may be of another
 * one. With QRESYNC that would be told by UIDs, which are of one UIDVALIDITY. */
static bool unconfirmed(const struct conn *c)
{
    return !c->session.qresync && box_is_open(&c->box) && c->box.news;
}

static void check_start(struct conn *c, struct op *op)
{
    struct op_check *o = op_as_check(op);
    struct progress *p = op->progress;
    if (c->box.just_selected) {
        /* The difference for which it was selected anew is still the same, so it means nothing. */
        if (p->phase == PHASE_DOUBTED && !op->resumed && p->count != UINT32_MAX &&
            p->count != c->box.state.exists && o->state.exists == c->box.state.exists)
            pool_hangs_up(c->pool, EXTRA_COUNT);
        o->state = c->box.state;
        o->state.fresh = o->state.current = true;
        c->box.fresh = false;
        conn_finish(c, op, 0);
        return;
    }
    o->state = (struct mailbox_state){.exists = UINT32_MAX};
    p->phase = PHASE_BEGIN;
    idle_judge(c);
    p->count = c->box.state.exists;
    if (o->thorough || unconfirmed(c) || (o->changed && !c->session.qresync)) {
        p->phase = PHASE_ASKED;
        status_send(c, op);
    }
    buf_adds(conn_begin(c, op, CHECK_NOOP, WANT_NONE), "NOOP");
    conn_end(c);
}

static int check_error(const struct conn *c, int step, const struct response *r)
{
    if (!box_is_open(&c->box))
        return -EIO;
    return c->box.select == SELECT_DOUBTED ? -EBUSY : step == CHECK_NOOP ? outcome_errno(r) : 0;
}

static void check_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    struct op_check *o = op_as_check(op);
    struct progress *p = op->progress;
    if (step == CHECK_STATUS) { /* whether it can be asked is no matter, but for one reason */
        if (box_is_open(&c->box) && outcome_errno(r) == -ENOENT)
            box_become(c, SELECT_DOUBTED);
        if (p->phase != PHASE_NEWS)
            return; /* NOOP is on its way */
    } else if (r->cond == COND_OK) {
        idle_known(c);
        if (unconfirmed(c) && p->phase == PHASE_BEGIN && c->box.select != SELECT_DOUBTED) {
            p->phase = PHASE_NEWS;
            status_send(c, op);
            return;
        }
    }
    c->box.news = false;
    if (box_is_open(&c->box) && box_contradicted(c, &o->state, p->count)) {
        box_become(c, SELECT_DOUBTED);
        p->phase = PHASE_DOUBTED;
        p->count = o->state.exists;
    }
    o->state = c->box.state;
    o->state.fresh = c->box.fresh;
    o->state.resynced &= c->box.fresh;
    c->box.fresh = false;
    if (c->box.select == SELECT_DOUBTED && !conn_busy(c))
        conn_select(c, op, c->box.write);
    else
        conn_finish(c, op, check_error(c, step, r));
}

void check_status(struct op *op, const struct mailbox_state *said)
{
    op_as_check(op)->state = *said;
}

bool op_resyncs(const struct op *op, uint64_t *modseq, uint32_t *modseq_validity)
{
    if (op->kind != OP_CHECK)
        return false;
    *modseq = op_as_check(op)->modseq;
    *modseq_validity = op_as_check(op)->modseq_validity;
    return *modseq && *modseq_validity;
}

const struct op_class exec_check = {.retry = RETRY_REPEAT,
                                    .select = true,
                                    .lists = true,
                                    .start = check_start,
                                    .answered = check_answered};
