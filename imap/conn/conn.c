#include "imap/conn/conn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/conn/session.h"
#include "imap/conn/stall.h"
#include "imap/conn/trace.h"

enum {
    READ_CHUNK = 64 * 1024,
    READ_AT_ONCE = 1024 * 1024, /* of a literal that was announced */
    WORTH_SHARING = 32 * 1024,  /* bytes that are not copied if it can be helped */
};

/* ---- sending ---- */

void conn_quote(struct buf *out, const char *s)
{
    buf_addc(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_addc(out, '\\');
        buf_addc(out, *s);
    }
    buf_addc(out, '"');
}

bool conn_free_literal(const struct conn *c, size_t len)
{
    return caps_has(&c->caps, CAP_LITERAL_PLUS) ||
           (caps_has(&c->caps, CAP_LITERAL_MINUS) && len <= LIMIT_LITERAL_MINUS);
}

void conn_mailbox(const struct conn *c, struct buf *out, const char *name)
{
    size_t len = strlen(name);
    bool quotable = true;
    for (const char *p = name; *p; p++)
        quotable &= (unsigned char)*p < 0x80 && *p != '\r' && *p != '\n';
    if (!quotable && conn_free_literal(c, len))
        buf_addf(out, "{%zu+}\r\n%s", len, name);
    else
        conn_quote(out, name);
}

static struct cmd *add_cmd(struct conn *c, struct op *op, int step, enum want want)
{
    struct cmd *cmd = mem_zalloc(sizeof *cmd);
    cmd->tag = ++c->tag;
    cmd->op = op;
    cmd->step = step;
    cmd->want = want;
    if (!c->cmds) {
        c->last_progress = clock_ms(); /* until now there was nothing to wait for */
        endless_begin(c);
    }
    DL_APPEND(c->cmds, cmd);
    c->ncmds++;
    return cmd;
}

static void remove_cmd(struct conn *c, struct cmd *cmd)
{
    DL_DELETE(c->cmds, cmd);
    c->ncmds--;
    c->quiet_since = clock_ms();
    free(cmd->select);
    free(cmd);
}

void conn_forget_cmds(struct conn *c)
{
    while (c->cmds)
        remove_cmd(c, c->cmds);
    c->enable_tag = c->notify_tag = 0;
}

struct buf *conn_begin(struct conn *c, struct op *op, int step, enum want want)
{
    stall_begin(c);
    idle_done(c);
    struct cmd *cmd = add_cmd(c, op, step, want);
    c->cmd_start = c->out.len;
    buf_addf(&c->out, "A%u ", cmd->tag);
    return &c->out;
}

/* The first word behind the tag, or UID and the one behind it. */
static void name_cmd(struct conn *c)
{
    struct cmd *cmd = c->cmds->prev;
    const char *name = strchr(buf_str(&c->out) + c->cmd_start, ' ') + 1;
    size_t uid = strncmp(name, "UID ", 4) == 0 ? 4 : 0;
    snprintf(cmd->name, sizeof cmd->name, "%.*s", (int)(uid + strcspn(name + uid, " ")), name);
}

void conn_end(struct conn *c)
{
    name_cmd(c);
    conn_debug(c, ">", c->out.data + c->cmd_start, c->out.len - c->cmd_start);
    buf_adds(&c->out, "\r\n");
    c->commands++;
}

void conn_secret(struct conn *c, const char *data, size_t len)
{
    secrets_add(&c->secrets, data, len);
    buf_add(&c->out, data, len);
}

void conn_literal(struct conn *c, struct blob *bytes)
{
    c->literal = (struct outgoing){.bytes = blob_ref(bytes), .pos = c->out.len};
}

static void drop_literal(struct conn *c)
{
    blob_unref(c->literal.bytes);
    c->literal = (struct outgoing){0};
}

static bool unsent(const struct conn *c)
{
    return c->out_at < c->out.len || c->literal.bytes;
}

/* Writes once from where sending has come to, in `out` or in the literal. */
static ssize_t write_some(struct conn *c)
{
    struct outgoing *l = &c->literal;
    if (l->bytes && c->out_at == l->pos) {
        size_t left = l->bytes->len - l->at;
        ssize_t n = left ? stream_write(c->stream, l->bytes->data + l->at, left) : 0;
        l->at += n > 0 ? (size_t)n : 0;
        if (l->at == l->bytes->len)
            drop_literal(c);
        return n;
    }
    size_t end = l->bytes ? l->pos : c->out.len;
    ssize_t n = stream_write(c->stream, c->out.data + c->out_at, end - c->out_at);
    c->out_at += n > 0 ? (size_t)n : 0;
    return n;
}

/* A command that is slow to leave is no silence of the server's. What write(2) took may be
 * megabytes that take their time, so it is asked how many are left. */
static void note_sending(struct conn *c)
{
    size_t left = c->unsent ? stream_unsent(c->stream) : 0;
    if (left < c->unsent) {
        c->last_progress = clock_ms();
        endless_news(c);
    }
    c->unsent = left;
}

static int flush(struct conn *c)
{
    note_sending(c);
    int err = stream_flush(c->stream);
    if (err)
        return err == -EAGAIN ? 0 : err;
    while (unsent(c)) {
        ssize_t n = write_some(c);
        if (n == -EAGAIN)
            return 0;
        if (n < 0)
            return (int)n;
        if (n > 0) {
            c->last_progress = clock_ms();
            endless_news(c);
            c->unsent = stream_unsent(c->stream);
        }
    }
    if (c->out.len)
        explicit_bzero(c->out.data, c->out.len); /* a password may have been in it */
    buf_reset(&c->out);
    c->out_at = 0;
    return 0;
}

/* ---- operations ---- */

struct op *conn_wanting(struct conn *c, enum want want)
{
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->want == want)
            return cmd->op;
    return NULL;
}

void conn_orphan(struct conn *c, const struct op *op)
{
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->op == op)
            cmd->op = NULL;
}

void conn_finish(struct conn *c, struct op *op, int err)
{
    conn_orphan(c, op);
    pool_done(c->pool, c, op, err);
}

/* A session may not have heard of a message yet that the caller knows from another one, and some
 * servers (Courier) tell of what is new only in answer to NOOP; until then they say OK of it and do
 * nothing, or that it is not there. */
static void take_notice(struct conn *c, const struct op *op)
{
    if (!op_class(op)->select || !op->uid)
        return;
    if (!c->box.just_selected && op->uid >= c->box.heard && op->uid >= c->box.state.uidnext) {
        buf_adds(conn_begin(c, NULL, 0, WANT_NONE), "NOOP");
        conn_end(c);
    }
    box_heard(c, op->uid);
}

void conn_start(struct conn *c, struct op *op)
{
    op->sent = true;
    if (op_class(op)->write)
        pool_own_change(c->pool, c, op);
    take_notice(c, op);
    op_class(op)->start(c, op);
    c->box.just_selected = false;
}

bool conn_busy(const struct conn *c)
{
    return c->ncmds > (c->idle == IDLE_ON ? 1u : 0u);
}

static void take_work(struct conn *c)
{
    struct op *op;
    while (!c->selecting && c->idle != IDLE_ASKED && (op = pool_take(c->pool, c))) {
        const struct op_class *class = op_class(op);
        bool write = class->write || op->mark_seen;
        if (write && pool_config(c->pool)->read_only)
            conn_finish(c, op, -EROFS);
        else if (pool_refuses(c->pool, op))
            conn_finish(c, op, -EBUSY);
        else if (op->stream && c->index == 0)
            conn_finish(c, op, -ECANCELED); /* there is no other: this one is not to be blocked */
        else if (class->write && box_fits(c, op, write) && c->box.read_only)
            conn_finish(c, op, -EACCES);
        else if (class->select && !box_fits(c, op, write))
            conn_select(c, op, write || (class->lists && !pool_config(c->pool)->read_only));
        else if (class->select && box_other_validity(c, op) && conn_busy(c))
            conn_finish(c, op, c->box.doubt ? -EBUSY : -ESTALE);
        else if (class->select && box_other_validity(c, op))
            conn_select(c, op, write); /* one of the two views is old: look again */
        else
            conn_start(c, op);
    }
}

/* ---- receiving ---- */

/* What cannot be forgiven: told where the session is being set up, else logged. */
static int fault(struct conn *c, const char *what)
{
    c->fault = what;
    if (c->serving)
        log_error("the server sends %s", what);
    return -EPROTO;
}

static void fill_reply(struct conn *c, const struct response *r)
{
    buf_reset(&c->reply.text);
    buf_add(&c->reply.text, r->text.p, r->text.n);
    c->reply.cond = r->cond;
    c->reply.code = code_from_name(r->code);
}

static void notify_answered(struct conn *c, const struct response *r)
{
    c->notify_tag = 0;
    c->notified = r->cond == COND_OK;
    pool_notified(c->pool, c);
    if (c->notified && c->connects > 1) { /* what happened meanwhile was not heard */
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
    if (arg_number(&number, UINT32_MAX, &tag) && tag && tag == c->reply.tag && !c->reply.done) {
        untagged_code(c, NULL, r);
        fill_reply(c, r);
        c->reply.done = true;
        return 0;
    }
    struct cmd *cmd = c->cmds;
    while (cmd && cmd->tag != tag)
        cmd = cmd->next;
    if (!cmd)
        return fault(c, "an answer to a command that was not sent");
    endless_begin(c);
    if (tag == c->enable_tag) {
        c->enable_tag = 0;
        pool_answers(c->pool, EXTRA_ENABLE);
    }
    struct op *op = cmd->op;
    int step = cmd->step;
    int64_t wait = 0;
    untagged_code(c, op, r);
    bool throttled = outcome_throttled(r, cmd->name, &wait);
    if (tag == c->notify_tag)
        notify_answered(c, r);
    if (tag == c->idle_tag)
        idle_answered(c, r->cond == COND_OK || throttled);
    if (throttled)
        pool_throttled(c->pool, wait, r->text);
    else if (r->cond != COND_OK && op && !(op->pause && outcome_errno(r) == -EBUSY))
        note_refusal(cmd, r);
    remove_cmd(c, cmd);
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
    return c->serving;
}

/* What cannot be understood. */
static int pass_over(struct conn *c, const char *data, size_t len)
{
    struct op *listing = conn_wanting(c, WANT_LIST);
    if (listing && listing->kind == OP_REMOVE)
        listing->saw |= OP_SAW_BELOW; /* it may have named something below: nothing is deleted */
    conn_passed_over(c, data, len);
    if (*data != '*' && !(c->serving && is_blank(data, len)) && !harmless(c))
        return -EPROTO;
    return endless_line(c);
}

static int on_response(struct conn *c, char *data, size_t len)
{
    conn_debug(c, "<", data, len);
    struct response r;
    arena_reset(&c->arena);
    int err = response_parse(&c->arena, data, len, &r);
    if (err == -ENOMEM)
        return err;
    if (err) {
        if (!c->greeted)
            return fault(c, "something that is not an IMAP greeting");
        return pass_over(c, data, len);
    }
    if (r.text.n > LIMIT_LOGIN_LINE)
        r.text.n = LIMIT_LOGIN_LINE; /* it is for people, or a challenge */
    if (r.cond != COND_NONE)
        r.text = conn_words(c, r.text);
    if (!c->greeted) {
        if (r.kind != RESP_UNTAGGED ||
            (r.cond != COND_OK && r.cond != COND_PREAUTH && r.cond != COND_BYE))
            return fault(c, "something that is not an IMAP greeting");
        c->greeted = true;
        c->greeting = r.cond;
        fill_reply(c, &r);
        untagged_code(c, NULL, &r);
        return 0;
    }
    if (r.kind == RESP_CONTINUE && idle_accepted(c))
        return 0;
    if (r.kind == RESP_CONTINUE) {
        fill_reply(c, &r);
        c->reply.go_on = true;
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
    bool inside =
        c->in.data && bytes.p >= c->in.data && bytes.p + bytes.n <= c->in.data + c->in.len;
    if (!inside || c->in_blob || bytes.n < WORTH_SHARING || bytes.n < c->in.cap / 2)
        return blob_copy(bytes.p, bytes.n);
    struct buf memory = c->in;
    c->in_blob = blob_adopt(&memory, bytes.p, bytes.n);
    return c->in_blob ? blob_ref(c->in_blob) : NULL;
}

int conn_part(struct conn *c)
{
    if (!c->in_blob)
        return 0;
    struct buf rest = {0};
    size_t n = c->in.len - c->in_at;
    int err = buf_try(&rest, n) ? 0 : -ENOMEM;
    if (!err)
        buf_add(&rest, c->in.data + c->in_at, n);
    c->in = rest;
    c->in_at = 0;
    blob_unref(c->in_blob);
    c->in_blob = NULL;
    return err;
}

/* What is behind this answer is no longer lines of IMAP: TLS, or compressed. */
static bool held(const struct conn *c)
{
    return c->hold && c->reply.done && c->reply.cond == COND_OK;
}

static int handle_input(struct conn *c)
{
    int err = 0;
    while (!err && c->in_at < c->in.len && !held(c)) {
        if (c->flow.op) {
            flow_feed(c);
            continue;
        }
        size_t end = 0;
        const char *why = "";
        char *data = c->in.data + c->in_at;
        enum parse_result p = frame_scan(&c->frame, data, c->in.len - c->in_at, &end, &why);
        if (p == PARSE_BAD)
            return fault(c, why);
        if (p == PARSE_MORE && flow_begin(c))
            continue;
        if (p == PARSE_MORE)
            break;
        c->in_at += end;
        err = on_response(c, data, end);
        c->flow.passed = false;
        int parted = conn_part(c);
        err = err ? err : parted;
    }
    if (c->in_at == c->in.len) {
        if (c->in.cap > 1024 * 1024)
            buf_free(&c->in); /* a large body went through; give its memory back */
        buf_reset(&c->in);
        c->in_at = 0;
    } else if (c->in_at > c->in.len / 2) {
        buf_shift(&c->in, c->in_at);
        c->in_at = 0;
    }
    return err;
}

/* NULL: there is no memory for what the server sends. */
static char *in_room(struct conn *c, size_t *want)
{
    size_t missing = frame_missing(&c->frame, c->in.len - c->in_at);
    size_t n = missing < READ_CHUNK ? READ_CHUNK : missing + 256; /* and its tagged end */
    *want = n < READ_AT_ONCE ? n : READ_AT_ONCE;
    if (missing)
        return buf_try_room(&c->in, *want);
    return buf_try(&c->in, *want) ? c->in.data + c->in.len : NULL;
}

/* Reads until the socket is empty or enough has come for one turn. */
static int receive(struct conn *c)
{
    for (int turns = 0; turns < 16; turns++) {
        size_t want;
        bool flowing = c->flow.op;
        char *room = flowing ? flow_room(c, &want) : in_room(c, &want);
        ssize_t n = room ? stream_read(c->stream, room, want) : -ENOMEM;
        if (n == -EAGAIN)
            return 0;
        if (n == -EPROTO)
            return fault(c, "what cannot be decompressed (see compress=no)");
        if (n <= 0)
            return n ? (int)n : -ECONNRESET;
        c->last_progress = clock_ms();
        if (flowing || c->in.len - c->in_at > READ_CHUNK)
            endless_news(c); /* in the middle of something large */
        if (flowing)
            flow_filled(c, (size_t)n);
        else
            c->in.len += (size_t)n;
        int err = handle_input(c);
        stall_heard(c);
        if (err || held(c) || flow_held(c))
            return err;
    }
    return 0;
}

int conn_pump(struct conn *c, int64_t deadline)
{
    int err = flush(c);
    if (err)
        return err;
    struct pollfd p[3] = {
        {.fd = stream_fd(c->stream), .events = stream_events(c->stream, unsent(c))},
        {.fd = pool_stop_fd(c->pool), .events = POLLIN},
        {.fd = c->serving ? c->wake : -1, .events = POLLIN},
    };
    /* Left unread, it fills the socket, and then the server waits. */
    bool hold = flow_held(c);
    if (hold)
        p[0].events &= (short)~POLLIN;
    /* What is already here is not announced by poll(2). */
    bool pending = !hold && stream_pending(c->stream);
    int64_t due = c->serving ? pool_next_due(c->pool) : INT64_MAX;
    int64_t left = pending ? 0 : (due < deadline ? due : deadline) - clock_ms();
    int n = poll(p, 3, left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left);
    c->wakeups++;
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    if (p[1].revents)
        return -ECANCELED;
    if (p[2].revents) {
        uint64_t count;
        if (read(c->wake, &count, sizeof count) < 0 && errno != EAGAIN)
            return -errno;
    }
    if (p[0].revents || pending) {
        err = receive(c);
        pool_batch(c->pool);
        return err;
    }
    if (n != 0 || clock_ms() < deadline)
        return 0;
    note_sending(c);
    return -ETIMEDOUT; /* conn.last_progress may have become later than the caller knows */
}

/* ---- the thread ---- */

static void say_goodbye(struct conn *c)
{
    int64_t deadline = clock_ms() + 2000; /* a courtesy: the server may be gone */
    c->logout = true;
    c->serving = false;
    buf_adds(conn_begin(c, NULL, 0, WANT_NONE), "LOGOUT");
    conn_end(c);
    while (c->ncmds && conn_pump(c, deadline) == 0)
        ;
}

/* Is each command in flight an operation's, so that the pool knows what becomes of it? */
static bool only_ops(const struct conn *c)
{
    for (const struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (!cmd->op && !cmd->given_up)
            return false;
    return true;
}

static int64_t next_deadline(struct conn *c, int timeout)
{
    if (flow_held(c))
        return flow_patience(c);
    if (conn_busy(c)) {
        int64_t silent = c->last_progress + timeout, endless = endless_deadline(c);
        return silent < endless ? silent : endless;
    }
    return idle_deadline(c);
}

/* After the machine slept, what is between here and the server may have forgotten the connection,
 * and only time would tell. While nobody waits for an answer, a new one costs less. */
static bool distrusted(struct conn *c)
{
    if (!c->serving || !clock_slept_since(&c->slept))
        return false;
    for (const struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->op)
            return false;
    log_debug("imap[%u] is made anew, since the machine slept", c->index);
    return true;
}

/* Moves commands and responses until the connection is to end: 0, or why it was lost. */
static int serve(struct conn *c)
{
    int timeout = pool_config(c->pool)->timeout;
    c->serving = true;
    c->quiet_since = clock_ms();
    stall_heard(c);
    for (;;) {
        if (!conn_busy(c) && pool_should_release(c->pool, c) && c->box.name)
            conn_leave_box(c);
        if (pool_outdated(c->pool, c))
            box_doubt(c);
        if (distrusted(c))
            return -ENETRESET;
        if (clock_ms() >= stall_deadline(c))
            stall_pass_on(c);
        take_work(c);
        if (pool_takes_over(c->pool, c))
            c->watched_for = 0; /* IDLE is thought of once more */
        if (pool_finished(c->pool, c)) {
            if (conn_busy(c) && only_ops(c))
                return -ECANCELED; /* what is under way only asks */
            if (!conn_busy(c)) {
                say_goodbye(c);
                return 0;
            }
        }
        bool hold = flow_held(c);
        int64_t deadline = next_deadline(c, timeout), stall = stall_deadline(c);
        int err = conn_pump(c, stall < deadline ? stall : deadline);
        if (hold) { /* until now it was not the server that was awaited */
            c->last_progress = clock_ms();
            endless_news(c);
        }
        if (err == -ETIMEDOUT && flow_held(c)) {
            if (clock_ms() < flow_patience(c))
                continue;
            flow_give_up(c);
            return 0;
        }
        if (err == -ETIMEDOUT && !conn_busy(c)) {
            idle_quiet(c);
            continue;
        }
        if ((!err || err == -ETIMEDOUT) && conn_busy(c) && clock_ms() >= endless_deadline(c))
            return endless_give_up(c);
        /* Bytes that came in the meantime may have moved the deadline. */
        if (err == -ETIMEDOUT && clock_ms() < c->last_progress + timeout)
            continue;
        if (err == -ETIMEDOUT && c->idle == IDLE_ASKED)
            pool_idle_unanswered(c->pool, c->quiet_since);
        if (err)
            return err;
    }
}

static void close_conn(struct conn *c, int err)
{
    const struct op *front = c->cmds ? c->cmds->op : NULL;
    /* From the last to the first: each goes to the front of the queue, so they keep their order. */
    while (c->cmds) {
        struct cmd *last = c->cmds->prev;
        struct op *op = last->op;
        if (op && op != front && err == -ETIMEDOUT)
            pool_excuse(c->pool, op);
        if (op) {
            conn_orphan(c, op);
            pool_lost(c->pool, c, op, err);
        }
        remove_cmd(c, last);
    }
    if (c->enable_tag && err == -ECONNRESET)
        pool_hangs_up(c->pool, EXTRA_ENABLE);
    session_forget(c);
    flow_drop(c);
    drop_literal(c);
    c->selecting = NULL;
    c->serving = false;
    c->silent_since = 0;
    conn_forget_box(c);
    stream_close(&c->stream);
    buf_wipe_free(&c->out);
    buf_free(&c->in);
    buf_free(&c->reply.text);
    buf_free(&c->words);
    secrets_free(&c->secrets);
    arena_free(&c->arena);
    c->out_at = c->in_at = c->unsent = 0;
}

static void wait_for_wake(struct conn *c)
{
    struct pollfd p[2] = {{.fd = c->wake, .events = POLLIN},
                          {.fd = pool_stop_fd(c->pool), .events = POLLIN}};
    uint64_t count;
    if (poll(p, 2, pool_patience(c->pool, c)) > 0 && p[0].revents &&
        read(c->wake, &count, sizeof count) < 0)
        return;
}

/* Why it was lost, if the user is to be told: not what we ended, nor what was told already. */
static void why_lost(struct conn *c, int err, struct buf *why)
{
    if (!err || err == -ECANCELED || err == -ENETRESET || err == -EPROTO)
        return;
    if (c->bye)
        buf_addf(why, "the server ends it: %s", buf_str(&c->reply.text));
    else if (err == -ECONNRESET)
        buf_adds(why, "the server closed it");
    else if (err == -ETIMEDOUT)
        buf_adds(why, "the server does not answer");
    else
        buf_adds(why, strerror(-err));
}

void *conn_main(void *conn)
{
    struct conn *c = conn;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL); /* signals are the main thread's */
    for (;;) {
        enum pool_advice advice = pool_advise(c->pool, c);
        if (advice == POOL_STOP)
            return NULL;
        if (advice == POOL_WAIT) {
            wait_for_wake(c);
            continue;
        }
        struct buf why = {0};
        int err = session_open(c, &why);
        pool_connected(c->pool, c, err, buf_str(&why));
        buf_reset(&why);
        if (!err) {
            err = serve(c);
            why_lost(c, err, &why);
        }
        close_conn(c, err ? err : -ENOTCONN);
        pool_disconnected(c->pool, c, err, buf_str(&why));
        buf_free(&why);
    }
}
