/* Operations that change messages. Mail is sacred here: nothing is deleted whose copy was not
 * confirmed, nothing but by UID, and after a lost connection the server is asked what happened
 * before anything is answered or done again. */
#include <errno.h>

#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/arrival.h"
#include "imap/exec/exec_delete.h"

/* How far an operation got; kept when the connection is lost. */
enum phase {
    PHASE_BEGIN,  /* nothing was sent that changes anything */
    PHASE_MOVE,   /* UID MOVE was sent */
    PHASE_COPY,   /* UID COPY was sent: a copy may exist, the message does for certain */
    PHASE_DELETE, /* the copy is confirmed (or none was wanted); the message is being deleted */
};

enum step {
    STEP_LOOK,         /* to settle what a lost connection left open */
    STEP_LOOK_BEFORE,  /* in front of a MOVE or COPY whose OK would prove nothing by itself */
    STEP_LOOK_AFTER,   /* behind such a MOVE */
    STEP_LOOK_REFUSED, /* behind a second MOVE that was refused */
    STEP_MOVE,
    STEP_COPY,
    STEP_STORE,
    STEP_ROW, /* behind a STORE without a row: is the message there at all? */
};

/* ---- moving ---- */

static void send_to(struct conn *c, struct op *op, int step, const char *command)
{
    struct buf *b = conn_begin(c, op, step, step == STEP_MOVE ? WANT_EXPUNGE : WANT_NONE);
    buf_addf(b, "UID %s %u ", command, op->uid);
    conn_mailbox(c, b, op->dest);
    conn_end(c);
}

static void copy_send(struct conn *c, struct op *op)
{
    op->phase = PHASE_COPY;
    op->apart = true;
    send_to(c, op, STEP_COPY, "COPY");
}

/* COPY of a UID that is gone says OK too, and COPYUID may be kept back: so it is looked for first.
 * On the way there, what is needed to find the copy if the connection is lost. Where its new UID
 * begins must be known before the COPY is sent, what it looks like can be asked for later. So when
 * the first is known already, all goes out at once, and what was a row in front of the COPY, or a
 * COPYUID, is what proves it. Without UIDPLUS the COPY might hit another message: look.h. */
static void move_by_copy(struct conn *c, struct op *op)
{
    op->saw = 0;
    op->by_copy = true;
    /* What the copy's UID is concluded from, where COPYUID does not tell it, is asked for now. */
    bool told = caps_has(&c->caps, CAP_UIDPLUS);
    if (told && !op->arrival.uidnext) {
        op->arrival.uidnext = op->dest_uidnext;
        op->arrival.uidvalidity = op->dest_uidvalidity;
    }
    if (!told || !op->arrival.uidnext) {
        arrival_note(c, op);
        look_ask(c, op, STEP_LOOK_BEFORE);
        return;
    }
    if (op->arrival.known)
        look_ask_row(c, op, LOOK_ROW);
    else
        arrival_note_message(c, op);
    copy_send(c, op);
}

/* The COPY said OK: did it name the copy, or was the message seen in front of it? */
static bool copy_proven(const struct op *op)
{
    return op->new_uid || op->saw & (OP_SAW_MESSAGE | OP_SAW_THERE);
}

/* Nothing shows that the OK of a COPY stands for a copy; nothing shows that it does not. That is
 * settled as if the connection had been lost. */
static void copy_unproven(struct conn *c, struct op *op)
{
    op->resumed = true;
    op->due = 0;
    delete_finish(c, op, -EINPROGRESS);
}

static void move_delete(struct conn *c, struct op *op)
{
    op->phase = PHASE_DELETE;
    delete_begin(c, op);
}

static void move_begin(struct conn *c, struct op *op)
{
    delete_disown(c, op);
    op->new_uid = 0;
    op->saw = 0;
    op->by_copy = false;
    op->phase = PHASE_BEGIN;
    if (!caps_has(&c->caps, CAP_MOVE)) {
        move_by_copy(c, op);
    } else if (!caps_has(&c->caps, CAP_UIDPLUS)) {
        look_ask(c, op, STEP_LOOK_BEFORE);
    } else {
        op->phase = PHASE_MOVE;
        send_to(c, op, STEP_MOVE, "MOVE");
    }
}

/* It was looked for: now it is moved, or copied. */
static void move_seen(struct conn *c, struct op *op)
{
    bool seen = look_found(op);
    op->saw = seen ? OP_SAW_MESSAGE : 0;
    if (!seen && exec_once_more(op)) {
        look_ask(c, op, STEP_LOOK_BEFORE);
    } else if (!seen) {
        delete_finish(c, op, -ENOENT);
    } else if (op->by_copy) {
        copy_send(c, op);
    } else {
        op->phase = PHASE_MOVE;
        send_to(c, op, STEP_MOVE, "MOVE");
    }
}

/* To look for the copy, the message's own facts are needed: it is asked for them again if the
 * answer was lost with the rest. */
static void move_start(struct conn *c, struct op *op)
{
    delete_disown(c, op); /* of a lost connection */
    op->unsure |= op->resumed && op->phase == PHASE_MOVE;
    if (op->resumed && op->phase == PHASE_COPY)
        arrival_note_message(c, op);
    if (op->resumed && op->phase != PHASE_BEGIN)
        look_ask(c, op, STEP_LOOK);
    else
        move_begin(c, op);
}

static void moved(struct conn *c, struct op *op)
{
    op->expunged = true;
    delete_finish(c, op, 0);
}

/* The COPY whose answer was lost was looked after in the mailbox it went to. */
static void copy_judge(struct conn *c, struct op *op, enum arrival_verdict verdict)
{
    switch (verdict) {
    case ARRIVAL_OPEN:
        return;
    case ARRIVAL_THERE:
        if (op->kind == OP_MOVE) {
            op->phase = PHASE_DELETE;
            conn_select(c, op, true);
            return;
        }
        break;
    case ARRIVAL_NOT:
        op->phase = PHASE_BEGIN;
        conn_select(c, op, op->kind == OP_MOVE);
        return;
    default:
        break;
    }
    if (!c->box.name)
        conn_leave_box(c);
    if (verdict == ARRIVAL_LATER)
        exec_later(c, op);
    else
        conn_finish(c, op, verdict == ARRIVAL_THERE ? 0 : op->fail);
}

/* The connection was lost in `op->phase`; now it is known whether the message is still there. */
static void move_settle(struct conn *c, struct op *op, bool there)
{
    switch ((enum phase)op->phase) {
    case PHASE_MOVE:
        /* A server that was silent for so long may be at it still. */
        if (there && op->timed_out)
            delete_finish(c, op, -ETIMEDOUT);
        else if (there && exec_too_early(c, op))
            exec_later(c, op);
        else if (there)
            move_begin(c, op);
        else
            moved(c, op); /* its new UID shows when the folder is read */
        return;
    case PHASE_COPY:
        if (there)
            copy_judge(c, op, arrival_look(c, op));
        else
            delete_finish(c, op, -ENOENT);
        return;
    default:
        if (there)
            move_delete(c, op);
        else
            moved(c, op);
        return;
    }
}

/* OK, but was anything moved? MOVE of a UID that is gone says OK as well. Only COPYUID proves it.
 */
static void move_confirm(struct conn *c, struct op *op)
{
    if (op->new_uid)
        moved(c, op);
    else
        look_ask(c, op, STEP_LOOK_AFTER);
}

/* Without COPYUID: it is gone now, and it was there before, or something was expunged. */
static void move_looked_after(struct conn *c, struct op *op)
{
    if (!look_found(op) && (op->saw & OP_SAW_MESSAGE || op->count > 0))
        moved(c, op);
    else if (look_found(op) && exec_once_more(op))
        move_begin(c, op);
    else
        delete_finish(c, op, look_found(op) ? -EIO : -ENOENT);
}

/* The second MOVE is refused, after the answer to the first was lost: perhaps because the first was
 * still at work when it was looked for, and has succeeded since. */
static void move_doubted(struct conn *c, struct op *op, int err)
{
    op->fail = err;
    look_ask(c, op, STEP_LOOK_REFUSED);
}

static void move_refused(struct conn *c, struct op *op, int err, enum resp_cond cond)
{
    if (cond == COND_NO && op->unsure) {
        move_doubted(c, op, err);
        return;
    }
    /* Should it be gone when this is asked again, then by another's hand. */
    if (cond == COND_NO && op->count == 0 && !op->new_uid)
        op->phase = PHASE_BEGIN;
    delete_finish(c, op, err);
}

static void move_copied(struct conn *c, struct op *op, const struct response *r)
{
    int err = outcome_errno(r);
    if (r->cond == COND_NO)
        op->phase = PHASE_BEGIN; /* nothing was copied */
    if (err) {
        delete_finish(c, op, err);
    } else if (copy_proven(op)) {
        if (!caps_has(&c->caps, CAP_UIDPLUS))
            arrival_ask_uid(c, op);
        move_delete(c, op);
    } else {
        copy_unproven(c, op);
    }
}

static void move_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    if (step <= STEP_LOOK_REFUSED)
        err = look_error(op, r);
    if (step >= LOOK_ROW) {
        look_answered(c, step, r);
        return;
    }
    if (step >= ARRIVAL_MESSAGE) {
        copy_judge(c, op, arrival_answered(c, op, step, r));
        return;
    }
    switch (step) {
    case STEP_LOOK:
        if (err)
            delete_finish(c, op, err);
        else
            move_settle(c, op, look_found(op));
        return;
    case STEP_LOOK_BEFORE:
        if (err)
            delete_finish(c, op, err);
        else
            move_seen(c, op);
        return;
    case STEP_LOOK_AFTER:
        if (err)
            delete_finish(c, op, err);
        else
            move_looked_after(c, op);
        return;
    case STEP_MOVE:
        if (r->cond == COND_BAD && op->count == 0 && !op->new_uid)
            move_by_copy(c, op); /* advertised and not understood */
        else if (err)
            move_refused(c, op, err, r->cond);
        else
            move_confirm(c, op);
        return;
    case STEP_LOOK_REFUSED:
        if (err || look_found(op))
            delete_finish(c, op, op->fail);
        else
            moved(c, op);
        return;
    case STEP_COPY:
        move_copied(c, op, r);
        return;
    default:
        delete_answered(c, op, step, r);
        return;
    }
}

const struct op_class exec_move = {.retry = RETRY_SETTLE,
                                   .select = true,
                                   .write = true,
                                   .searches = true,
                                   .start = move_start,
                                   .answered = move_answered};

/* ---- copying and flags ---- */

/* As in move_by_copy(), OK alone proves nothing: it takes COPYUID, or a row in front. Without
 * UIDPLUS the COPY might hit another message (look.h), so the message is looked for before. */
static void copy_start(struct conn *c, struct op *op)
{
    if (op->resumed && op->phase == PHASE_COPY) {
        arrival_note_message(c, op);
        look_ask(c, op, STEP_LOOK);
        return;
    }
    op->new_uid = 0;
    op->saw = 0;
    op->by_copy = true;
    bool known = op->arrival.known;
    arrival_note(c, op);
    if (!caps_has(&c->caps, CAP_UIDPLUS)) {
        look_ask(c, op, STEP_LOOK_BEFORE);
        return;
    }
    if (known)
        look_ask_row(c, op, LOOK_ROW);
    copy_send(c, op);
}

static void copy_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    if (step >= LOOK_ROW) {
        look_answered(c, step, r);
    } else if (step >= ARRIVAL_MESSAGE) {
        copy_judge(c, op, arrival_answered(c, op, step, r));
    } else if (step == STEP_LOOK) {
        err = look_error(op, r);
        if (err || !look_found(op))
            conn_finish(c, op, err ? err : -ENOENT);
        else
            copy_judge(c, op, arrival_look(c, op));
    } else if (step == STEP_LOOK_BEFORE) {
        err = look_error(op, r);
        if (err)
            conn_finish(c, op, err);
        else
            move_seen(c, op);
    } else if (step == STEP_COPY) {
        if (r->cond == COND_NO)
            op->phase = PHASE_BEGIN; /* nothing was copied */
        if (!err && !copy_proven(op))
            copy_unproven(c, op);
        else
            conn_finish(c, op, err);
    }
}

/* A second copy is worse than an error that says to look. */
const struct op_class exec_copy = {.retry = RETRY_SETTLE,
                                   .select = true,
                                   .searches = true,
                                   .start = copy_start,
                                   .answered = copy_answered};

static void store_send(struct conn *c, struct op *op)
{
    op->saw = 0;
    buf_addf(conn_begin(c, op, STEP_STORE, WANT_NONE), "UID STORE %u %s", op->uid, op->text);
    conn_end(c);
}

static void store_start(struct conn *c, struct op *op)
{
    op->again = false; /* this connection has not been asked */
    store_send(c, op);
}

/* STORE of a UID that is gone, or of which this connection has not heard yet, says OK and does
 * nothing; a row with the flags is what proves it. But Dovecot, for one, sends none when nothing
 * was to be changed. So behind the second STORE it is asked whether the message is there at all: by
 * FETCH, whose answer says whom it is for, so that several of these may be under way at once. */
static void store_again(struct conn *c, struct op *op)
{
    store_send(c, op);
    buf_addf(conn_begin(c, op, STEP_ROW, WANT_NONE), "UID FETCH %u (UID)", op->uid);
    conn_end(c);
}

static void store_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    if (step == STEP_ROW)
        conn_finish(c, op, err ? err : op->saw & OP_SAW_MESSAGE ? 0 : -ENOENT);
    else if (err || op->saw & OP_SAW_FLAGS)
        conn_finish(c, op, err);
    else if (exec_once_more(op))
        store_again(c, op); /* else the FETCH is on its way */
}

/* Setting the same flags twice is setting them once. */
const struct op_class exec_store = {.retry = RETRY_REPEAT,
                                    .select = true,
                                    .write = true,
                                    .start = store_start,
                                    .answered = store_answered};
