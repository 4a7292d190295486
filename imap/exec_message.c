/* Operations that change messages. Mail is sacred here: nothing is deleted whose copy was not
 * confirmed, nothing but by UID, and after a lost connection the server is asked what happened
 * before anything is answered or done again. */
#include <errno.h>

#include "imap/arrival.h"

#include "imap/log.h"
#include "imap/pool_internal.h"

/* How far an operation got; kept when the connection is lost. */
enum phase {
    PHASE_BEGIN,  /* nothing was sent that changes anything */
    PHASE_MOVE,   /* UID MOVE was sent */
    PHASE_COPY,   /* UID COPY was sent: a copy may exist, the message does for certain */
    PHASE_DELETE, /* the copy is confirmed (or none was wanted); the message is being deleted */
};

enum step {
    STEP_LOOK,         /* UID SEARCH UID n, to settle what a lost connection left open */
    STEP_LOOK_BEFORE,  /* ... in front of a MOVE or COPY whose OK would prove nothing by itself */
    STEP_LOOK_AFTER,   /* ... behind one */
    STEP_LOOK_REFUSED, /* ... behind a second one that was refused */
    STEP_MOVE,
    STEP_COPY,
    STEP_STORE,
    STEP_EXPUNGE_UID,
    STEP_EXPUNGE_AGAIN,
    STEP_LOOK_EXPUNGED, /* is it still there? */
    STEP_LOOK_FLAGGED,  /* it is: is it \Deleted at least? */
    STEP_SEARCH_DELETED,
    STEP_EXPUNGE_ALL,
    STEP_ROW, /* behind a STORE without a row: is the message there at all? */
};

/* ---- looking ---- */

static void look(struct conn *c, struct op *op, int step)
{
    exec_search_begin(op);
    buf_addf(conn_begin(c, op, step, WANT_SEARCH), "UID SEARCH UID %u%s", op->uid,
             step == STEP_LOOK_FLAGGED ? " DELETED" : "");
    conn_end(c);
}

static bool found(const struct op *op)
{
    return uidset_has(&op->found, op->uid);
}

/* ---- expunging ---- */

/* Nothing was expunged, or that cannot be said: an EXPUNGE that was taken for its own was
 * another's.
 */
static void disown(struct conn *c, struct op *op)
{
    if (op->own)
        pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_EXPUNGE);
    op->own = false;
    op->count = 0;
}

static void finish(struct conn *c, struct op *op, int err)
{
    if (!op->expunged)
        disown(c, op);
    conn_finish(c, op, err);
}

/* ---- deleting one message ---- */

static void expunge(struct conn *c, struct op *op, int step)
{
    buf_addf(conn_begin(c, op, step, WANT_EXPUNGE), "UID EXPUNGE %u", op->uid);
    conn_end(c);
}

static void expunge_without_uidplus(struct conn *c, struct op *op)
{
    disown(c, op);
    exec_search_begin(op);
    buf_adds(conn_begin(c, op, STEP_SEARCH_DELETED, WANT_SEARCH), "UID SEARCH DELETED");
    conn_end(c);
}

static void delete_begin(struct conn *c, struct op *op)
{
    op->phase = PHASE_DELETE;
    op->fail = 0;
    disown(c, op);
    op->saw &= ~(unsigned)OP_SAW_VANISHED;
    op->expunged = false;
    buf_addf(conn_begin(c, op, STEP_STORE, WANT_NONE), "UID STORE %u +FLAGS.SILENT (\\Deleted)",
             op->uid);
    conn_end(c);
    /* In one go with the STORE: if that is refused, the message is not \Deleted and this expunges
     * nothing. */
    if (caps_has(&c->caps, CAP_UIDPLUS))
        expunge(c, op, STEP_EXPUNGE_UID);
}

/* Dovecot 2.3, sent STORE and EXPUNGE in one go, now and then answers OK to both and expunges
 * nothing; a server may also say OK to a STORE that it ignores. So an OK without an EXPUNGE before
 * it is not believed: it is asked once more, and then looked. */
static void expunge_answered(struct conn *c, struct op *op, int step)
{
    if (op->count > 0 || op->saw & OP_SAW_VANISHED) {
        op->expunged = true;
        finish(c, op, 0);
    } else if (step == STEP_EXPUNGE_UID) {
        expunge(c, op, STEP_EXPUNGE_AGAIN);
    } else {
        look(c, op, STEP_LOOK_EXPUNGED);
    }
}

/* A bare EXPUNGE takes every \Deleted message with it, other clients' too. It is sent only when all
 * of them were deleted through this mount. */
static bool only_ours(const struct op *op)
{
    for (size_t i = 0; i < op->found.n; i++)
        for (uint64_t uid = op->found.r[i].lo; uid <= op->found.r[i].hi; uid++)
            if (uid != op->uid && !uidset_has(&op->spare, (uint32_t)uid))
                return false;
    return true;
}

static void deleted_listed(struct conn *c, struct op *op)
{
    if (!found(op)) {
        look(c, op, STEP_LOOK_EXPUNGED); /* another was quicker, or the STORE was ignored */
    } else if (only_ours(op)) {
        op->count = 0; /* likewise: nothing was asked to be expunged yet */
        buf_adds(conn_begin(c, op, STEP_EXPUNGE_ALL, WANT_EXPUNGE), "EXPUNGE");
        conn_end(c);
    } else {
        log_info("%s: UID %u is flagged \\Deleted but not expunged: the server lacks UIDPLUS and "
                 "other messages there are \\Deleted too",
                 op->mailbox, op->uid);
        finish(c, op, 0);
    }
}

static void delete_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    if (!err &&
        (step == STEP_LOOK_EXPUNGED || step == STEP_LOOK_FLAGGED || step == STEP_SEARCH_DELETED))
        err = exec_search_error(op);
    switch (step) {
    case STEP_STORE:
        op->fail = err;
        op->count = 0; /* what was expunged until now was expunged by others */
        if (!caps_has(&c->caps, CAP_UIDPLUS) && err)
            finish(c, op, err);
        else if (!caps_has(&c->caps, CAP_UIDPLUS))
            expunge_without_uidplus(c, op);
        return; /* the next one is on its way */
    case STEP_EXPUNGE_UID:
    case STEP_EXPUNGE_AGAIN:
        if (op->fail)
            finish(c, op, op->fail);
        else if (!err)
            expunge_answered(c, op, step);
        else
            expunge_without_uidplus(c, op); /* Proton Bridge advertises UIDPLUS and refuses it */
        return;
    case STEP_LOOK_EXPUNGED:
        op->expunged = !err && !found(op);
        if (err || op->expunged)
            finish(c, op, err);
        else
            look(c, op, STEP_LOOK_FLAGGED);
        return;
    case STEP_LOOK_FLAGGED:
        /* Flagged, and so gone from the listing; or not even that. */
        if (!err && !found(op) && exec_once_more(op))
            delete_begin(c, op);
        else
            finish(c, op, err ? err : found(op) ? 0 : -EACCES);
        return;
    case STEP_SEARCH_DELETED:
        if (op->fail || err)
            finish(c, op, op->fail ? op->fail : err);
        else
            deleted_listed(c, op);
        return;
    case STEP_EXPUNGE_ALL:
        if (err)
            finish(c, op, 0); /* flagged at least */
        else
            expunge_answered(c, op, step);
        return;
    }
}

/* Deleting the same UID twice is deleting it once, so after a loss it is simply asked again. */
const struct op_class exec_delete = {.retry = RETRY_SETTLE,
                                     .select = true,
                                     .write = true,
                                     .searches = true,
                                     .start = delete_begin,
                                     .answered = delete_answered};

/* ---- moving ---- */

static void send_to(struct conn *c, struct op *op, int step, const char *command)
{
    struct buf *b = conn_begin(c, op, step, step == STEP_MOVE ? WANT_EXPUNGE : WANT_NONE);
    buf_addf(b, "UID %s %u ", command, op->uid);
    conn_mailbox(c, b, op->dest);
    conn_end(c);
}

/* COPY of a UID that is gone says OK too, and COPYUID may be kept back: so it is looked for first.
 * The COPY waits for the answer, since Dovecot finishes a SEARCH out of turn. On the way there,
 * what is needed to find the copy if the connection is lost. */
static void move_by_copy(struct conn *c, struct op *op)
{
    op->saw = 0;
    op->by_copy = true;
    arrival_note(c, op);
    look(c, op, STEP_LOOK_BEFORE);
}

static void move_begin(struct conn *c, struct op *op)
{
    disown(c, op);
    op->new_uid = 0;
    op->saw = 0;
    op->by_copy = false;
    op->phase = PHASE_BEGIN;
    if (!caps_has(&c->caps, CAP_MOVE)) {
        move_by_copy(c, op);
    } else if (!caps_has(&c->caps, CAP_UIDPLUS)) {
        look(c, op, STEP_LOOK_BEFORE);
    } else {
        op->phase = PHASE_MOVE;
        send_to(c, op, STEP_MOVE, "MOVE");
    }
}

static void copy_send(struct conn *c, struct op *op)
{
    op->phase = PHASE_COPY;
    op->apart = true;
    send_to(c, op, STEP_COPY, "COPY");
}

/* It was looked for: now it is moved, or copied. */
static void move_seen(struct conn *c, struct op *op)
{
    op->saw = found(op) ? OP_SAW_MESSAGE : 0;
    if (!found(op) && exec_once_more(op)) {
        look(c, op, STEP_LOOK_BEFORE);
    } else if (!found(op)) {
        finish(c, op, -ENOENT);
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
    disown(c, op); /* of a lost connection */
    op->unsure |= op->resumed && op->phase == PHASE_MOVE;
    if (op->resumed && op->phase == PHASE_COPY)
        arrival_note_message(c, op);
    if (op->resumed && op->phase != PHASE_BEGIN)
        look(c, op, STEP_LOOK);
    else
        move_begin(c, op);
}

static void moved(struct conn *c, struct op *op)
{
    op->expunged = true;
    finish(c, op, 0);
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
            finish(c, op, -ETIMEDOUT);
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
            finish(c, op, -ENOENT);
        return;
    default:
        if (there)
            delete_begin(c, op);
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
        look(c, op, STEP_LOOK_AFTER);
}

/* Without COPYUID: it is gone now, and it was there before, or something was expunged. */
static void move_looked_after(struct conn *c, struct op *op)
{
    if (!found(op) && (op->saw & OP_SAW_MESSAGE || op->count > 0))
        moved(c, op);
    else if (found(op) && exec_once_more(op))
        move_begin(c, op);
    else
        finish(c, op, found(op) ? -EIO : -ENOENT);
}

/* The second MOVE is refused, after the answer to the first was lost: perhaps because the first was
 * still at work when it was looked for, and has succeeded since. */
static void move_doubted(struct conn *c, struct op *op, int err)
{
    op->fail = err;
    look(c, op, STEP_LOOK_REFUSED);
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
    finish(c, op, err);
}

static void move_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    if (!err && step <= STEP_LOOK_REFUSED)
        err = exec_search_error(op);
    if (step >= ARRIVAL_MESSAGE) {
        copy_judge(c, op, arrival_answered(c, op, step, r));
        return;
    }
    switch (step) {
    case STEP_LOOK:
        if (err)
            finish(c, op, err);
        else
            move_settle(c, op, found(op));
        return;
    case STEP_LOOK_BEFORE:
        if (err)
            finish(c, op, err);
        else
            move_seen(c, op);
        return;
    case STEP_LOOK_AFTER:
        if (err)
            finish(c, op, err);
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
        if (err || found(op))
            finish(c, op, op->fail);
        else
            moved(c, op);
        return;
    case STEP_COPY:
        if (r->cond == COND_NO)
            op->phase = PHASE_BEGIN; /* nothing was copied */
        if (err)
            finish(c, op, err);
        else
            delete_begin(c, op); /* it was seen, and the COPY of it said OK */
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

static void copy_start(struct conn *c, struct op *op)
{
    if (op->resumed && op->phase == PHASE_COPY) {
        arrival_note_message(c, op);
        look(c, op, STEP_LOOK);
        return;
    }
    op->new_uid = 0;
    arrival_note(c, op);
    copy_send(c, op);
}

static void copy_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    if (step >= ARRIVAL_MESSAGE) {
        copy_judge(c, op, arrival_answered(c, op, step, r));
    } else if (step == STEP_LOOK) {
        err = err ? err : exec_search_error(op);
        if (err || !found(op))
            conn_finish(c, op, err ? err : -ENOENT);
        else
            copy_judge(c, op, arrival_look(c, op));
    } else if (step == STEP_COPY) {
        if (r->cond == COND_NO)
            op->phase = PHASE_BEGIN; /* nothing was copied */
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
