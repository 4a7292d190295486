/* APPEND (RFC 3501 section 6.3.11): never sent a second time before it was looked for. */
#include <errno.h>

#include "imap/base/limits.h"
#include "imap/conn/handler.h"
#include "imap/exec/arrival.h"
#include "imap/exec/op_message.h"
#include "imap/exec/search.h"
#include "imap/wire/date.h"

enum step { STEP_APPEND };

struct progress {
    enum {
        PHASE_BEGIN, /* no byte of the message was sent */
        PHASE_SENT,
    } phase;
    struct search search;
    struct arrival arrival;
};
static_assert(sizeof(struct progress) <= OP_PROGRESS_CHANGE, "room");

static struct progress *progress_of(const struct op *op)
{
    return op->progress;
}

static void no_new_uid(struct op *op)
{
    op_as_append(op)->new_uid = op_as_append(op)->new_uidvalidity = 0;
}

/* A large message is announced and waits for "+", so that a server that does not want it can say so
 * first; small ones save the round trip where that is allowed. */
static void append_send(struct conn *c, struct op *op)
{
    const struct op_append *o = op_as_append(op);
    size_t n = o->bytes->len;
    bool at_once = n <= LIMIT_LITERAL_PLUS && conn_free_literal(c, n);
    char date[32];
    arrival_note(c, op, NULL);
    progress_of(op)->phase = at_once ? PHASE_SENT : PHASE_BEGIN;
    no_new_uid(op);
    date_format(o->date, date);
    struct buf *b = conn_begin(c, op, STEP_APPEND, at_once ? WANT_NONE : WANT_GO_ON);
    buf_adds(b, "APPEND ");
    conn_mailbox(c, b, op->mailbox);
    buf_addf(b, " (%s) \"%s\" {%zu%s}", o->flags ? o->flags : "", date, n, at_once ? "+" : "");
    conn_end(c);
    if (at_once) {
        conn_literal(c, o->bytes);
        buf_adds(b, "\r\n");
    }
}

/* "+" may come more often than it was asked for. */
static void append_go_on(struct conn *c, struct op *op)
{
    if (progress_of(op)->phase == PHASE_SENT)
        return;
    progress_of(op)->phase = PHASE_SENT;
    conn_literal(c, op_as_append(op)->bytes);
    buf_adds(&c->wire.out, "\r\n");
}

static void append_judge(struct conn *c, struct op *op, enum arrival_verdict verdict)
{
    struct op_append *o = op_as_append(op);
    const struct arrival *a = &progress_of(op)->arrival;
    if (verdict == ARRIVAL_OPEN)
        return;
    if (!c->box.name)
        conn_leave_box(c);
    if (verdict == ARRIVAL_LATER) {
        exec_later(c, op);
        return;
    }
    const struct traveller *t = arrival_of(op, 0);
    if (t->fate == FATE_NOT) {
        append_send(c, op);
        return;
    }
    if (t->fate == FATE_THERE) {
        o->new_uid = t->there;
        o->new_uidvalidity = a->uidvalidity_now;
    }
    conn_finish(c, op, t->fate == FATE_THERE ? 0 : a->fail);
}

static void append_start(struct conn *c, struct op *op)
{
    if (op->resumed && progress_of(op)->phase == PHASE_SENT) {
        no_new_uid(op);
        append_judge(c, op, arrival_look(c, op, NULL));
    } else {
        append_send(c, op);
    }
}

static void append_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    if (step != STEP_APPEND) {
        if (step < ARRIVAL_EXAMINE)
            no_new_uid(op); /* an APPENDUID in such an answer is none */
        append_judge(c, op, arrival_answered(c, op, step, r));
        return;
    }
    /* A NO means that nothing was appended. */
    if (r->cond == COND_NO)
        progress_of(op)->phase = PHASE_BEGIN;
    conn_finish(c, op, outcome_errno(r));
}

static struct search *append_search(const struct op *op)
{
    return &progress_of(op)->search;
}

static struct arrival *append_arrival(const struct op *op)
{
    return &progress_of(op)->arrival;
}

static void append_end(struct op *op)
{
    search_begin(append_search(op));
    arrival_free(append_arrival(op));
}

const struct op_class exec_append = {.retry = RETRY_SETTLE,
                                     .alone = true,
                                     .start = append_start,
                                     .answered = append_answered,
                                     .go_on = append_go_on,
                                     .end = append_end,
                                     .search = append_search,
                                     .arrival = append_arrival};
