#include "imap/exec/exec_delete.h"

#include <errno.h>

#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/op_message.h"
#include "imap/exec/search.h"

static struct deletion *deletion_of(const struct op *op)
{
    return op_class(op)->deletion(op);
}

void delete_disown(struct conn *c, struct op *op)
{
    struct deletion *d = deletion_of(op);
    if (d->untold)
        pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_EXPUNGE);
    d->untold = d->unnamed = 0;
}

/* What is to be begun anew is not over with an error of some. */
int deletion_error(const struct deletion *d, int err)
{
    return d->err && err != -EBUSY && err != -EINPROGRESS ? d->err : err;
}

void delete_finish(struct conn *c, struct op *op, int err)
{
    struct deletion *d = deletion_of(op);
    if (d->untold > uidset_count(&d->gone))
        delete_disown(c, op);
    conn_finish(c, op, deletion_error(d, err));
}

static void give_up(struct deletion *d, int err)
{
    d->err = d->err ? d->err : err;
}

/* These are done with. */
static void settle(struct deletion *d, const struct uidset *uids, struct uidset *as)
{
    uidset_join(as, uids);
    uidset_cut(&d->left, uids);
}

/* None of `left` is left; what SEARCH had not named comes last. */
static void next(struct conn *c, struct op *op)
{
    struct deletion *d = deletion_of(op);
    uidset_free(&d->left);
    if (!d->unlisted.n) {
        delete_finish(c, op, 0);
        return;
    }
    d->left = d->unlisted;
    d->unlisted = (struct uidset){0};
    look_ask(c, op, &d->left, DELETE_LOOK_UNLISTED);
}

/* ---- what is sent ---- */

static void send_set(struct conn *c, struct op *op, int step, const char *command,
                     const struct uidset *uids, const char *rest)
{
    bool expunges = step == DELETE_EXPUNGE_UID || step == DELETE_EXPUNGE_AGAIN;
    struct buf *b = conn_begin(c, op, step, expunges ? WANT_EXPUNGE : WANT_NONE);
    buf_adds(b, command);
    uidset_text(uids, b);
    buf_adds(b, rest);
    conn_end(c);
}

static void expunge(struct conn *c, struct op *op, int step)
{
    send_set(c, op, step, "UID EXPUNGE ", &deletion_of(op)->left, "");
}

static void search_deleted(struct conn *c, struct op *op)
{
    search_begin(op_class(op)->search(op));
    buf_adds(conn_begin(c, op, DELETE_SEARCH, WANT_SEARCH), "UID SEARCH DELETED");
    conn_end(c);
}

/* In one go: if the STORE is refused, the messages are not \Deleted, and UID EXPUNGE expunges
 * nothing; and nothing is expunged upon the SEARCH either. Where the server does not tell UIDs
 * (VANISHED), the rows in front tell by which numbers the EXPUNGEs are known, also when those come
 * before the STORE is answered, as they do from Dovecot. What may have to be taken back is told by
 * them, too: whether the flag will be this operation's, or was there before. */
static void flag_and_expunge(struct conn *c, struct op *op)
{
    struct deletion *d = deletion_of(op);
    if (!c->session.qresync || op->kind == OP_DELETE)
        look_ask_rows(c, op, &d->left, DELETE_ROW);
    send_set(c, op, DELETE_STORE, "UID STORE ", &d->left, " +FLAGS.SILENT (\\Deleted)");
    if (caps_has(&c->caps, CAP_UIDPLUS))
        expunge(c, op, DELETE_EXPUNGE_UID);
    else
        search_deleted(c, op);
}

/* Once more, or for the first time, whatever is left. */
static void begin(struct conn *c, struct op *op)
{
    struct deletion *d = deletion_of(op);
    d->store_err = 0;
    delete_disown(c, op);
    uidset_free(&d->expunged);
    if (op->kind == OP_MOVE || look_is_exact(c)) {
        flag_and_expunge(c, op);
        return;
    }
    look_ask_nearest(c, op);
    look_ask(c, op, &d->left, DELETE_LOOK);
}

void delete_begin(struct conn *c, struct op *op, const struct uidset *uids)
{
    struct deletion *d = deletion_of(op);
    uidset_free(&d->left);
    uidset_free(&d->unlisted);
    uidset_join(&d->left, uids);
    uidset_cut(&d->gone, uids);
    uidset_cut(&d->flagged, uids);
    if (d->left.n)
        begin(c, op);
    else
        delete_finish(c, op, 0);
}

/* Proton Bridge advertises UIDPLUS and refuses it. */
static void without_uidplus(struct conn *c, struct op *op)
{
    delete_disown(c, op);
    search_deleted(c, op);
}

/* ---- what the answers mean ---- */

/* Takes what is known to be expunged out of what is left. If so many more were expunged as there
 * are whose numbers were not known, it was those. */
static void take_expunged(struct op *op)
{
    struct deletion *d = deletion_of(op);
    const struct look *l = op_class(op)->look(op);
    struct uidset done = {0}, nameless = {0};
    uidset_join(&done, &d->expunged);
    uidset_keep(&done, &d->left);
    settle(d, &done, &d->gone);
    uidset_join(&nameless, &d->left);
    for (size_t i = 0; i < l->nseats; i++)
        uidset_remove(&nameless, l->seats[i].uid);
    if (nameless.n && d->unnamed >= uidset_count(&nameless))
        settle(d, &nameless, &d->gone);
    uidset_free(&done);
    uidset_free(&nameless);
}

/* Dovecot 2.3, sent STORE and EXPUNGE in one go, now and then answers OK to both and expunges
 * nothing; a server may also say OK to a STORE that it ignores. So an OK without an EXPUNGE before
 * it is not believed: it is asked once more, and then looked. */
static void expunge_answered(struct conn *c, struct op *op, int step)
{
    struct deletion *d = deletion_of(op);
    take_expunged(op);
    if (!d->left.n)
        next(c, op);
    else if (step == DELETE_EXPUNGE_UID)
        expunge(c, op, DELETE_EXPUNGE_AGAIN);
    else
        look_ask(c, op, &d->left, DELETE_LOOK_EXPUNGED);
}

/* The messages may be flagged but not expunged (RFC 4314: the right `t` without `e`). What was
 * copied is moved all the same: the flag hides the original. What was to be deleted stays mail; but
 * a flag that is not known to be this operation's is another client's, who may have meant it. */
static void refused(struct conn *c, struct op *op, const struct uidset *uids)
{
    struct deletion *d = deletion_of(op);
    struct uidset own = {0}, others = {0};
    if (op->kind == OP_MOVE) {
        settle(d, uids, &d->flagged);
        next(c, op);
        return;
    }
    log_info("%s: UID %u stays: the server does not let it be expunged", op->mailbox,
             uids->r[0].lo);
    uidset_join(&own, uids);
    uidset_join(&others, uids);
    uidset_keep(&own, &d->own_flag);
    uidset_cut(&others, &d->own_flag);
    give_up(d, -EACCES);
    /* That they are \Deleted was kept back until now. */
    if (others.n)
        pool_changed(c->pool, c->box.name, c->box.state.uidvalidity, CHANGE_FLAGS);
    if (own.n)
        send_set(c, op, DELETE_UNFLAG, "UID STORE ", &own, " -FLAGS (\\Deleted)");
    else
        next(c, op);
    uidset_free(&own);
    uidset_free(&others);
}

/* NO: what is expunged nevertheless is, and the rest is not to be. */
static void expunge_refused(struct conn *c, struct op *op)
{
    struct deletion *d = deletion_of(op);
    take_expunged(op);
    if (d->left.n)
        refused(c, op, &d->left);
    else
        next(c, op);
}

static const struct uidset *spare_of(const struct op *op)
{
    return op->kind == OP_MOVE ? &op_as_move(op)->spare : &op_as_delete(op)->spare;
}

/* A bare EXPUNGE takes every \Deleted message with it, other clients' too. It is sent only when all
 * of them were deleted through this mount. */
static bool only_ours(const struct op *op, const struct uidset *listed)
{
    return uidset_within(listed, &deletion_of(op)->left, spare_of(op));
}

static void deleted_listed(struct conn *c, struct op *op)
{
    struct deletion *d = deletion_of(op);
    const struct uidset *listed = &op_class(op)->search(op)->found;
    /* Those that it does not name: another was quicker, or the STORE was ignored. */
    uidset_join(&d->unlisted, &d->left);
    uidset_cut(&d->unlisted, listed);
    uidset_keep(&d->left, listed);
    if (!d->left.n) {
        next(c, op);
    } else if (only_ours(op, listed)) {
        d->unnamed = 0; /* nothing was asked to be expunged yet */
        buf_adds(conn_begin(c, op, DELETE_EXPUNGE_ALL, WANT_EXPUNGE), "EXPUNGE");
        conn_end(c);
    } else {
        log_info("%s: UID %u is flagged \\Deleted but not expunged: the server lacks UIDPLUS and "
                 "other messages there are \\Deleted too",
                 op->mailbox, d->left.r[0].lo);
        settle(d, &d->left, &d->flagged);
        next(c, op);
    }
}

/* Of those that are left, the ones that a look has not found. */
static void not_found(const struct op *op, struct uidset *missing)
{
    struct uidset found = {0};
    look_found(op, &found);
    uidset_join(missing, &deletion_of(op)->left);
    uidset_cut(missing, &found);
    uidset_free(&found);
}

static void looked_before(struct conn *c, struct op *op, int err)
{
    struct deletion *d = deletion_of(op);
    struct uidset missing = {0};
    if (err) {
        delete_finish(c, op, err);
        return;
    }
    not_found(op, &missing);
    if (missing.n && exec_once_more(&d->again)) {
        look_ask(c, op, &d->left, DELETE_LOOK);
    } else {
        settle(d, &missing, &d->gone);
        if (d->left.n)
            flag_and_expunge(c, op);
        else
            next(c, op);
    }
    uidset_free(&missing);
}

/* Of those that are there: what is said of none, what is not flagged, and the rest. */
static void stayed(struct conn *c, struct op *op, int step)
{
    struct deletion *d = deletion_of(op);
    const struct look *l = op_class(op)->look(op);
    struct uidset seen = {0}, alive = {0}, deleted = {0};
    uidset_join(&seen, &d->left);
    uidset_keep(&seen, &l->there);
    uidset_join(&alive, &seen);
    uidset_cut(&alive, &l->deleted);
    uidset_join(&deleted, &seen);
    uidset_keep(&deleted, &l->deleted);
    bool unsaid = uidset_count(&seen) < uidset_count(&d->left);
    if (alive.n && exec_once_more(&d->again)) {
        begin(c, op);
        goto out;
    }
    if (unsaid)
        give_up(d, -EIO); /* nobody says whether they are flagged */
    if (alive.n)
        give_up(d, -EACCES);
    if (deleted.n && step == DELETE_LOOK_EXPUNGED) {
        refused(c, op, &deleted);
    } else {
        settle(d, &deleted, &d->flagged); /* and so gone from the listing */
        next(c, op);
    }
out:
    uidset_free(&seen);
    uidset_free(&alive);
    uidset_free(&deleted);
}

static void looked_after(struct conn *c, struct op *op, int step, int err)
{
    struct deletion *d = deletion_of(op);
    struct uidset missing = {0};
    if (err) {
        delete_finish(c, op, err);
        return;
    }
    not_found(op, &missing);
    settle(d, &missing, &d->gone);
    uidset_free(&missing);
    if (d->left.n)
        stayed(c, op, step);
    else
        next(c, op);
}

static void rows_answered(struct op *op)
{
    struct deletion *d = deletion_of(op);
    const struct look *l = op_class(op)->look(op);
    struct uidset bare = {0};
    uidset_join(&bare, &l->there);
    uidset_cut(&bare, &l->deleted);
    uidset_join(&d->own_flag, &bare);
    uidset_free(&bare);
}

/* The server does not do as it was asked, for whatever reason. */
static void expunge_failed(struct conn *c, struct op *op, int step, int err)
{
    struct deletion *d = deletion_of(op);
    if (err == -EACCES) {
        expunge_refused(c, op);
    } else if (step == DELETE_EXPUNGE_ALL) { /* flagged at least */
        take_expunged(op);
        settle(d, &d->left, &d->flagged);
        next(c, op);
    } else {
        without_uidplus(c, op);
    }
}

void delete_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    struct deletion *d = deletion_of(op);
    int err = outcome_errno(r);
    switch (step) {
    case DELETE_LOOK:
        looked_before(c, op, look_error(op, r));
        return;
    case DELETE_ROW:
        rows_answered(op);
        return;
    case DELETE_STORE:
        d->store_err = err;
        d->unnamed = 0; /* without its number, what was expunged until now may be another's */
        return;         /* the next one is on its way */
    case DELETE_EXPUNGE_UID:
    case DELETE_EXPUNGE_AGAIN:
    case DELETE_EXPUNGE_ALL:
        if (d->store_err)
            delete_finish(c, op, d->store_err);
        else if (err)
            expunge_failed(c, op, step, err);
        else
            expunge_answered(c, op, step);
        return;
    case DELETE_SEARCH:
        err = err ? err : search_error(op_class(op)->search(op), r);
        err = d->store_err ? d->store_err : err;
        if (err)
            delete_finish(c, op, err);
        else
            deleted_listed(c, op);
        return;
    case DELETE_LOOK_UNLISTED:
    case DELETE_LOOK_EXPUNGED:
        looked_after(c, op, step, look_error(op, r));
        return;
    case DELETE_UNFLAG:
        next(c, op);
        return;
    default:
        look_answered(c, step, r);
        return;
    }
}

/* ---- what is told untagged ---- */

/* If the number of its message is known, that tells; and the numbers behind one that is expunged
 * become less. Else the first ones are taken for the operation's own, as many as it has: also
 * before the STORE in front of the EXPUNGE is answered, for Dovecot, sent both in one go, answers
 * them together. Of more, one is another's; and if in the end not so many were expunged, they were,
 * too.
 */
bool delete_on_expunge(const struct conn *c, uint32_t number)
{
    struct op *op = NULL;
    bool asked = false;
    for (const struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->op && op_class(cmd->op)->deletion) {
            op = cmd->op; /* there is only one */
            asked |= cmd->want == WANT_EXPUNGE;
        }
    if (!op)
        return false;
    struct deletion *d = deletion_of(op);
    struct look *l = op_class(op)->look(op);
    uint64_t all = uidset_count(op_class(op)->uids(op));
    bool seated = l->nseats > 0 && l->nseats >= uidset_count(&l->asked);
    uint32_t uid = look_unseat(l, number);
    if (uid) {
        uidset_add(&d->expunged, uid, uid);
        uidset_remove(&l->there, uid);
    } else if (seated) {
        return false;
    } else {
        d->unnamed++;
    }
    if ((!asked && !uid) || d->untold >= all)
        return false;
    d->untold++;
    return true;
}

bool delete_on_vanished(const struct conn *c, const struct uidset *uids)
{
    bool own = false;
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        if (!cmd->op || !op_class(cmd->op)->deletion)
            continue;
        struct deletion *d = deletion_of(cmd->op);
        struct look *l = op_class(cmd->op)->look(cmd->op);
        struct uidset its = {0};
        l->nseats = 0; /* others came before them, perhaps */
        uidset_join(&its, op_class(cmd->op)->uids(cmd->op));
        uidset_keep(&its, uids);
        uidset_join(&d->expunged, &its);
        uidset_cut(&l->there, &its);
        own |= its.n > 0;
        uidset_free(&its);
    }
    return own;
}

void deletion_free(struct deletion *d)
{
    uidset_free(&d->left);
    uidset_free(&d->unlisted);
    uidset_free(&d->gone);
    uidset_free(&d->flagged);
    uidset_free(&d->own_flag);
    uidset_free(&d->expunged);
}

/* ---- OP_DELETE ---- */

struct progress {
    struct deletion deletion;
    struct look look;
    struct search search;
};
static_assert(sizeof(struct progress) <= OP_PROGRESS_CHANGE, "room");

/* Deleting the same UID twice is deleting it once, so after a loss it is simply asked again. */
static void delete_start(struct conn *c, struct op *op)
{
    deletion_of(op)->err = 0;
    delete_begin(c, op, &op_as_delete(op)->uids);
}

static struct deletion *delete_deletion(const struct op *op)
{
    return &((struct progress *)op->progress)->deletion;
}

static struct look *delete_look(const struct op *op)
{
    return &((struct progress *)op->progress)->look;
}

static struct search *delete_search(const struct op *op)
{
    return &((struct progress *)op->progress)->search;
}

static const struct uidset *delete_uids(const struct op *op)
{
    return &op_as_delete(op)->uids;
}

static void delete_end(struct op *op)
{
    struct op_delete *o = op_as_delete(op);
    struct progress *p = op->progress;
    uidset_join(&o->gone, &p->deletion.gone);
    uidset_join(&o->flagged, &p->deletion.flagged);
    deletion_free(&p->deletion);
    look_forget(&p->look);
    search_begin(&p->search);
}

const struct op_class exec_delete = {.retry = RETRY_SETTLE,
                                     .select = true,
                                     .write = true,
                                     .searches = true,
                                     .start = delete_start,
                                     .answered = delete_answered,
                                     .end = delete_end,
                                     .search = delete_search,
                                     .look = delete_look,
                                     .deletion = delete_deletion,
                                     .uids = delete_uids};
