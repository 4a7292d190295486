/* Moving and copying messages. Mail is sacred here: nothing is deleted whose copy was not
 * confirmed, nothing but by UID, and after a lost connection the server is asked what happened
 * before anything is answered or done again. */
#include <errno.h>

#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/transfer.h"

enum step {
    STEP_LOOK,         /* to settle what a lost connection left open */
    STEP_LOOK_BEFORE,  /* in front of a MOVE or COPY whose OK would prove nothing by itself */
    STEP_LOOK_AFTER,   /* behind such a MOVE */
    STEP_LOOK_REFUSED, /* behind a second MOVE that was refused */
    STEP_MOVE,
    STEP_COPY,
};

static struct uidmap *copies_of(const struct op *op)
{
    uint32_t *validity;
    return transfer_copies(op, &validity);
}

/* ---- what is sent ---- */

static void send_to(struct conn *c, struct op *op, int step, const char *command)
{
    struct buf *b = conn_begin(c, op, step, step == STEP_MOVE ? WANT_EXPUNGE : WANT_NONE);
    buf_addf(b, "UID %s ", command);
    uidset_text(&transfer_of(op)->left, b);
    buf_addc(b, ' ');
    conn_mailbox(c, b, arrival_mailbox(op));
    conn_end(c);
}

static void move_send(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    t->phase = PHASE_MOVE;
    t->sent = uidset_count(&t->left);
    send_to(c, op, STEP_MOVE, "MOVE");
}

static void copy_send(struct conn *c, struct op *op)
{
    transfer_of(op)->phase = PHASE_COPY;
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
    const struct op_move *o = op_as_move(op);
    struct transfer *t = transfer_of(op);
    transfer_see_nothing(op);
    t->by_copy = true;
    /* Behind a MOVE that was not understood: should they be gone when this is asked again, then by
     * another's hand. */
    if (!t->unsure)
        t->phase = PHASE_BEGIN;
    /* What the copy's UID is concluded from, where COPYUID does not tell it, is asked for now. */
    bool told = caps_has(&c->caps, CAP_UIDPLUS);
    if (told && !t->arrival.uidnext) {
        t->arrival.uidnext = o->dest_uidnext;
        t->arrival.uidvalidity = o->dest_uidvalidity;
    }
    if (!told || !t->arrival.uidnext) {
        arrival_note(c, op, &t->left);
        look_ask(c, op, &t->left, STEP_LOOK_BEFORE);
        return;
    }
    if (arrival_known(op, &t->left))
        look_ask_rows(c, op, &t->left, LOOK_ROW);
    arrival_note_messages(c, op, &t->left);
    copy_send(c, op);
}

/* Nothing shows that the OK of a COPY stands for a copy; nothing shows that it does not. That is
 * settled as if the connection had been lost. */
static void copy_unproven(struct conn *c, struct op *op)
{
    op->resumed = true;
    op->due = 0;
    transfer_finish(c, op, -EINPROGRESS);
}

/* Were they all seen just now? Where a STORE might hit another message, that is needed (look.h). */
static bool may_delete(const struct conn *c, const struct transfer *t)
{
    struct uidset unseen = {0};
    if (look_is_exact(c))
        return true;
    uidset_join(&unseen, &t->copied);
    uidset_cut(&unseen, &t->seen);
    uidset_cut(&unseen, &t->look.there);
    bool none = unseen.n == 0;
    uidset_free(&unseen);
    return none;
}

static void move_delete(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    t->phase = PHASE_DELETE;
    if (may_delete(c, t))
        delete_begin(c, op, &t->copied);
    else
        look_ask(c, op, &t->copied, STEP_LOOK);
}

/* What is left is none: what was copied, by whichever COPY, is deleted. */
static void conclude(struct conn *c, struct op *op)
{
    if (op->kind == OP_MOVE && transfer_of(op)->copied.n)
        move_delete(c, op);
    else
        transfer_finish(c, op, 0);
}

/* The server refuses what is left. Those of an earlier COPY are to be deleted all the same, unless
 * it is all asked again. */
static void fail_left(struct conn *c, struct op *op, int err)
{
    struct transfer *t = transfer_of(op);
    if (t->left.n && (err == -EBUSY || !t->copied.n)) {
        transfer_finish(c, op, err);
        return;
    }
    transfer_give_up(op, &t->left, err);
    conclude(c, op);
}

static void move_begin(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    delete_disown(c, op);
    uidset_free(&t->deletion.expunged);
    uidmap_cut(copies_of(op), &t->left);
    transfer_see_nothing(op);
    t->by_copy = false;
    t->phase = PHASE_BEGIN;
    if (!t->left.n)
        conclude(c, op);
    else if (!caps_has(&c->caps, CAP_MOVE))
        move_by_copy(c, op);
    else if (!caps_has(&c->caps, CAP_UIDPLUS))
        look_ask(c, op, &t->left, STEP_LOOK_BEFORE);
    else
        move_send(c, op);
}

/* They were looked for: now they are moved, or copied. */
static void move_seen(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    struct uidset found = {0}, missing = {0};
    transfer_divide(op, &found, &missing);
    if (missing.n && exec_once_more(&t->deletion.again)) {
        look_ask(c, op, &t->left, STEP_LOOK_BEFORE);
    } else {
        transfer_give_up(op, &missing, -ENOENT);
        uidset_free(&t->seen);
        uidset_join(&t->seen, &found);
        if (!t->left.n)
            conclude(c, op);
        else if (t->by_copy)
            copy_send(c, op);
        else
            move_send(c, op);
    }
    uidset_free(&found);
    uidset_free(&missing);
}

/* To look for the copies, the messages' own facts are needed: it is asked for them again if the
 * answer was lost with the rest. */
static void move_start(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    transfer_begin(op, &op_as_move(op)->uids);
    delete_disown(c, op); /* of a lost connection */
    t->unsure |= op->resumed && t->phase == PHASE_MOVE;
    if (op->resumed && t->phase == PHASE_COPY)
        arrival_note_messages(c, op, &t->left);
    if (op->resumed && t->phase != PHASE_BEGIN)
        look_ask(c, op, t->phase == PHASE_DELETE ? &t->copied : &t->left, STEP_LOOK);
    else
        move_begin(c, op);
}

/* ---- after a lost connection ---- */

static void copy_judge(struct conn *c, struct op *op, enum arrival_verdict verdict)
{
    struct transfer *t = transfer_of(op);
    bool moves = op->kind == OP_MOVE;
    if (verdict == ARRIVAL_OPEN)
        return;
    if (verdict == ARRIVAL_JUDGED) {
        transfer_judged(op);
        t->phase = t->left.n ? PHASE_BEGIN : PHASE_DELETE;
        if (t->left.n || (moves && t->copied.n)) {
            conn_select(c, op, moves);
            return;
        }
    }
    if (!c->box.name)
        conn_leave_box(c);
    if (verdict == ARRIVAL_LATER)
        exec_later(c, op);
    else
        transfer_finish(c, op, 0);
}

/* MOVE: those that are gone are moved; their new UIDs show when the folder is read. */
static void settle_move(struct conn *c, struct op *op, const struct uidset *found,
                        const struct uidset *missing)
{
    /* A server that was silent for so long may be at it still. */
    bool silent = found->n && op->timed_out;
    if (found->n && !silent && exec_too_early(c, op)) {
        exec_later(c, op);
        return;
    }
    transfer_moved(op, missing);
    if (silent)
        transfer_finish(c, op, -ETIMEDOUT);
    else
        move_begin(c, op);
}

/* COPY and deletion: are those whose copy is confirmed still there? */
static void settle_delete(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    struct uidset found = {0}, missing = {0};
    look_found(op, &found);
    uidset_join(&missing, &t->copied);
    uidset_cut(&missing, &found);
    uidset_join(&t->deletion.gone, &missing);
    delete_begin(c, op, &found);
    uidset_free(&found);
    uidset_free(&missing);
}

/* The connection was lost; now it is known whether the messages are still there. */
static void settle(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    struct uidset found = {0}, missing = {0};
    if (t->phase == PHASE_DELETE) {
        settle_delete(c, op);
        return;
    }
    transfer_divide(op, &found, &missing);
    if (t->phase == PHASE_MOVE) {
        settle_move(c, op, &found, &missing);
    } else {
        transfer_give_up(op, &missing, -ENOENT);
        if (found.n)
            copy_judge(c, op, arrival_look(c, op, &found));
        else
            conclude(c, op);
    }
    uidset_free(&found);
    uidset_free(&missing);
}

/* ---- what the answers mean ---- */

/* OK, but was anything moved? MOVE of a UID that is gone says OK as well. Only COPYUID proves it.
 */
static void move_confirm(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    struct uidset mapped = {0};
    transfer_named(op, &mapped);
    transfer_moved(op, &mapped);
    uidset_free(&mapped);
    if (t->left.n)
        look_ask(c, op, &t->left, STEP_LOOK_AFTER);
    else
        conclude(c, op);
}

/* Without COPYUID: they are gone now, and were there before, or as many were expunged. */
static void move_looked_after(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    struct deletion *d = &t->deletion;
    struct uidset found = {0}, missing = {0}, sure = {0};
    transfer_divide(op, &found, &missing);
    uidset_join(&sure, &missing);
    if (d->unnamed + uidset_count(&d->expunged) < t->sent - uidset_count(&found)) {
        struct uidset proven = {0};
        uidset_join(&proven, &t->seen);
        uidset_join(&proven, &d->expunged);
        uidset_keep(&sure, &proven);
        uidset_free(&proven);
    }
    transfer_moved(op, &sure);
    uidset_cut(&missing, &sure);
    transfer_give_up(op, &missing, -ENOENT);
    bool again = found.n && exec_once_more(&d->again);
    if (!again)
        transfer_give_up(op, &found, -EIO);
    if (again)
        move_begin(c, op);
    else
        conclude(c, op);
    uidset_free(&found);
    uidset_free(&missing);
    uidset_free(&sure);
}

/* Has nothing come of a MOVE, as far as is known? */
static bool nothing_moved(const struct op *op)
{
    const struct deletion *d = &transfer_of(op)->deletion;
    struct uidset mapped = {0};
    transfer_named(op, &mapped);
    bool none = !d->unnamed && !d->expunged.n && !mapped.n;
    uidset_free(&mapped);
    return none;
}

/* The second MOVE is refused, after the answer to the first was lost: perhaps because the first was
 * still at work when they were looked for, and has succeeded since. */
static void move_doubted(struct conn *c, struct op *op, int err)
{
    transfer_of(op)->refused = err;
    look_ask(c, op, &transfer_of(op)->left, STEP_LOOK_REFUSED);
}

static void move_refused(struct conn *c, struct op *op, int err, enum resp_cond cond)
{
    struct transfer *t = transfer_of(op);
    struct uidset mapped = {0};
    if (cond == COND_NO && t->unsure) {
        move_doubted(c, op, err);
        return;
    }
    /* Should they be gone when this is asked again, then by another's hand. */
    if (cond == COND_NO && nothing_moved(op))
        t->phase = PHASE_BEGIN;
    /* Of some it may be known that they were moved before that. */
    transfer_named(op, &mapped);
    uidset_keep(&mapped, &t->deletion.expunged);
    transfer_moved(op, &mapped);
    uidset_free(&mapped);
    fail_left(c, op, err);
}

static void looked_after_refusal(struct conn *c, struct op *op)
{
    struct uidset found = {0}, missing = {0};
    transfer_divide(op, &found, &missing);
    transfer_moved(op, &missing);
    fail_left(c, op, transfer_of(op)->refused);
    uidset_free(&found);
    uidset_free(&missing);
}

/* Of one message it can be concluded. */
static void ask_new_uid(struct conn *c, struct op *op)
{
    const struct uidset *copied = &transfer_of(op)->copied;
    if (!caps_has(&c->caps, CAP_UIDPLUS) && uidset_count(copied) == 1 &&
        !uidmap_get(copies_of(op), copied->r[0].lo))
        arrival_ask_uid(c, op);
}

static void copy_answered(struct conn *c, struct op *op, const struct response *r)
{
    struct transfer *t = transfer_of(op);
    int err = outcome_errno(r);
    if (r->cond == COND_NO)
        t->phase = PHASE_BEGIN; /* nothing was copied */
    if (err) {
        fail_left(c, op, err);
        return;
    }
    transfer_proven(op);
    if (t->left.n) {
        copy_unproven(c, op);
        return;
    }
    if (op->kind == OP_MOVE)
        ask_new_uid(c, op);
    conclude(c, op);
}

/* The answer to one of the steps that arrival.h sends. */
static void arrival_step_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    if (step == ARRIVAL_UID)
        transfer_learn_uid(op);
    else if (step < ARRIVAL_EXAMINE) /* a COPYUID in such an answer is none */
        uidmap_cut(copies_of(op), &transfer_of(op)->left);
    copy_judge(c, op, arrival_answered(c, op, step, r));
}

static void looked(struct conn *c, struct op *op, int step, int err)
{
    if (err) {
        transfer_finish(c, op, step == STEP_LOOK_REFUSED ? transfer_of(op)->refused : err);
        return;
    }
    switch (step) {
    case STEP_LOOK:
        settle(c, op);
        return;
    case STEP_LOOK_BEFORE:
        move_seen(c, op);
        return;
    case STEP_LOOK_AFTER:
        move_looked_after(c, op);
        return;
    default:
        looked_after_refusal(c, op);
        return;
    }
}

static void answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    if (step >= LOOK_ROW)
        look_answered(c, step, r);
    else if (step >= ARRIVAL_MESSAGE)
        arrival_step_answered(c, op, step, r);
    else if (step <= STEP_LOOK_REFUSED)
        looked(c, op, step, look_error(op, r));
    else if (step == STEP_COPY)
        copy_answered(c, op, r);
    else if (step != STEP_MOVE)
        delete_answered(c, op, step, r);
    else if (r->cond == COND_BAD && nothing_moved(op))
        move_by_copy(c, op); /* advertised and not understood */
    else if (err)
        move_refused(c, op, err, r->cond);
    else
        move_confirm(c, op);
}

/* ---- the two kinds ---- */

static const struct uidset *move_uids(const struct op *op)
{
    return &op_as_move(op)->uids;
}

static void move_end(struct op *op)
{
    struct op_move *o = op_as_move(op);
    const struct deletion *d = &transfer_of(op)->deletion;
    uidset_join(&o->gone, &d->gone);
    uidset_join(&o->flagged, &d->flagged);
    transfer_free(transfer_of(op));
}

const struct op_class exec_move = {.retry = RETRY_SETTLE,
                                   .select = true,
                                   .write = true,
                                   .searches = true,
                                   .start = move_start,
                                   .answered = answered,
                                   .end = move_end,
                                   .search = transfer_search,
                                   .look = transfer_look,
                                   .deletion = transfer_deletion,
                                   .arrival = transfer_arrival,
                                   .uids = move_uids};

/* As in move_by_copy(), OK alone proves nothing: it takes COPYUID, or a row in front. Without
 * UIDPLUS the COPY might hit another message (look.h), so the messages are looked for before. */
static void copy_start(struct conn *c, struct op *op)
{
    struct transfer *t = transfer_of(op);
    transfer_begin(op, &op_as_copy(op)->uids);
    if (op->resumed && t->phase == PHASE_COPY) {
        arrival_note_messages(c, op, &t->left);
        look_ask(c, op, &t->left, STEP_LOOK);
        return;
    }
    uidmap_cut(copies_of(op), &t->left);
    transfer_see_nothing(op);
    t->by_copy = true;
    bool known = arrival_known(op, &t->left);
    arrival_note(c, op, &t->left);
    if (!caps_has(&c->caps, CAP_UIDPLUS)) {
        look_ask(c, op, &t->left, STEP_LOOK_BEFORE);
        return;
    }
    if (known)
        look_ask_rows(c, op, &t->left, LOOK_ROW);
    copy_send(c, op);
}

static const struct uidset *copy_uids(const struct op *op)
{
    return &op_as_copy(op)->uids;
}

static void copy_end(struct op *op)
{
    uidset_join(&op_as_copy(op)->copied, &transfer_of(op)->copied);
    transfer_free(transfer_of(op));
}

/* A second copy is worse than an error that says to look. */
const struct op_class exec_copy = {.retry = RETRY_SETTLE,
                                   .select = true,
                                   .searches = true,
                                   .start = copy_start,
                                   .answered = answered,
                                   .end = copy_end,
                                   .search = transfer_search,
                                   .look = transfer_look,
                                   .arrival = transfer_arrival,
                                   .uids = copy_uids};
