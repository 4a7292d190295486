/* What there is, and what it is like: operations that change nothing, any of which may be asked
 * twice. */
#include "imap/exec/exec.h"

#include <errno.h>
#include <inttypes.h>

#include "imap/conn/handler.h"
#include "imap/exec/msglimit.h"
#include "imap/exec/op_read.h"
#include "imap/exec/search.h"

/* ---- LIST ---- */

enum { LIST_EXTENDED, LIST_PLAIN };

static void list_send(struct conn *c, struct op *op, int step)
{
    struct buf *b = conn_begin(c, op, step, WANT_LIST);
    buf_adds(b, "LIST \"\" \"*\"");
    if (step == LIST_EXTENDED)
        buf_adds(b, " RETURN (SPECIAL-USE CHILDREN)");
    conn_end(c);
}

static void list_start(struct conn *c, struct op *op)
{
    bool extended = caps_has(&c->caps, CAP_LIST_EXTENDED) && caps_has(&c->caps, CAP_SPECIAL_USE);
    list_send(c, op, extended ? LIST_EXTENDED : LIST_PLAIN);
}

static void list_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    /* Proton and strato advertise what they do not understand. */
    if (step == LIST_EXTENDED && r->cond != COND_OK && outcome_errno(r) != -EBUSY)
        list_send(c, op, LIST_PLAIN);
    else
        conn_finish(c, op, outcome_errno(r));
}

const struct op_class exec_list = {
    .retry = RETRY_REPEAT, .start = list_start, .answered = list_answered};

/* ---- metadata, flags, SEARCH ---- */

/* How far one of the three got. */
struct progress {
    struct msglimit limit;
    uint64_t changes;     /* OP_META: box.changes when it was asked */
    bool again;           /* asked a second time, since the server may not have seen what is new */
    struct search search; /* OP_SEARCH */
};
static_assert(sizeof(struct progress) <= OP_PROGRESS, "room");

/* So that a connection that has not heard of what has just arrived takes notice. Dovecot does so
 * only behind the command that follows, if that was sent in one go with the NOOP; see outdated().
 */
static void refresh(struct conn *c, bool wanted)
{
    if (!wanted || c->box.just_selected)
        return;
    buf_adds(conn_begin(c, NULL, 0, WANT_NONE), "NOOP");
    conn_end(c);
}

/* Did the server say, between the answer and the OK behind it, that messages came or went? Then the
 * answer is from before that, and perhaps from before the question; the next one is not. */
static bool outdated(const struct conn *c, struct progress *p, uint64_t changes)
{
    return changes != c->box.changes && exec_once_more(&p->again);
}

static void meta_send(struct conn *c, struct op *op)
{
    struct progress *p = op->progress;
    if (!p->limit.below)
        p->changes = c->box.changes;
    struct buf *b = conn_begin(c, op, 0, WANT_NONE);
    buf_adds(b, "UID FETCH ");
    msglimit_uids(&p->limit, op_as_meta(op)->uids, b);
    buf_adds(b, " (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])");
    conn_end(c);
}

static void meta_anew(struct conn *c, struct op *op)
{
    struct progress *p = op->progress;
    p->limit = (struct msglimit){0};
    meta_send(c, op);
}

static void meta_start(struct conn *c, struct op *op)
{
    refresh(c, op_as_meta(op)->refresh);
    meta_anew(c, op);
}

static void meta_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    const struct op_meta *o = op_as_meta(op);
    struct progress *p = op->progress;
    if (msglimit_more(&p->limit, o->uids, r))
        meta_send(c, op);
    else if (r->cond == COND_OK && o->refresh && outdated(c, p, p->changes))
        meta_anew(c, op);
    else
        conn_finish(c, op, outcome_errno(r));
}

const struct op_class exec_meta = {.retry = RETRY_REPEAT,
                                   .select = true,
                                   .lists = true,
                                   .start = meta_start,
                                   .answered = meta_answered};

static void flags_send(struct conn *c, struct op *op)
{
    const struct op_flags *o = op_as_flags(op);
    struct progress *p = op->progress;
    struct buf *b = conn_begin(c, op, 0, WANT_NONE);
    buf_adds(b, "UID FETCH ");
    msglimit_uids(&p->limit, o->uids, b);
    buf_adds(b, " (UID FLAGS)");
    if (o->modseq && caps_has(&c->caps, CAP_CONDSTORE))
        buf_addf(b, " (CHANGEDSINCE %" PRIu64 ")", o->modseq);
    conn_end(c);
}

static void flags_start(struct conn *c, struct op *op)
{
    struct progress *p = op->progress;
    p->limit = (struct msglimit){0};
    flags_send(c, op);
}

static void flags_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    struct progress *p = op->progress;
    if (msglimit_more(&p->limit, op_as_flags(op)->uids, r))
        flags_send(c, op);
    else
        conn_finish(c, op, outcome_errno(r));
}

const struct op_class exec_flags = {.retry = RETRY_REPEAT,
                                    .select = true,
                                    .lists = true,
                                    .start = flags_start,
                                    .answered = flags_answered};

enum { SEARCH_EXTENDED, SEARCH_PLAIN };

static void search_send(struct conn *c, struct op *op, int step)
{
    struct progress *p = op->progress;
    p->search.said = false;
    p->search.part = p->limit.below != 0;
    struct buf *b = conn_begin(c, op, step, WANT_SEARCH);
    /* ESEARCH (RFC 4731) answers in ranges: a full mailbox is a few bytes. */
    buf_addf(b, "UID SEARCH %s", step == SEARCH_EXTENDED ? "RETURN (ALL) " : "");
    msglimit_keys(&p->limit, op_as_search(op)->keys, b);
    conn_end(c);
}

static void search_anew(struct conn *c, struct op *op, int step)
{
    struct progress *p = op->progress;
    search_begin(&p->search);
    p->limit = (struct msglimit){0};
    search_send(c, op, step);
}

static void search_start(struct conn *c, struct op *op)
{
    refresh(c, op_as_search(op)->refresh);
    search_anew(c, op, caps_has(&c->caps, CAP_ESEARCH) ? SEARCH_EXTENDED : SEARCH_PLAIN);
}

static void search_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    struct progress *p = op->progress;
    const struct search *s = &p->search;
    bool ok = r->cond == COND_OK;
    if (step == SEARCH_EXTENDED && r->cond == COND_BAD)
        search_anew(c, op, SEARCH_PLAIN);
    else if (s->said && msglimit_more(&p->limit, NULL, r))
        search_send(c, op, step);
    else if (ok && s->said && op_as_search(op)->refresh && outdated(c, p, s->changes))
        search_anew(c, op, step);
    else if (ok)
        conn_finish(c, op, search_error(s, r));
    else
        conn_finish(c, op, r->cond == COND_BAD ? -EINVAL : outcome_errno(r));
}

static struct search *search_search(const struct op *op)
{
    return &((struct progress *)op->progress)->search;
}

static void search_end(struct op *op)
{
    struct search *s = search_search(op);
    op_as_search(op)->found = s->found;
    s->found = (struct uidset){0};
}

const struct op_class exec_search = {.retry = RETRY_REPEAT,
                                     .select = true,
                                     .searches = true,
                                     .start = search_start,
                                     .answered = search_answered,
                                     .end = search_end,
                                     .search = search_search};

/* ---- quota ---- */

static void quota_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    conn_finish(c, op, outcome_errno(r));
}

static void quota_start(struct conn *c, struct op *op)
{
    if (!caps_has(&c->caps, CAP_QUOTA)) {
        conn_finish(c, op, 0);
        return;
    }
    struct buf *b = conn_begin(c, op, 0, WANT_QUOTA);
    buf_adds(b, "GETQUOTAROOT ");
    conn_mailbox(c, b, op->mailbox);
    conn_end(c);
}

const struct op_class exec_quota = {
    .retry = RETRY_REPEAT, .start = quota_start, .answered = quota_answered};
