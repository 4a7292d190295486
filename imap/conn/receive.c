/* What comes in: from bytes to responses, and whom a tagged one is for. */
#include "imap/conn/receive.h"

#include <errno.h>
#include <string.h>

#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/conn/conn.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/conn/trace.h"

enum {
    READ_CHUNK = 64 * 1024,
    READ_AT_ONCE = 1024 * 1024, /* of a literal that was announced */
    WORTH_SHARING = 32 * 1024,  /* bytes that are not copied if it can be helped */
};

/* What cannot be forgiven: told where the session is being set up, else logged. */
static int fault(struct conn *c, const char *what)
{
    c->session.fault = what;
    if (c->session.state == SESSION_OPEN)
        log_error("the server sends %s", what);
    return -EPROTO;
}

static void fill_reply(struct conn *c, const struct response *r)
{
    buf_reset(&c->session.reply.text);
    buf_add(&c->session.reply.text, r->text.p, r->text.n);
    c->session.reply.cond = r->cond;
    c->session.reply.code = code_from_name(r->code);
}

static void notify_answered(struct conn *c, const struct response *r)
{
    c->session.notify_tag = 0;
    c->session.notified = r->cond == COND_OK;
    pool_notified(c->pool, c);
    if (c->session.notified &&
        c->counters.connects > 1) { /* what happened meanwhile was not heard */
        pool_folders(c->pool);
        pool_deaf(c->pool);
    }
}

static void note_refusal(const struct cmd *cmd, const struct response *r)
{
    static struct log_limit questions = LOG_LIMIT("refusals of what only asks");
    const struct op *op = cmd->op;
    if (op_class(op)->retry != RETRY_REPEAT || log_may(&questions))
        log_warn("%s%s%s refused by the server: " STR_FMT, op->mailbox ? op->mailbox : "",
                 op->mailbox ? ": " : "", cmd->name, STR_ARG(r->text));
}

static int on_tagged(struct conn *c, struct response *r)
{
    struct arg number = {.type = ARG_ATOM};
    uint64_t tag = 0;
    if (r->tag.n > 1 && *r->tag.p == 'A')
        number.s = (struct str){r->tag.p + 1, r->tag.n - 1};
    if (arg_number(&number, UINT32_MAX, &tag) && tag && tag == c->session.reply.tag &&
        !c->session.reply.done) {
        untagged_code(c, NULL, r);
        fill_reply(c, r);
        c->session.reply.done = true;
        return 0;
    }
    struct cmd *cmd = c->cmds;
    while (cmd && cmd->tag != tag)
        cmd = cmd->next;
    if (!cmd)
        return fault(c, "an answer to a command that was not sent");
    endless_begin(c);
    if (tag == c->session.enable_tag) {
        c->session.enable_tag = 0;
        pool_answers(c->pool, EXTRA_ENABLE);
    }
    struct op *op = cmd->op;
    int step = cmd->step;
    int64_t wait = 0;
    untagged_code(c, op, r);
    bool throttled = outcome_throttled(r, cmd->name, &wait);
    if (tag == c->session.notify_tag)
        notify_answered(c, r);
    if (tag == c->idle.tag)
        idle_answered(c, r->cond == COND_OK || throttled);
    if (throttled)
        pool_throttled(c->pool, wait, r->text);
    else if (r->cond != COND_OK && op && !(op->pause && outcome_errno(r) == -EBUSY))
        note_refusal(cmd, r);
    cmd_remove(c, cmd);
    if (op && step == STEP_SELECT)
        box_selected(c, op, r);
    else if (op)
        op_class(op)->answered(c, op, step, r);
    return 0;
}

static bool is_blank(const char *data, size_t len)
{
    while (len && strchr(" \t\r\n", data[len - 1]) && data[len - 1])
        len--;
    return len == 0;
}

/* May what is no response at all be passed over? It may be the rest of a message that is longer
 * than was announced, and then whoever wrote that message would go on to answer in the server's
 * place: so not while a body is on its way, nor a change. */
static bool harmless(const struct conn *c)
{
    for (const struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->want == WANT_BODY || (cmd->op && !op_only_asks(cmd->op)))
            return false;
    return c->session.state == SESSION_OPEN;
}

/* What cannot be understood. */
static int pass_over(struct conn *c, const char *data, size_t len)
{
    untagged_passed_over(c);
    conn_passed_over(c, data, len);
    if (*data != '*' && !(c->session.state == SESSION_OPEN && is_blank(data, len)) && !harmless(c))
        return -EPROTO;
    return endless_line(c);
}

static int on_response(struct conn *c, char *data, size_t len)
{
    conn_debug(c, "<", data, len);
    struct response r;
    arena_reset(&c->wire.arena);
    int err = response_parse(&c->wire.arena, data, len, &r);
    if (err == -ENOMEM)
        return err;
    if (err) {
        if (c->session.state == SESSION_GREETING)
            return fault(c, "something that is not an IMAP greeting");
        return pass_over(c, data, len);
    }
    if (r.text.n > LIMIT_LOGIN_LINE)
        r.text.n = LIMIT_LOGIN_LINE; /* it is for people, or a challenge */
    if (r.cond != COND_NONE)
        r.text = conn_words(c, r.text);
    if (c->session.state == SESSION_GREETING) {
        if (r.kind != RESP_UNTAGGED ||
            (r.cond != COND_OK && r.cond != COND_PREAUTH && r.cond != COND_BYE))
            return fault(c, "something that is not an IMAP greeting");
        session_become(c, SESSION_SETUP);
        c->session.greeting = r.cond;
        fill_reply(c, &r);
        untagged_code(c, NULL, &r);
        return 0;
    }
    if (r.kind == RESP_CONTINUE && idle_accepted(c))
        return 0;
    if (r.kind == RESP_CONTINUE) {
        fill_reply(c, &r);
        c->session.reply.go_on = true;
        struct op *op = conn_wanting(c, WANT_GO_ON);
        if (op)
            op_class(op)->go_on(c, op);
        return 0;
    }
    if (r.kind == RESP_TAGGED)
        return on_tagged(c, &r);
    err = untagged_handle(c, &r);
    return err ? err : endless_line(c);
}

struct blob *conn_blob(struct conn *c, struct str bytes)
{
    bool inside = c->wire.in.data && bytes.p >= c->wire.in.data &&
                  bytes.p + bytes.n <= c->wire.in.data + c->wire.in.len;
    if (!inside || c->wire.in_blob || bytes.n < WORTH_SHARING || bytes.n < c->wire.in.cap / 2)
        return blob_copy(bytes.p, bytes.n);
    struct buf memory = c->wire.in;
    c->wire.in_blob = blob_adopt(&memory, bytes.p, bytes.n);
    return c->wire.in_blob ? blob_ref(c->wire.in_blob) : NULL;
}

int conn_part(struct conn *c)
{
    if (!c->wire.in_blob)
        return 0;
    struct buf rest = {0};
    size_t n = c->wire.in.len - c->wire.in_at;
    int err = buf_try(&rest, n) ? 0 : -ENOMEM;
    if (!err)
        buf_add(&rest, c->wire.in.data + c->wire.in_at, n);
    c->wire.in = rest;
    c->wire.in_at = 0;
    blob_unref(c->wire.in_blob);
    c->wire.in_blob = NULL;
    return err;
}

/* What is behind this answer is no longer lines of IMAP: TLS, or compressed. */
static bool is_held(const struct conn *c)
{
    return c->wire.hold && c->session.reply.done && c->session.reply.cond == COND_OK;
}

static int handle_input(struct conn *c)
{
    int err = 0;
    while (!err && c->wire.in_at < c->wire.in.len && !is_held(c)) {
        if (c->flow.op) {
            flow_feed(c);
            continue;
        }
        size_t end = 0;
        const char *why = "";
        char *data = c->wire.in.data + c->wire.in_at;
        enum parse_result p =
            frame_scan(&c->wire.frame, data, c->wire.in.len - c->wire.in_at, &end, &why);
        if (p == PARSE_BAD)
            return fault(c, why);
        if (p == PARSE_MORE && flow_begin(c))
            continue;
        if (p == PARSE_MORE)
            break;
        c->wire.in_at += end;
        err = on_response(c, data, end);
        c->flow.passed = false;
        int parted = conn_part(c);
        err = err ? err : parted;
    }
    if (c->wire.in_at == c->wire.in.len) {
        if (c->wire.in.cap > 1024 * 1024)
            buf_free(&c->wire.in); /* a large body went through; give its memory back */
        buf_reset(&c->wire.in);
        c->wire.in_at = 0;
    } else if (c->wire.in_at > c->wire.in.len / 2) {
        buf_shift(&c->wire.in, c->wire.in_at);
        c->wire.in_at = 0;
    }
    return err;
}

/* NULL: there is no memory for what the server sends. */
static char *in_room(struct conn *c, size_t *want)
{
    size_t missing = frame_missing(&c->wire.frame, c->wire.in.len - c->wire.in_at);
    size_t n = missing < READ_CHUNK ? READ_CHUNK : missing + 256; /* and its tagged end */
    *want = n < READ_AT_ONCE ? n : READ_AT_ONCE;
    if (missing)
        return buf_try_room(&c->wire.in, *want);
    return buf_try(&c->wire.in, *want) ? c->wire.in.data + c->wire.in.len : NULL;
}

/* Reads until the socket is empty or enough has come for one turn. */
int receive_some(struct conn *c)
{
    for (int turns = 0; turns < 16; turns++) {
        size_t want;
        bool flowing = c->flow.op;
        char *room = flowing ? flow_room(c, &want) : in_room(c, &want);
        ssize_t n = room ? stream_read(c->wire.stream, room, want) : -ENOMEM;
        if (n == -EAGAIN)
            return 0;
        if (n == -EPROTO)
            return fault(c, "what cannot be decompressed (see compress=no)");
        if (n <= 0)
            return n ? (int)n : -ECONNRESET;
        c->clocks.progress_at = clock_ms();
        if (flowing || c->wire.in.len - c->wire.in_at > READ_CHUNK)
            endless_news(c); /* in the middle of something large */
        if (flowing)
            flow_filled(c, (size_t)n);
        else
            c->wire.in.len += (size_t)n;
        int err = handle_input(c);
        stall_heard(c);
        if (err || is_held(c) || flow_held(c))
            return err;
    }
    return 0;
}
