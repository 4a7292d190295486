/* APPEND (RFC 3501 section 6.3.11): never sent a second time before it was looked for. */
#include <errno.h>

#include "imap/base/limits.h"
#include "imap/conn/handler.h"
#include "imap/exec/arrival.h"
#include "imap/wire/date.h"

enum phase {
    PHASE_BEGIN, /* no byte of the message was sent */
    PHASE_SENT,
};

enum step { STEP_APPEND };

/* A large message is announced and waits for "+", so that a server that does not want it can say so
 * first; small ones save the round trip where that is allowed. */
static void append_send(struct conn *c, struct op *op)
{
    size_t n = op->bytes->len;
    bool at_once = n <= LIMIT_LITERAL_PLUS && conn_free_literal(c, n);
    char date[32];
    arrival_note(c, op);
    op->phase = at_once ? PHASE_SENT : PHASE_BEGIN;
    op->new_uid = op->new_uidvalidity = 0;
    date_format(op->date, date);
    struct buf *b = conn_begin(c, op, STEP_APPEND, at_once ? WANT_NONE : WANT_GO_ON);
    buf_adds(b, "APPEND ");
    conn_mailbox(c, b, op->mailbox);
    buf_addf(b, " (%s) \"%s\" {%zu%s}", op->text ? op->text : "", date, n, at_once ? "+" : "");
    conn_end(c);
    if (at_once) {
        conn_literal(c, op->bytes);
        buf_adds(b, "\r\n");
    }
}

/* "+" may come more often than it was asked for. */
static void append_go_on(struct conn *c, struct op *op)
{
    if (op->phase == PHASE_SENT)
        return;
    op->phase = PHASE_SENT;
    conn_literal(c, op->bytes);
    buf_adds(&c->wire.out, "\r\n");
}

static void append_judge(struct conn *c, struct op *op, enum arrival_verdict verdict)
{
    if (verdict == ARRIVAL_OPEN)
        return;
    if (!c->box.name)
        conn_leave_box(c);
    if (verdict == ARRIVAL_NOT)
        append_send(c, op);
    else if (verdict == ARRIVAL_LATER)
        exec_later(c, op);
    else
        conn_finish(c, op, verdict == ARRIVAL_THERE ? 0 : op->fail);
}

static void append_start(struct conn *c, struct op *op)
{
    if (op->resumed && op->phase == PHASE_SENT)
        append_judge(c, op, arrival_look(c, op));
    else
        append_send(c, op);
}

static void append_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    if (step == STEP_APPEND) {
        /* A NO means that nothing was appended. */
        if (r->cond == COND_NO)
            op->phase = PHASE_BEGIN;
        conn_finish(c, op, outcome_errno(r));
    } else {
        append_judge(c, op, arrival_answered(c, op, step, r));
    }
}

const struct op_class exec_append = {.retry = RETRY_SETTLE,
                                     .alone = true,
                                     .start = append_start,
                                     .answered = append_answered,
                                     .go_on = append_go_on};
