/* A large literal of a message body, handed on in pieces while it is still coming.
 *
 * Without this its reader would wait for the last byte of a window before he got the first one. As
 * soon as the part of the response before the literal is there, it is parsed by itself, with an
 * empty string for the literal. If that tells whose bytes they are, they go to the operation piece
 * by piece, and then the response is put together again around that empty string and goes the usual
 * way. A server that names the message only behind the bytes is served as before, all at once. */
#include "imap/conn/conn.h"

#include <errno.h>

#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/wire/fetch.h"

enum {
    WORTH_IT = 2 * BLOB_PIECE,
    PATIENCE = 2000, /* ms that a stream is held while its reader does not come on */
};

/* Whose bytes are announced by `head`, the response up to its first literal? Sets c->flow.
 * False: unclear, or there is no memory to find out. */
static bool find_owner(struct conn *c, const char *head, size_t len, size_t literal)
{
    struct response r;
    struct fetch_row row;
    struct buf text = {0};
    const char *brace = memrchr(head, '{', len);
    if (!brace || brace - head < 2 || brace[-1] != ' ' || (brace[-2] != ']' && brace[-2] != '>'))
        return false; /* no section is its name */
    if (!buf_try(&text, len))
        return false;
    buf_add(&text, head, (size_t)(brace - head));
    buf_adds(&text, "\"\")\r\n");
    arena_reset(&c->wire.arena);
    bool is_body = response_parse(&c->wire.arena, text.data, text.len, &r) == 0 &&
                   r.kind == RESP_UNTAGGED && r.has_number && str_is(r.name, "FETCH") &&
                   fetch_decode(&r, &row) == 0 && row.uid && row.has & FETCH_BODY &&
                   row.body.n == 0;
    buf_free(&text);
    return is_body && body_flows(c, &row, literal, &c->flow);
}

bool flow_begin(struct conn *c)
{
    const char *data = c->wire.in.data + c->wire.in_at;
    size_t len = c->wire.in.len - c->wire.in_at, literal = c->wire.frame.literals;
    size_t missing = frame_missing(&c->wire.frame, len);
    if (c->session.state != SESSION_OPEN || !box_is_open(&c->box) || missing < WORTH_IT ||
        literal < missing)
        return false;
    size_t head = c->wire.frame.line - literal;
    if (memchr(data, '\n', head) != data + head - 1)
        return false; /* not its first literal */
    struct buf kept = {0};
    if (!buf_try(&kept, head) || !find_owner(c, data, head, literal)) {
        buf_free(&kept);
        return false;
    }
    const char *brace = memrchr(data, '{', head);
    buf_add(&kept, data, (size_t)(brace - data));
    buf_adds(&kept, "\"\"");
    c->flow.head = kept;
    c->wire.in_at += head;
    return true;
}

/* The literal has passed: the rest of its response follows. */
static void end(struct conn *c)
{
    struct buf in = c->flow.head;
    if (c->wire.in_at < c->wire.in.len)
        buf_add(&in, c->wire.in.data + c->wire.in_at, c->wire.in.len - c->wire.in_at);
    buf_free(&c->wire.in);
    c->wire.in = in;
    c->wire.in_at = 0;
    c->wire.frame = (struct frame){.max_line = c->wire.frame.max_line};
    c->flow = (struct flow){.passed = true};
}

static void hand_on(struct conn *c)
{
    struct op *op = c->flow.op;
    struct blob *bytes = c->flow.piece;
    size_t at = c->flow.at;
    c->flow.piece = NULL;
    c->flow.at += bytes ? bytes->len : 0;
    body_piece(op, at, bytes);
}

/* Where there is no memory for a piece, that and the rest of the literal only passes. */
static struct blob *piece(struct conn *c)
{
    if (!c->flow.piece && c->flow.left && !(c->flow.piece = blob_piece())) {
        hand_on(c);
        c->flow.rest += c->flow.left;
        c->flow.left = 0;
    }
    return c->flow.piece;
}

char *flow_room(struct conn *c, size_t *want)
{
    static _Thread_local char waste[16 * 1024]; /* for what nobody asked for */
    struct blob *b = c->flow.skip ? NULL : piece(c);
    size_t todo = b ? c->flow.left : c->flow.skip ? c->flow.skip : c->flow.rest;
    size_t room = b ? BLOB_PIECE - b->len : sizeof waste;
    *want = room < todo ? room : todo;
    return b ? b->own + b->len : waste;
}

void flow_filled(struct conn *c, size_t n)
{
    struct flow *f = &c->flow;
    if (f->skip) {
        f->skip -= n;
    } else if (f->piece) {
        f->piece->len += n;
        f->left -= n;
        if (f->piece->len == BLOB_PIECE || !f->left)
            hand_on(c);
    } else {
        f->rest -= n;
    }
    if (!f->skip && !f->left && !f->rest)
        end(c);
}

void flow_feed(struct conn *c)
{
    size_t have = c->wire.in.len - c->wire.in_at, want;
    char *room = flow_room(c, &want);
    size_t n = have < want ? have : want;
    memcpy(room, c->wire.in.data + c->wire.in_at, n);
    c->wire.in_at += n;
    flow_filled(c, n);
}

bool flow_held(const struct conn *c)
{
    return c->flow.op && body_held(c->flow.op);
}

int64_t flow_patience(const struct conn *c)
{
    return body_used_at(c->flow.op) + PATIENCE;
}

void flow_give_up(struct conn *c)
{
    log_debug("imap[%u] nobody reads on: the rest of the message is left", c->index);
    conn_finish(c, c->flow.op, -ECANCELED);
    flow_drop(c);
}

void flow_drop(struct conn *c)
{
    buf_free(&c->flow.head);
    blob_unref(c->flow.piece);
    c->flow = (struct flow){0};
}
