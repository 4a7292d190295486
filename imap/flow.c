/* A large literal of a message body, handed on in pieces while it is still coming.
 *
 * Without this its reader would wait for the last byte of a window before he got the first one. As
 * soon as the part of the response before the literal is there, it is parsed by itself, with an
 * empty string for the literal. If that tells whose bytes they are, they go to the operation piece
 * by piece, and then the response is put together again around that empty string and goes the usual
 * way. A server that names the message only behind the bytes is served as before, all at once. */
#include "imap/conn.h"

#include <errno.h>

#include "imap/fetch.h"
#include "imap/limits.h"
#include "imap/log.h"

enum {
    WORTH_IT = 2 * BLOB_PIECE,
    PATIENCE = 2000, /* ms that a stream is held while its reader does not come on */
};

/* Whose bytes are announced by `head`, the response up to its first literal? NULL: unclear. */
static struct op *owner(struct conn *c, const char *head, size_t len, size_t literal)
{
    struct response r;
    struct fetch_row row;
    struct buf text = {0};
    struct op *found = NULL;
    const char *brace = memrchr(head, '{', len);
    if (!brace || brace - head < 2 || brace[-1] != ' ' || (brace[-2] != ']' && brace[-2] != '>'))
        return NULL; /* no section is its name */
    buf_add(&text, head, (size_t)(brace - head));
    buf_adds(&text, "\"\")\r\n");
    arena_reset(&c->arena);
    if (response_parse(&c->arena, text.data, text.len, &r) == 0 && r.kind == RESP_UNTAGGED &&
        r.has_number && str_is(r.name, "FETCH") && fetch_decode(&r, &row) == 0 && row.uid &&
        row.has & FETCH_BODY && row.body_window && row.body.n == 0) {
        struct cmd *cmd = c->cmds;
        while (cmd && !(cmd->op && cmd->want == WANT_BODY && cmd->op->kind == OP_BODY &&
                        cmd->op->uid == row.uid && !cmd->op->got &&
                        cmd->op->off + cmd->op->passed == row.body_off))
            cmd = cmd->next;
        found = cmd && literal <= cmd->op->len - cmd->op->passed ? cmd->op : NULL;
    }
    buf_free(&text);
    return found;
}

bool flow_begin(struct conn *c)
{
    const char *data = c->in.data + c->in_at;
    size_t len = c->in.len - c->in_at, literal = c->frame.literals;
    size_t missing = frame_missing(&c->frame, len);
    if (!c->serving || !c->box.ready || missing < WORTH_IT || literal < missing)
        return false;
    size_t head = c->frame.line - literal;
    if (memchr(data, '\n', head) != data + head - 1)
        return false; /* not its first literal */
    struct op *op = owner(c, data, head, literal);
    if (!op)
        return false;
    op->got = op->pieces = true;
    c->flow = (struct flow){.op = op, .at = op->passed, .left = literal};
    const char *brace = memrchr(data, '{', head);
    buf_add(&c->flow.head, data, (size_t)(brace - data));
    buf_adds(&c->flow.head, "\"\"");
    c->in_at += head;
    return true;
}

/* The literal has passed: the rest of its response follows. */
static void end(struct conn *c)
{
    struct buf in = c->flow.head;
    if (c->in_at < c->in.len)
        buf_add(&in, c->in.data + c->in_at, c->in.len - c->in_at);
    buf_free(&c->in);
    c->in = in;
    c->in_at = 0;
    c->frame = (struct frame){.max_line = c->frame.max_line};
    c->flow = (struct flow){.passed = true};
}

static void hand_on(struct conn *c)
{
    struct op *op = c->flow.op;
    struct blob *bytes = c->flow.piece;
    size_t at = c->flow.at;
    c->flow.piece = NULL;
    c->flow.at += bytes->len;
    if (op->stream) {
        op->passed = (uint32_t)c->flow.at;
        op->attempts = 0; /* it got on */
    }
    op->on_bytes(op, op->uid, at, bytes);
    if (!c->flow.left)
        end(c);
}

char *flow_room(struct conn *c, size_t *want)
{
    if (!c->flow.piece)
        c->flow.piece = blob_piece();
    size_t room = BLOB_PIECE - c->flow.piece->len;
    *want = room < c->flow.left ? room : c->flow.left;
    return c->flow.piece->own + c->flow.piece->len;
}

void flow_filled(struct conn *c, size_t n)
{
    c->flow.piece->len += n;
    c->flow.left -= n;
    if (c->flow.piece->len == BLOB_PIECE || !c->flow.left)
        hand_on(c);
}

void flow_feed(struct conn *c)
{
    size_t have = c->in.len - c->in_at, want;
    char *room = flow_room(c, &want);
    size_t n = have < want ? have : want;
    memcpy(room, c->in.data + c->in_at, n);
    c->in_at += n;
    flow_filled(c, n);
}

bool flow_held(const struct conn *c)
{
    return c->flow.op && atomic_load(&c->flow.op->hold);
}

int64_t flow_patience(const struct conn *c)
{
    return atomic_load(&c->flow.op->used_at) + PATIENCE;
}

void flow_give_up(struct conn *c)
{
    log_debug("imap[%u] nobody reads on: the rest of UID %u is left", c->index, c->flow.op->uid);
    conn_finish(c, c->flow.op, -ECANCELED);
    flow_drop(c);
}

void flow_drop(struct conn *c)
{
    buf_free(&c->flow.head);
    blob_unref(c->flow.piece);
    c->flow = (struct flow){0};
}
