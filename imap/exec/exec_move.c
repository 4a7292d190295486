/* Moving and copying messages. Mail is sacred here: nothing is deleted whose copy was not
 * confirmed, nothing but by UID, and after a lost connection the server is asked what happened
 * before anything is answered or done again. */
#include "imap/exec/exec_move.h"

#include <errno.h>

#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/arrival.h"
#include "imap/exec/exec_delete.h"
#include "imap/exec/op_message.h"
#include "imap/exec/search.h"

/* How far an operation got; kept when the connection is lost. */
enum phase {
    PHASE_BEGIN,  /* nothing was sent that changes anything, of what is left */
    PHASE_MOVE,   /* UID MOVE was sent */
    PHASE_COPY,   /* UID COPY was sent: copies may exist, the messages do for certain */
    PHASE_DELETE, /* the copies are confirmed; the messages are being deleted */
};

enum step {
    STEP_LOOK,         /* to settle what a lost connection left open */
    STEP_LOOK_BEFORE,  /* in front of a MOVE or COPY whose OK would prove nothing by itself */
    STEP_LOOK_AFTER,   /* behind such a MOVE */
    STEP_LOOK_REFUSED, /* behind a second MOVE that was refused */
    STEP_MOVE,
    STEP_COPY,
};

/* Of both kinds. */
struct progress {
    enum phase phase;
    bool begun;               /* `left` is what it was begun with, or less */
    bool by_copy;             /* it is by COPY (and deletion), and not by MOVE */
    bool unsure;              /* the answer to a MOVE was lost, so it may be done at any time */
    struct uidset left;       /* neither moved nor copied yet, nor failed */
    struct uidset seen;       /* of these, those that were found there, in front of the command */
    struct uidset copied;     /* the copy is confirmed; of OP_MOVE to be deleted, or deleted */
    uint64_t sent;            /* how many the last MOVE was sent for */
    int refused;              /* errno of a MOVE that may be done all the same */
    struct deletion deletion; /* of OP_COPY, nothing but the error */
    struct look look;
    struct search search;
    struct arrival arrival;
};
static_assert(sizeof(struct progress) <= OP_PROGRESS_CHANGE, "room");

static struct progress *progress_of(const struct op *op)
{
    return op->progress;
}

struct uidmap *move_copies(const struct op *op, uint32_t **validity)
{
    if (op->kind == OP_MOVE) {
        *validity = &op_as_move(op)->copies_validity;
        return &op_as_move(op)->copies;
    }
    *validity = &op_as_copy(op)->copies_validity;
    return &op_as_copy(op)->copies;
}

static struct uidmap *copies_of(const struct op *op)
{
    uint32_t *validity;
    return move_copies(op, &validity);
}

/* Ends the operation, with the first of all errors. What is left may be begun anew. */
static void finish(struct conn *c, struct op *op, int err)
{
    if (op->kind == OP_MOVE)
        delete_finish(c, op, err);
    else
        conn_finish(c, op, deletion_error(&progress_of(op)->deletion, err));
}

/* These of what is left have failed. */
static void give_up(struct op *op, const struct uidset *uids, int err)
{
    struct progress *p = progress_of(op);
    if (uids->n && !p->deletion.err)
        p->deletion.err = err;
    uidset_cut(&p->left, uids);
}

/* These of what is left are moved. */
static void note_moved(struct op *op, const struct uidset *uids)
{
    struct progress *p = progress_of(op);
    uidset_join(&p->deletion.gone, uids);
    uidset_cut(&p->left, uids);
}

/* Adds those of what is left that a COPYUID has named. */
static void add_mapped(const struct op *op, struct uidset *out)
{
    const struct uidmap *copies = copies_of(op);
    for (size_t i = 0; i < copies->n; i++)
        if (uidset_has(&progress_of(op)->left, copies->pairs[i].from))
            uidset_add(out, copies->pairs[i].from, copies->pairs[i].from);
}

/* Divides what is left by whether look_ask() has found it. */
static void divide(const struct op *op, struct uidset *found, struct uidset *missing)
{
    look_found(op, found);
    uidset_keep(found, &progress_of(op)->left);
    uidset_join(missing, &progress_of(op)->left);
    uidset_cut(missing, found);
}

static void see_nothing(struct op *op)
{
    look_forget(&progress_of(op)->look);
    uidset_free(&progress_of(op)->seen);
}

static void begin(struct op *op, const struct uidset *uids)
{
    struct progress *p = progress_of(op);
    if (!p->begun)
        uidset_join(&p->left, uids);
    p->begun = true;
}

/* ---- what is sent ---- */

static void send_to(struct conn *c, struct op *op, int step, const char *command)
{
    struct buf *b = conn_begin(c, op, step, step == STEP_MOVE ? WANT_EXPUNGE : WANT_NONE);
    buf_addf(b, "UID %s ", command);
    uidset_text(&progress_of(op)->left, b);
    buf_addc(b, ' ');
    conn_mailbox(c, b, arrival_mailbox(op));
    conn_end(c);
}

static void move_send(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    p->phase = PHASE_MOVE;
    p->sent = uidset_count(&p->left);
    send_to(c, op, STEP_MOVE, "MOVE");
}

static void copy_send(struct conn *c, struct op *op)
{
    progress_of(op)->phase = PHASE_COPY;
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
    struct progress *p = progress_of(op);
    see_nothing(op);
    p->by_copy = true;
    /* What the copy's UID is concluded from, where COPYUID does not tell it, is asked for now. */
    bool told = caps_has(&c->caps, CAP_UIDPLUS);
    if (told && !p->arrival.uidnext) {
        p->arrival.uidnext = o->dest_uidnext;
        p->arrival.uidvalidity = o->dest_uidvalidity;
    }
    if (!told || !p->arrival.uidnext) {
        arrival_note(c, op, &p->left);
        look_ask(c, op, &p->left, STEP_LOOK_BEFORE);
        return;
    }
    if (arrival_known(op, &p->left))
        look_ask_rows(c, op, &p->left, LOOK_ROW);
    arrival_note_messages(c, op, &p->left);
    copy_send(c, op);
}

/* Nothing shows that the OK of a COPY stands for a copy; nothing shows that it does not. That is
 * settled as if the connection had been lost. */
static void copy_unproven(struct conn *c, struct op *op)
{
    op->resumed = true;
    op->due = 0;
    finish(c, op, -EINPROGRESS);
}

/* Were they all seen just now? Where a STORE might hit another message, that is needed (look.h). */
static bool may_delete(const struct conn *c, const struct progress *p)
{
    struct uidset unseen = {0};
    if (look_is_exact(c))
        return true;
    uidset_join(&unseen, &p->copied);
    uidset_cut(&unseen, &p->seen);
    uidset_cut(&unseen, &p->look.there);
    bool none = unseen.n == 0;
    uidset_free(&unseen);
    return none;
}

static void move_delete(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    p->phase = PHASE_DELETE;
    if (may_delete(c, p))
        delete_begin(c, op, &p->copied);
    else
        look_ask(c, op, &p->copied, STEP_LOOK);
}

/* What is left is none: what was copied, by whichever COPY, is deleted. */
static void conclude(struct conn *c, struct op *op)
{
    if (op->kind == OP_MOVE && progress_of(op)->copied.n)
        move_delete(c, op);
    else
        finish(c, op, 0);
}

static void move_begin(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    delete_disown(c, op);
    uidset_free(&p->deletion.expunged);
    uidmap_cut(copies_of(op), &p->left);
    see_nothing(op);
    p->by_copy = false;
    p->phase = PHASE_BEGIN;
    if (!p->left.n)
        conclude(c, op);
    else if (!caps_has(&c->caps, CAP_MOVE))
        move_by_copy(c, op);
    else if (!caps_has(&c->caps, CAP_UIDPLUS))
        look_ask(c, op, &p->left, STEP_LOOK_BEFORE);
    else
        move_send(c, op);
}

/* They were looked for: now they are moved, or copied. */
static void move_seen(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    struct uidset found = {0}, missing = {0};
    divide(op, &found, &missing);
    if (missing.n && exec_once_more(&p->deletion.again)) {
        look_ask(c, op, &p->left, STEP_LOOK_BEFORE);
    } else {
        give_up(op, &missing, -ENOENT);
        uidset_free(&p->seen);
        uidset_join(&p->seen, &found);
        if (!p->left.n)
            conclude(c, op);
        else if (p->by_copy)
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
    struct progress *p = progress_of(op);
    begin(op, &op_as_move(op)->uids);
    delete_disown(c, op); /* of a lost connection */
    p->unsure |= op->resumed && p->phase == PHASE_MOVE;
    if (op->resumed && p->phase == PHASE_COPY)
        arrival_note_messages(c, op, &p->left);
    if (op->resumed && p->phase != PHASE_BEGIN)
        look_ask(c, op, p->phase == PHASE_DELETE ? &p->copied : &p->left, STEP_LOOK);
    else
        move_begin(c, op);
}

/* ---- after a lost connection ---- */

/* The COPY whose answer was lost was looked after in the mailbox it went to: what is there is
 * copied, what is not is left, and of the rest nobody can tell. */
static void take_verdict(struct op *op)
{
    struct progress *p = progress_of(op);
    struct uidset there = {0}, not_there = {0};
    uint32_t *validity;
    struct uidmap *copies = move_copies(op, &validity);
    arrival_there(op, &there);
    arrival_not(op, &not_there);
    for (size_t i = 0; i < p->arrival.n; i++)
        if (p->arrival.travellers[i].fate == FATE_THERE)
            uidmap_put(copies, p->arrival.travellers[i].uid, p->arrival.travellers[i].there);
    if (there.n)
        *validity = p->arrival.uidvalidity_now;
    uidset_join(&p->copied, &there);
    uidset_cut(&p->left, &there);
    struct uidset unclear = {0};
    uidset_join(&unclear, &p->left);
    uidset_cut(&unclear, &not_there);
    give_up(op, &unclear, p->arrival.fail);
    uidset_free(&there);
    uidset_free(&not_there);
    uidset_free(&unclear);
}

static void copy_judge(struct conn *c, struct op *op, enum arrival_verdict verdict)
{
    struct progress *p = progress_of(op);
    bool moves = op->kind == OP_MOVE;
    if (verdict == ARRIVAL_OPEN)
        return;
    if (verdict == ARRIVAL_JUDGED) {
        take_verdict(op);
        p->phase = p->left.n ? PHASE_BEGIN : PHASE_DELETE;
        if (p->left.n || (moves && p->copied.n)) {
            conn_select(c, op, moves);
            return;
        }
    }
    if (!c->box.name)
        conn_leave_box(c);
    if (verdict == ARRIVAL_LATER)
        exec_later(c, op);
    else
        finish(c, op, 0);
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
    note_moved(op, missing);
    if (silent)
        finish(c, op, -ETIMEDOUT);
    else
        move_begin(c, op);
}

/* COPY and deletion: are those whose copy is confirmed still there? */
static void settle_delete(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    struct uidset found = {0}, missing = {0};
    look_found(op, &found);
    uidset_join(&missing, &p->copied);
    uidset_cut(&missing, &found);
    uidset_join(&p->deletion.gone, &missing);
    delete_begin(c, op, &found);
    uidset_free(&found);
    uidset_free(&missing);
}

/* The connection was lost; now it is known whether the messages are still there. */
static void settle(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    struct uidset found = {0}, missing = {0};
    if (p->phase == PHASE_DELETE) {
        settle_delete(c, op);
        return;
    }
    divide(op, &found, &missing);
    if (p->phase == PHASE_MOVE) {
        settle_move(c, op, &found, &missing);
    } else {
        give_up(op, &missing, -ENOENT);
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
    struct progress *p = progress_of(op);
    struct uidset mapped = {0};
    add_mapped(op, &mapped);
    note_moved(op, &mapped);
    uidset_free(&mapped);
    if (p->left.n)
        look_ask(c, op, &p->left, STEP_LOOK_AFTER);
    else
        conclude(c, op);
}

/* Without COPYUID: they are gone now, and were there before, or as many were expunged. */
static void move_looked_after(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    struct deletion *d = &p->deletion;
    struct uidset found = {0}, missing = {0}, sure = {0};
    divide(op, &found, &missing);
    uidset_join(&sure, &missing);
    if (d->unnamed + uidset_count(&d->expunged) < p->sent - uidset_count(&found)) {
        struct uidset proven = {0};
        uidset_join(&proven, &p->seen);
        uidset_join(&proven, &d->expunged);
        uidset_keep(&sure, &proven);
        uidset_free(&proven);
    }
    note_moved(op, &sure);
    uidset_cut(&missing, &sure);
    give_up(op, &missing, -ENOENT);
    bool again = found.n && exec_once_more(&d->again);
    if (!again)
        give_up(op, &found, -EIO);
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
    const struct deletion *d = &progress_of(op)->deletion;
    struct uidset mapped = {0};
    add_mapped(op, &mapped);
    bool none = !d->unnamed && !d->expunged.n && !mapped.n;
    uidset_free(&mapped);
    return none;
}

/* The second MOVE is refused, after the answer to the first was lost: perhaps because the first was
 * still at work when they were looked for, and has succeeded since. */
static void move_doubted(struct conn *c, struct op *op, int err)
{
    progress_of(op)->refused = err;
    look_ask(c, op, &progress_of(op)->left, STEP_LOOK_REFUSED);
}

static void move_refused(struct conn *c, struct op *op, int err, enum resp_cond cond)
{
    struct progress *p = progress_of(op);
    struct uidset mapped = {0};
    if (cond == COND_NO && p->unsure) {
        move_doubted(c, op, err);
        return;
    }
    /* Should they be gone when this is asked again, then by another's hand. */
    if (cond == COND_NO && nothing_moved(op))
        p->phase = PHASE_BEGIN;
    /* Of some it may be known that they were moved before that. */
    add_mapped(op, &mapped);
    uidset_keep(&mapped, &p->deletion.expunged);
    note_moved(op, &mapped);
    uidset_free(&mapped);
    finish(c, op, p->left.n ? err : 0);
}

static void looked_after_refusal(struct conn *c, struct op *op)
{
    struct uidset found = {0}, missing = {0};
    divide(op, &found, &missing);
    note_moved(op, &missing);
    finish(c, op, found.n ? progress_of(op)->refused : 0);
    uidset_free(&found);
    uidset_free(&missing);
}

/* The COPY said OK: those are copied that it named, or that were seen in front of it. */
static void take_proven(struct op *op)
{
    struct progress *p = progress_of(op);
    struct uidset proven = {0};
    add_mapped(op, &proven);
    uidset_join(&proven, &p->seen);
    uidset_join(&proven, &p->look.there);
    uidset_keep(&proven, &p->left);
    uidset_join(&p->copied, &proven);
    uidset_cut(&p->left, &proven);
    uidset_free(&proven);
}

/* Of one message it can be concluded. */
static void ask_new_uid(struct conn *c, struct op *op)
{
    const struct uidset *copied = &progress_of(op)->copied;
    if (!caps_has(&c->caps, CAP_UIDPLUS) && uidset_count(copied) == 1 &&
        !uidmap_get(copies_of(op), copied->r[0].lo))
        arrival_ask_uid(c, op);
}

static void learn_new_uid(struct op *op)
{
    const struct progress *p = progress_of(op);
    uint32_t *validity, uid = arrival_new_uid(op);
    struct uidmap *copies = move_copies(op, &validity);
    if (!uid || uidset_count(&p->copied) != 1 || uidmap_get(copies, p->copied.r[0].lo))
        return;
    uidmap_put(copies, p->copied.r[0].lo, uid);
    *validity = p->arrival.uidvalidity;
}

static void copy_answered(struct conn *c, struct op *op, const struct response *r)
{
    struct progress *p = progress_of(op);
    int err = outcome_errno(r);
    if (r->cond == COND_NO)
        p->phase = PHASE_BEGIN; /* nothing was copied */
    if (err && err != -EBUSY && op->kind == OP_MOVE && p->copied.n) {
        give_up(op, &p->left, err); /* those of an earlier COPY are to be deleted */
        move_delete(c, op);
        return;
    }
    if (err) {
        finish(c, op, err);
        return;
    }
    take_proven(op);
    if (p->left.n) {
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
        learn_new_uid(op);
    else if (step < ARRIVAL_EXAMINE) /* a COPYUID in such an answer is none */
        uidmap_cut(copies_of(op), &progress_of(op)->left);
    copy_judge(c, op, arrival_answered(c, op, step, r));
}

static void looked(struct conn *c, struct op *op, int step, int err)
{
    if (err) {
        finish(c, op, step == STEP_LOOK_REFUSED ? progress_of(op)->refused : err);
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

static struct search *its_search(const struct op *op)
{
    return &progress_of(op)->search;
}

static struct look *its_look(const struct op *op)
{
    return &progress_of(op)->look;
}

static struct deletion *its_deletion(const struct op *op)
{
    return &progress_of(op)->deletion;
}

static struct arrival *its_arrival(const struct op *op)
{
    return &progress_of(op)->arrival;
}

static void free_progress(struct progress *p)
{
    uidset_free(&p->left);
    uidset_free(&p->seen);
    uidset_free(&p->copied);
    deletion_free(&p->deletion);
    look_forget(&p->look);
    search_begin(&p->search);
    arrival_free(&p->arrival);
}

static const struct uidset *move_uids(const struct op *op)
{
    return &op_as_move(op)->uids;
}

static void move_end(struct op *op)
{
    struct op_move *o = op_as_move(op);
    const struct deletion *d = &progress_of(op)->deletion;
    uidset_join(&o->gone, &d->gone);
    uidset_join(&o->flagged, &d->flagged);
    free_progress(progress_of(op));
}

const struct op_class exec_move = {.retry = RETRY_SETTLE,
                                   .select = true,
                                   .write = true,
                                   .searches = true,
                                   .start = move_start,
                                   .answered = answered,
                                   .end = move_end,
                                   .search = its_search,
                                   .look = its_look,
                                   .deletion = its_deletion,
                                   .arrival = its_arrival,
                                   .uids = move_uids};

/* As in move_by_copy(), OK alone proves nothing: it takes COPYUID, or a row in front. Without
 * UIDPLUS the COPY might hit another message (look.h), so the messages are looked for before. */
static void copy_start(struct conn *c, struct op *op)
{
    struct progress *p = progress_of(op);
    begin(op, &op_as_copy(op)->uids);
    if (op->resumed && p->phase == PHASE_COPY) {
        arrival_note_messages(c, op, &p->left);
        look_ask(c, op, &p->left, STEP_LOOK);
        return;
    }
    uidmap_cut(copies_of(op), &p->left);
    see_nothing(op);
    p->by_copy = true;
    bool known = arrival_known(op, &p->left);
    arrival_note(c, op, &p->left);
    if (!caps_has(&c->caps, CAP_UIDPLUS)) {
        look_ask(c, op, &p->left, STEP_LOOK_BEFORE);
        return;
    }
    if (known)
        look_ask_rows(c, op, &p->left, LOOK_ROW);
    copy_send(c, op);
}

static const struct uidset *copy_uids(const struct op *op)
{
    return &op_as_copy(op)->uids;
}

static void copy_end(struct op *op)
{
    uidset_join(&op_as_copy(op)->copied, &progress_of(op)->copied);
    free_progress(progress_of(op));
}

/* A second copy is worse than an error that says to look. */
const struct op_class exec_copy = {.retry = RETRY_SETTLE,
                                   .select = true,
                                   .searches = true,
                                   .start = copy_start,
                                   .answered = answered,
                                   .end = copy_end,
                                   .search = its_search,
                                   .look = its_look,
                                   .arrival = its_arrival,
                                   .uids = copy_uids};
