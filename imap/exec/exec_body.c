/* Bytes of messages: windows, whole messages, streams, sets of beginnings, header fields. */
#include "imap/exec/exec_body.h"

#include <errno.h>
#include <inttypes.h>

#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/exec/op_read.h"
#include "imap/wire/fetch.h"

/* How far an operation got, of any of the three kinds. */
struct progress {
    bool got;        /* bytes came */
    bool other;      /* OP_BODY: bytes of the message came, and not those asked for */
    bool again;      /* OP_HEADER: asked a second time */
    uint32_t passed; /* of a stream: bytes that were handed on */
};
static_assert(sizeof(struct progress) <= OP_PROGRESS, "room");

static struct progress *progress_of(const struct op *op)
{
    return op->progress;
}

/* ---- what is sent ---- */

static void body_start(struct conn *c, struct op *op)
{
    const struct op_body *o = op_as_body(op);
    struct progress *p = progress_of(op);
    p->got = p->other = false;
    if (p->passed && p->passed == o->len) {
        conn_finish(c, op, 0); /* only the tagged answer had not come */
        return;
    }
    struct buf *b = conn_begin(c, op, 0, WANT_BODY);
    buf_addf(b, "UID FETCH %u (UID BODY%s[]", o->uid, o->mark_seen ? "" : ".PEEK");
    if (!o->whole)
        buf_addf(b, "<%" PRIu64 ".%u>", o->off + p->passed, o->len - p->passed);
    buf_addc(b, ')');
    conn_end(c);
}

/* OK without data is how a server answers for a UID that is gone (RFC 3501 section 6.4.8). */
static void body_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    const struct progress *p = progress_of(op);
    int err = outcome_errno(r);
    bool misled = !err && !p->got && p->other && !op_as_body(op)->whole;
    if (misled)
        pool_windows_ignored(c->pool, "answers with another window of a message than it was asked");
    conn_finish(c, op, misled ? -EAGAIN : err ? err : p->got ? 0 : -ENODATA);
}

const struct op_class exec_body = {.retry = RETRY_REPEAT,
                                   .select = true,
                                   .body = true,
                                   .start = body_start,
                                   .answered = body_answered};

/* Begins to ask for what of a set has not come, up to what is to be fetched of each. NULL: all has
 * come, and the operation has ended. */
static struct buf *fetch_left(struct conn *c, struct op *op, const struct uidset *left,
                              enum want want)
{
    if (!left->n) {
        conn_finish(c, op, 0);
        return NULL;
    }
    struct buf *b = conn_begin(c, op, 0, want);
    buf_adds(b, "UID FETCH ");
    uidset_text(left, b);
    return b;
}

/* What does not come, for whatever reason, is left in the set; who misses it asks for it alone. */
static void bodies_start(struct conn *c, struct op *op)
{
    const struct op_bodies *o = op_as_bodies(op);
    struct buf *b = fetch_left(c, op, &o->uids, WANT_BODY);
    if (!b)
        return;
    buf_addf(b, " (UID BODY.PEEK[]<0.%u>)", o->len);
    conn_end(c);
}

static void bodies_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    conn_finish(c, op, outcome_errno(r));
}

const struct op_class exec_bodies = {.retry = RETRY_REPEAT,
                                     .select = true,
                                     .body = true,
                                     .start = bodies_start,
                                     .answered = bodies_answered};

/* What has not come stays in the set, and is asked for once more: a connection that has not heard
 * of a message yet says nothing of it. */
static void header_start(struct conn *c, struct op *op)
{
    const struct op_header *o = op_as_header(op);
    struct buf *b = fetch_left(c, op, &o->uids, WANT_HEADER);
    if (!b)
        return;
    buf_addf(b, " (UID BODY.PEEK[HEADER.FIELDS (%s)])", o->fields);
    conn_end(c);
}

static void header_answered(struct conn *c, struct op *op, int step, const struct response *r)
{
    (void)step;
    if (r->cond == COND_OK && op_as_header(op)->uids.n && exec_once_more(&progress_of(op)->again))
        header_start(c, op);
    else
        conn_finish(c, op, outcome_errno(r));
}

const struct op_class exec_header = {
    .retry = RETRY_REPEAT, .select = true, .start = header_start, .answered = header_answered};

/* ---- what comes ---- */

/* Are `literal` bytes of a message, announced by `row`, what the operation asked for? Then it is
 * those behind the first *skip, at most as many as it still wants: more than zero are skipped where
 * the server ignored the window. False: they are from elsewhere in the message, or nobody can tell
 * from where. */
static bool body_fits(struct conn *c, const struct op *op, const struct fetch_row *row,
                      size_t literal, size_t *skip)
{
    const struct op_body *o = op_as_body(op);
    uint64_t off = o->off + progress_of(op)->passed;
    size_t len = o->len - progress_of(op)->passed;
    *skip = 0;
    if (row->body_window && row->body_off != (o->whole ? 0 : off))
        return false;
    if (!o->whole && literal <= len)
        return row->body_window || off == 0;
    if (!o->whole)
        pool_windows_ignored(c->pool, "answers a window of a message with all of it");
    *skip = off < literal ? (size_t)off : literal;
    return true;
}

/* Of a set each message is asked for from its beginning. */
static bool bodies_fit(struct conn *c, const struct op *op, const struct fetch_row *row)
{
    if (row->body_window && row->body_off)
        return false;
    if (row->body.n > op_as_bodies(op)->len)
        pool_windows_ignored(c->pool, "answers a window of a message with all of it");
    return true;
}

/* Is NIL how the server says that a message cannot be had? Behind the end of one it is no bytes. Of
 * a set an empty one has not come: some answer only the first with bytes. */
static bool is_nothing(const struct op *op, const struct fetch_row *row)
{
    if (op->kind == OP_BODIES)
        return row->body_nil || row->body.n == 0;
    return op_as_body(op)->off + progress_of(op)->passed == 0 && row->body_nil;
}

static bool wants_body_of(const struct op *op, uint32_t uid)
{
    if (op->kind == OP_BODIES)
        return uidset_has(&op_as_bodies(op)->uids, uid);
    return op_as_body(op)->uid == uid && !progress_of(op)->got;
}

static struct str at_most(struct str bytes, size_t n)
{
    return (struct str){bytes.p, bytes.n < n ? bytes.n : n};
}

static void give_body(struct conn *c, struct op *op, struct str bytes, size_t skip)
{
    struct op_body *o = op_as_body(op);
    struct progress *p = progress_of(op);
    bytes = at_most((struct str){bytes.p + skip, bytes.n - skip}, o->len - p->passed);
    p->got = true;
    o->on_bytes(o, p->passed, conn_blob(c, bytes));
}

static void give_one_of_set(struct conn *c, struct op *op, uint32_t uid, struct str bytes)
{
    struct op_bodies *o = op_as_bodies(op);
    uidset_remove(&o->uids, uid);
    progress_of(op)->got = true;
    o->on_bytes(o, uid, conn_blob(c, at_most(bytes, o->len)));
}

void body_row(struct conn *c, const struct fetch_row *row)
{
    struct op *misled = NULL;
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        struct op *op = cmd->op;
        size_t skip;
        if (!op || cmd->want != WANT_BODY || !wants_body_of(op, row->uid) || is_nothing(op, row))
            continue;
        if (op->kind == OP_BODIES) {
            if (!bodies_fit(c, op, row))
                continue;
            give_one_of_set(c, op, row->uid, row->body);
            return;
        }
        if (misled && op_as_body(op)->whole)
            break; /* that is answered after the window in front of it */
        if (body_fits(c, op, row, row->body.n, &skip)) {
            give_body(c, op, row->body, skip);
            return;
        }
        misled = misled ? misled : op;
    }
    if (misled)
        progress_of(misled)->other = true;
    log_debug("%s: a body of UID %u that nobody asked for", c->box.name, row->uid);
}

bool header_row(struct conn *c, const struct fetch_row *row)
{
    if (row->has & FETCH_DATE)
        return false;
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        struct op *op = cmd->op;
        if (!op || cmd->want != WANT_HEADER)
            continue;
        struct op_header *o = op_as_header(op);
        if (!uidset_has(&o->uids, row->uid))
            continue;
        uidset_remove(&o->uids, row->uid);
        progress_of(op)->got = true;
        o->on_bytes(o, row->uid, conn_blob(c, row->header));
        return true;
    }
    return false;
}

/* ---- what is handed on while it comes ---- */

bool body_flows(struct conn *c, const struct fetch_row *row, size_t literal, struct flow *flow)
{
    bool other = false;
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next) {
        struct op *op = cmd->op;
        size_t skip;
        if (!op || cmd->want != WANT_BODY || op->kind != OP_BODY || !wants_body_of(op, row->uid))
            continue;
        struct op_body *o = op_as_body(op);
        struct progress *p = progress_of(op);
        if (other && o->whole)
            return false; /* that is answered after the window in front of it */
        if (!body_fits(c, op, row, literal, &skip) || skip == literal) {
            other = true;
            continue;
        }
        size_t left = literal - skip, most = o->len - p->passed;
        left = left < most ? left : most;
        *flow = (struct flow){
            .op = op, .skip = skip, .at = p->passed, .left = left, .rest = literal - skip - left};
        p->got = o->pieces = true;
        return true;
    }
    return false;
}

void body_piece(struct op *op, size_t at, struct blob *bytes)
{
    struct op_body *o = op_as_body(op);
    if (o->stream) {
        progress_of(op)->passed = (uint32_t)(at + (bytes ? bytes->len : 0));
        op->attempts = 0; /* it got on */
    }
    o->on_bytes(o, at, bytes);
}

bool body_held(const struct op *op)
{
    return atomic_load(&op_as_body(op)->hold);
}

int64_t body_used_at(const struct op *op)
{
    return atomic_load(&op_as_body(op)->used_at);
}

bool op_streams(const struct op *op)
{
    return op->kind == OP_BODY && op_as_body(op)->stream;
}

bool op_handed_on(const struct op *op)
{
    return (op->kind == OP_BODY || op->kind == OP_BODIES || op->kind == OP_HEADER) &&
           progress_of(op)->got;
}

bool op_may_end(const struct op *op)
{
    return op->kind == OP_BODIES && uidset_count(&op_as_bodies(op)->uids) > 1;
}
