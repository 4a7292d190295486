/* Operations that change nothing on the server: any of them may be asked twice. */
#include "imap/exec/exec.h"

#include <errno.h>
#include <inttypes.h>

#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/msglimit.h"

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

/* ---- what is new ---- */

enum { CHECK_STATUS, CHECK_NOOP };
enum {
    PHASE_BEGIN,
    PHASE_ASKED,   /* STATUS is asked in front of NOOP */
    PHASE_NEWS,    /* NOOP told something, so STATUS is asked behind it */
    PHASE_DOUBTED, /* it is selected anew for what STATUS said */
};

/* A mailbox that was deleted and made anew while it is selected is told of by Dovecot in words, by
 * Cyrus as one that is empty and stays so, and by Courier not at all: it answers as if the new
 * messages were the old ones. STATUS is about what has the name now. */
static void status_send(struct conn *c, struct op *op)
{
    c->box.news = false;
    op->count = c->box.state.exists;
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
    return !c->session.qresync && c->box.ready && c->box.news;
}

static void check_start(struct conn *c, struct op *op)
{
    if (c->box.just_selected) {
        /* The difference for which it was selected anew is still the same, so it means nothing. */
        if (op->phase == PHASE_DOUBTED && !op->resumed && op->count != UINT32_MAX &&
            op->count != c->box.state.exists && op->state.exists == c->box.state.exists)
            pool_hangs_up(c->pool, EXTRA_COUNT);
        op->state = c->box.state;
        op->state.fresh = op->state.current = true;
        c->box.fresh = false;
        conn_finish(c, op, 0);
        return;
    }
    op->state = (struct mailbox_state){.exists = UINT32_MAX};
    op->phase = PHASE_BEGIN;
    idle_judge(c);
    op->count = c->box.state.exists;
    if (op->thorough || unconfirmed(c) || (op->changed && !c->session.qresync)) {
        op->phase = PHASE_ASKED;
        status_send(c, op);
    }
    buf_adds(conn_begin(c, op, CHECK_NOOP, WANT_NONE), "NOOP");
    conn_end(c);
}

static int check_error(const struct conn *c, int step, const struct response *r)
{
    if (!c->box.ready)
        return -EIO;
    return c->box.doubt ? -EBUSY : step == CHECK_NOOP ? outcome_errno(r) : 0;
}

static void check_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    if (step == CHECK_STATUS) { /* whether it can be asked is no matter, but for one reason */
        if (c->box.ready && outcome_errno(r) == -ENOENT)
            c->box.doubt = true;
        if (op->phase != PHASE_NEWS)
            return; /* NOOP is on its way */
    } else if (r->cond == COND_OK) {
        idle_known(c);
        if (unconfirmed(c) && op->phase == PHASE_BEGIN && !c->box.doubt) {
            op->phase = PHASE_NEWS;
            status_send(c, op);
            return;
        }
    }
    c->box.news = false;
    if (c->box.ready && box_contradicted(c, &op->state, (uint32_t)op->count)) {
        c->box.doubt = true;
        op->phase = PHASE_DOUBTED;
        op->count = op->state.exists; /* as STATUS said */
    }
    op->state = c->box.state;
    op->state.fresh = c->box.fresh;
    op->state.resynced &= c->box.fresh;
    c->box.fresh = false;
    if (c->box.ready && c->box.doubt && !conn_busy(c))
        conn_select(c, op, c->box.write);
    else
        conn_finish(c, op, check_error(c, step, r));
}

const struct op_class exec_check = {.retry = RETRY_REPEAT,
                                    .select = true,
                                    .lists = true,
                                    .start = check_start,
                                    .answered = check_answered};

/* ---- metadata and flags ---- */

/* So that a connection that has not heard of what has just arrived takes notice. Dovecot does so
 * only behind the command that follows, if that was sent in one go with the NOOP; see outdated().
 */
static void refresh(struct conn *c, const struct op *op)
{
    if (!op->refresh || c->box.just_selected)
        return;
    buf_adds(conn_begin(c, NULL, 0, WANT_NONE), "NOOP");
    conn_end(c);
}

bool exec_once_more(struct op *op)
{
    bool first = !op->again;
    op->again = true;
    return first;
}

/* Did the server say, between the answer and the OK behind it, that messages came or went? Then the
 * answer is from before that, and perhaps from before the question; the next one is not. */
static bool outdated(const struct conn *c, struct op *op)
{
    return op->refresh && op->count != c->box.changes && exec_once_more(op);
}

static void meta_send(struct conn *c, struct op *op)
{
    if (!op->below)
        op->count = c->box.changes;
    struct buf *b = conn_begin(c, op, 0, WANT_NONE);
    buf_adds(b, "UID FETCH ");
    msglimit_uids(op, b);
    buf_adds(b, " (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])");
    conn_end(c);
}

static void meta_start(struct conn *c, struct op *op)
{
    msglimit_begin(op);
    refresh(c, op);
    meta_send(c, op);
}

static void meta_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    if (msglimit_more(op, r)) {
        meta_send(c, op);
    } else if (r->cond == COND_OK && outdated(c, op)) {
        msglimit_begin(op);
        meta_send(c, op);
    } else {
        conn_finish(c, op, outcome_errno(r));
    }
}

static void plain_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    conn_finish(c, op, outcome_errno(r));
}

const struct op_class exec_meta = {.retry = RETRY_REPEAT,
                                   .select = true,
                                   .lists = true,
                                   .start = meta_start,
                                   .answered = meta_answered};

static void flags_send(struct conn *c, struct op *op)
{
    struct buf *b = conn_begin(c, op, 0, WANT_NONE);
    buf_adds(b, "UID FETCH ");
    msglimit_uids(op, b);
    buf_adds(b, " (UID FLAGS)");
    if (op->modseq && caps_has(&c->caps, CAP_CONDSTORE))
        buf_addf(b, " (CHANGEDSINCE %" PRIu64 ")", op->modseq);
    conn_end(c);
}

static void flags_start(struct conn *c, struct op *op)
{
    msglimit_begin(op);
    flags_send(c, op);
}

static void flags_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    if (msglimit_more(op, r))
        flags_send(c, op);
    else
        conn_finish(c, op, outcome_errno(r));
}

const struct op_class exec_flags = {.retry = RETRY_REPEAT,
                                    .select = true,
                                    .lists = true,
                                    .start = flags_start,
                                    .answered = flags_answered};

/* ---- SEARCH ---- */

enum { SEARCH_EXTENDED, SEARCH_PLAIN };

void exec_search_begin(struct op *op)
{
    uidset_free(&op->found);
    op->got = false;
}

int exec_search_error(const struct op *op, const struct response *r)
{
    return op->got && !msglimit_partial(r) ? 0 : -EIO;
}

static void search_send(struct conn *c, struct op *op, int step)
{
    struct buf *b = conn_begin(c, op, step, WANT_SEARCH);
    /* ESEARCH (RFC 4731) answers in ranges: a full mailbox is a few bytes. */
    buf_addf(b, "UID SEARCH %s", step == SEARCH_EXTENDED ? "RETURN (ALL) " : "");
    msglimit_keys(op, b);
    conn_end(c);
}

static void search_anew(struct conn *c, struct op *op, int step)
{
    exec_search_begin(op);
    msglimit_begin(op);
    search_send(c, op, step);
}

static void search_start(struct conn *c, struct op *op)
{
    refresh(c, op);
    search_anew(c, op, caps_has(&c->caps, CAP_ESEARCH) ? SEARCH_EXTENDED : SEARCH_PLAIN);
}

static void search_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    if (step == SEARCH_EXTENDED && r->cond == COND_BAD) {
        search_anew(c, op, SEARCH_PLAIN);
    } else if (op->got && msglimit_more(op, r)) {
        op->got = false;
        search_send(c, op, step);
    } else if (r->cond == COND_OK && op->got && outdated(c, op)) {
        search_anew(c, op, step);
    } else if (r->cond == COND_OK) {
        conn_finish(c, op, exec_search_error(op, r));
    } else {
        conn_finish(c, op, r->cond == COND_BAD ? -EINVAL : outcome_errno(r));
    }
}

const struct op_class exec_search = {.retry = RETRY_REPEAT,
                                     .select = true,
                                     .searches = true,
                                     .start = search_start,
                                     .answered = search_answered};

/* ---- bytes of a message ---- */

static void body_start(struct conn *c, struct op *op)
{
    op->got = false;
    op->saw = 0;
    if (op->passed && op->passed == op->len) {
        conn_finish(c, op, 0); /* only the tagged answer had not come */
        return;
    }
    struct buf *b = conn_begin(c, op, 0, WANT_BODY);
    buf_addf(b, "UID FETCH %u (UID BODY%s[]", op->uid, op->mark_seen ? "" : ".PEEK");
    if (!op->whole)
        buf_addf(b, "<%" PRIu64 ".%u>", op->off + op->passed, op->len - op->passed);
    buf_addc(b, ')');
    conn_end(c);
}

/* OK without data is how a server answers for a UID that is gone (RFC 3501 section 6.4.8). */
static void bytes_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    int err = outcome_errno(r);
    bool misled = !err && !op->got && op->saw & OP_SAW_OTHER && !op->whole;
    if (misled)
        pool_windows_ignored(c->pool, "answers with another window of a message than it was asked");
    conn_finish(c, op, misled ? -EAGAIN : err ? err : op->got ? 0 : -ENODATA);
}

const struct op_class exec_body = {.retry = RETRY_REPEAT,
                                   .select = true,
                                   .body = true,
                                   .start = body_start,
                                   .answered = bytes_answered};

/* Begins to ask for what of op->uids has not come, up to what is to be fetched of each. NULL: all
 * has come, and the operation has ended. */
static struct buf *fetch_left(struct conn *c, struct op *op, enum want want)
{
    if (!op->uids.n) {
        conn_finish(c, op, 0);
        return NULL;
    }
    struct buf *b = conn_begin(c, op, 0, want);
    buf_adds(b, "UID FETCH ");
    uidset_text(&op->uids, b);
    return b;
}

/* What does not come, for whatever reason, is left in op->uids; who misses it asks for it alone. */
static void bodies_start(struct conn *c, struct op *op)
{
    struct buf *b = fetch_left(c, op, WANT_BODY);
    if (!b)
        return;
    buf_addf(b, " (UID BODY.PEEK[]<0.%u>)", op->len);
    conn_end(c);
}

const struct op_class exec_bodies = {.retry = RETRY_REPEAT,
                                     .select = true,
                                     .body = true,
                                     .start = bodies_start,
                                     .answered = plain_answered};

/* What has not come stays in op->uids, and is asked for once more: a connection that has not heard
 * of a message yet says nothing of it. */
static void header_start(struct conn *c, struct op *op)
{
    struct buf *b = fetch_left(c, op, WANT_HEADER);
    if (!b)
        return;
    buf_addf(b, " (UID BODY.PEEK[HEADER.FIELDS (%s)])", op->text);
    conn_end(c);
}

static void header_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    if (r->cond == COND_OK && op->uids.n && exec_once_more(op))
        header_start(c, op);
    else
        conn_finish(c, op, outcome_errno(r));
}

const struct op_class exec_header = {
    .retry = RETRY_REPEAT, .select = true, .start = header_start, .answered = header_answered};

/* ---- quota ---- */

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
    .retry = RETRY_REPEAT, .start = quota_start, .answered = plain_answered};
