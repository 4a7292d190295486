#include "imap/exec/exec_delete.h"

#include <errno.h>

#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"

void delete_disown(struct conn *c, struct op *op)
{
    if (op->own)
        pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_EXPUNGE);
    op->own = false;
    op->count = 0;
}

void delete_finish(struct conn *c, struct op *op, int err)
{
    if (!op->expunged)
        delete_disown(c, op);
    conn_finish(c, op, err);
}

static void expunged(struct conn *c, struct op *op)
{
    op->expunged = true;
    delete_finish(c, op, 0);
}

/* ---- what is sent ---- */

static void expunge(struct conn *c, struct op *op, int step)
{
    buf_addf(conn_begin(c, op, step, WANT_EXPUNGE), "UID EXPUNGE %u", op->uid);
    conn_end(c);
}

static void search_deleted(struct conn *c, struct op *op)
{
    exec_search_begin(op);
    buf_adds(conn_begin(c, op, DELETE_SEARCH, WANT_SEARCH), "UID SEARCH DELETED");
    conn_end(c);
}

/* In one go: if the STORE is refused, the message is not \Deleted, and UID EXPUNGE expunges
 * nothing; and nothing is expunged upon the SEARCH either. Where the server does not tell UIDs
 * (VANISHED), the row in front tells by which number the EXPUNGE is known, also when that comes
 * before the STORE is answered, as it does from Dovecot. What may have to be taken back is told by
 * it, too: whether the flag will be this one's, or was there before. */
static void flag_and_expunge(struct conn *c, struct op *op)
{
    if (!c->session.qresync || op->kind == OP_DELETE)
        look_ask_row(c, op, DELETE_ROW);
    buf_addf(conn_begin(c, op, DELETE_STORE, WANT_NONE), "UID STORE %u +FLAGS.SILENT (\\Deleted)",
             op->uid);
    conn_end(c);
    if (caps_has(&c->caps, CAP_UIDPLUS))
        expunge(c, op, DELETE_EXPUNGE_UID);
    else
        search_deleted(c, op);
}

void delete_begin(struct conn *c, struct op *op)
{
    op->fail = 0;
    delete_disown(c, op);
    op->saw &= ~(unsigned)OP_SAW_VANISHED;
    op->expunged = false;
    if (op->kind == OP_MOVE || look_is_exact(c)) {
        flag_and_expunge(c, op);
        return;
    }
    look_ask_nearest(c, op);
    look_ask(c, op, DELETE_LOOK);
}

/* Proton Bridge advertises UIDPLUS and refuses it. */
static void without_uidplus(struct conn *c, struct op *op)
{
    delete_disown(c, op);
    search_deleted(c, op);
}

/* ---- what the answers mean ---- */

/* Dovecot 2.3, sent STORE and EXPUNGE in one go, now and then answers OK to both and expunges
 * nothing; a server may also say OK to a STORE that it ignores. So an OK without an EXPUNGE before
 * it is not believed: it is asked once more, and then looked. */
static void expunge_answered(struct conn *c, struct op *op, int step)
{
    if (op->count > 0 || op->saw & OP_SAW_VANISHED)
        expunged(c, op);
    else if (step == DELETE_EXPUNGE_UID)
        expunge(c, op, DELETE_EXPUNGE_AGAIN);
    else
        look_ask(c, op, DELETE_LOOK_EXPUNGED);
}

/* The message may be flagged but not expunged (RFC 4314: the right `t` without `e`). What was
 * copied is moved all the same: the flag hides the original. What was to be deleted stays mail; but
 * a flag that is not known to be this one's is another client's, who may have meant it. */
static void refused(struct conn *c, struct op *op)
{
    if (op->kind == OP_MOVE) {
        delete_finish(c, op, 0);
        return;
    }
    log_info("%s: UID %u stays: the server does not let it be expunged", op->mailbox, op->uid);
    if (!op->own_flag) {
        /* That it is \Deleted was kept back until now. */
        pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_FLAGS);
        delete_finish(c, op, -EACCES);
        return;
    }
    op->fail = -EACCES;
    buf_addf(conn_begin(c, op, DELETE_UNFLAG, WANT_NONE), "UID STORE %u -FLAGS (\\Deleted)",
             op->uid);
    conn_end(c);
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
    if (!uidset_has(&op->found, op->uid)) {
        /* Another was quicker, or the STORE was ignored. */
        look_ask(c, op, DELETE_LOOK_UNLISTED);
    } else if (only_ours(op)) {
        op->count = 0; /* nothing was asked to be expunged yet */
        buf_adds(conn_begin(c, op, DELETE_EXPUNGE_ALL, WANT_EXPUNGE), "EXPUNGE");
        conn_end(c);
    } else {
        log_info("%s: UID %u is flagged \\Deleted but not expunged: the server lacks UIDPLUS and "
                 "other messages there are \\Deleted too",
                 op->mailbox, op->uid);
        delete_finish(c, op, 0);
    }
}

static void looked_before(struct conn *c, struct op *op, int err)
{
    if (err)
        delete_finish(c, op, err);
    else if (look_found(op))
        flag_and_expunge(c, op);
    else if (exec_once_more(op))
        look_ask(c, op, DELETE_LOOK);
    else
        expunged(c, op);
}

static void looked_after(struct conn *c, struct op *op, int step, int err)
{
    if (!err && !look_found(op))
        expunged(c, op);
    else if (err || !(op->saw & OP_SAW_THERE))
        delete_finish(c, op, err ? err : -EIO); /* nobody says whether it is flagged */
    else if (op->saw & OP_SAW_DELETED && step == DELETE_LOOK_EXPUNGED)
        refused(c, op);
    else if (op->saw & OP_SAW_DELETED)
        delete_finish(c, op, 0); /* flagged, and so gone from the listing */
    else if (exec_once_more(op))
        delete_begin(c, op);
    else
        delete_finish(c, op, -EACCES);
}

void delete_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    int err = outcome_errno(r);
    switch (step) {
    case DELETE_LOOK:
        looked_before(c, op, look_error(op, r));
        return;
    case DELETE_ROW:
        op->own_flag |= (op->saw & (OP_SAW_THERE | OP_SAW_DELETED)) == OP_SAW_THERE;
        return;
    case DELETE_STORE:
        op->fail = err;
        op->count = 0; /* without its number, what was expunged until now may be another's */
        return;        /* the next one is on its way */
    case DELETE_EXPUNGE_UID:
    case DELETE_EXPUNGE_AGAIN:
        if (op->fail)
            delete_finish(c, op, op->fail);
        else if (!err)
            expunge_answered(c, op, step);
        else if (err == -EACCES)
            refused(c, op);
        else
            without_uidplus(c, op);
        return;
    case DELETE_SEARCH:
        err = err ? err : exec_search_error(op, r);
        if (op->fail || err)
            delete_finish(c, op, op->fail ? op->fail : err);
        else
            deleted_listed(c, op);
        return;
    case DELETE_EXPUNGE_ALL:
        if (!err)
            expunge_answered(c, op, step);
        else if (err == -EACCES)
            refused(c, op);
        else
            delete_finish(c, op, 0); /* flagged at least */
        return;
    case DELETE_LOOK_UNLISTED:
    case DELETE_LOOK_EXPUNGED:
        looked_after(c, op, step, look_error(op, r));
        return;
    case DELETE_UNFLAG:
        delete_finish(c, op, op->fail);
        return;
    default:
        look_answered(c, step, r);
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
