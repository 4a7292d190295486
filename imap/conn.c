#include "imap/conn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

#include "imap/clock.h"
#include "imap/exec.h"
#include "imap/limits.h"
#include "imap/log.h"
#include "imap/mem.h"
#include "imap/pool_internal.h"

enum { READ_CHUNK = 64 * 1024 };

/* ---- sending ---- */

void conn_debug(struct conn *c, const char *dir, const char *data, size_t len)
{
    if (!log_debugging())
        return;
    const char *nl = memchr(data, '\n', len);
    size_t line = nl ? (size_t)(nl - data) : len;
    size_t rest = len - line - (nl ? 1 : 0);
    if (line && data[line - 1] == '\r')
        line--;
    /* Message bytes stay out of the log also where a server sends them as a quoted string. */
    const char *body = memmem(data, line, "BODY[", 5);
    const char *quote =
        *dir == '<' && body ? memmem(body, (size_t)(data + line - body), "] \"", 3) : NULL;
    if (quote) {
        rest += line - (size_t)(quote + 2 - data);
        line = (size_t)(quote + 2 - data);
    }
    struct buf text = {0};
    log_escape(&text, data, line, 600);
    if (rest)
        log_debug("imap[%u] %s %s (+%zu bytes)", c->index, dir, buf_str(&text), rest);
    else
        log_debug("imap[%u] %s %s", c->index, dir, buf_str(&text));
    buf_free(&text);
}

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

static struct cmd *add_cmd(struct conn *c, struct op *op, int step, enum want want)
{
    struct cmd *cmd = mem_zalloc(sizeof *cmd);
    cmd->tag = ++c->tag;
    cmd->op = op;
    cmd->step = step;
    cmd->want = want;
    if (!c->cmds)
        c->last_progress = clock_ms(); /* until now there was nothing to wait for */
    DL_APPEND(c->cmds, cmd);
    c->ncmds++;
    return cmd;
}

static void remove_cmd(struct conn *c, struct cmd *cmd)
{
    DL_DELETE(c->cmds, cmd);
    c->ncmds--;
    free(cmd->select);
    free(cmd);
}

struct buf *conn_begin(struct conn *c, struct op *op, int step, enum want want)
{
    struct cmd *cmd = add_cmd(c, op, step, want);
    c->cmd_start = c->out.len;
    buf_addf(&c->out, "A%u ", cmd->tag);
    return &c->out;
}

void conn_end(struct conn *c)
{
    conn_debug(c, ">", c->out.data + c->cmd_start, c->out.len - c->cmd_start);
    buf_adds(&c->out, "\r\n");
    c->commands++;
}

void conn_secret(struct conn *c, const char *data, size_t len)
{
    buf_add(&c->out, data, len);
}

static int flush(struct conn *c)
{
    while (c->out_at < c->out.len) {
        ssize_t n = stream_write(c->stream, c->out.data + c->out_at, c->out.len - c->out_at);
        if (n == -EAGAIN)
            return 0;
        if (n < 0)
            return (int)n;
        c->out_at += (size_t)n;
        c->bytes_out += (unsigned long long)n;
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

/* From here on nobody waits for the answers to what was sent for `op`. */
static void orphan(struct conn *c, const struct op *op)
{
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->op == op)
            cmd->op = NULL;
}

void conn_finish(struct conn *c, struct op *op, int err)
{
    orphan(c, op);
    pool_done(c->pool, c, op, err);
}

void conn_forget_box(struct conn *c)
{
    free(c->box.name);
    c->box = (struct box){0};
    pool_selected(c->pool, c, NULL, false);
}

/* Is `name` the mailbox, or below it? */
static bool covers(const char *mailbox, char delim, const char *name)
{
    size_t n = strlen(mailbox);
    return strncmp(name, mailbox, n) == 0 && (name[n] == '\0' || (delim && name[n] == delim));
}

void conn_leave_box(struct conn *c)
{
    /* Never CLOSE, which expunges. Without UNSELECT, failing to open another mailbox closes this
     * one (RFC 3501 section 6.3.1). */
    const char *leave = caps_has(&c->caps, CAP_UNSELECT)
                            ? "UNSELECT"
                            : "EXAMINE \"imapfs: no such mailbox, to close the one that is open\"";
    buf_adds(conn_begin(c, NULL, 0, WANT_NONE), leave);
    conn_end(c);
    conn_forget_box(c);
}

void conn_deselect(struct conn *c, const char *mailbox, char delim)
{
    pool_release(c->pool, c, mailbox, delim);
    if (c->box.name && covers(mailbox, delim, c->box.name))
        conn_leave_box(c);
}

static void start(struct conn *c, struct op *op)
{
    op_class(op)->start(c, op);
    c->box.just_selected = false;
}

static void begin_select(struct conn *c, struct op *op, bool write)
{
    conn_forget_box(c);
    c->selecting = op;
    c->box.name = mem_strdup(op->mailbox);
    c->box.write = write;
    struct buf *b = conn_begin(c, op, STEP_SELECT, WANT_NONE);
    buf_adds(b, write ? "SELECT " : "EXAMINE ");
    conn_quote(b, op->mailbox);
    if (caps_has(&c->caps, CAP_CONDSTORE))
        buf_adds(b, " (CONDSTORE)");
    conn_end(c);
}

static bool box_fits(const struct conn *c, const struct op *op, bool write)
{
    return c->box.ready && strcmp(c->box.name, op->mailbox) == 0 && (c->box.write || !write);
}

/* Were the operation's UIDs learnt in another life of the selected mailbox? */
static bool other_validity(const struct conn *c, const struct op *op)
{
    return op->uidvalidity && c->box.state.uidvalidity &&
           op->uidvalidity != c->box.state.uidvalidity;
}

static void selected(struct conn *c, struct op *op, const struct response *r)
{
    c->selecting = NULL;
    int err = outcome_errno(r);
    if (err) {
        conn_forget_box(c);
        conn_finish(c, op, err);
        return;
    }
    c->box.ready = c->box.fresh = c->box.just_selected = true;
    c->box.read_only = code_from_name(r->code) == CODE_READ_ONLY;
    pool_selected(c->pool, c, c->box.name, c->box.write);
    if (other_validity(c, op)) {
        log_warn("mailbox %s has a new UIDVALIDITY (%u, was %u): what was known of it is void",
                 op->mailbox, c->box.state.uidvalidity, op->uidvalidity);
        conn_finish(c, op, -ESTALE);
    } else if (op_class(op)->write && c->box.read_only) {
        log_info("mailbox %s is read-only on the server", op->mailbox);
        conn_finish(c, op, -EACCES);
    } else {
        start(c, op);
    }
}

static void take_work(struct conn *c)
{
    struct op *op;
    while (!c->selecting && (op = pool_take(c->pool, c))) {
        const struct op_class *class = op_class(op);
        bool write = class->write || op->mark_seen;
        if (write && pool_config(c->pool)->read_only)
            conn_finish(c, op, -EROFS);
        else if (class->write && box_fits(c, op, write) && c->box.read_only)
            conn_finish(c, op, -EACCES);
        else if (class->select && !box_fits(c, op, write))
            begin_select(c, op, write);
        else if (class->select && other_validity(c, op) && c->ncmds > 0)
            conn_finish(c, op, -ESTALE);
        else if (class->select && other_validity(c, op))
            begin_select(c, op, write); /* one of the two views is old: look again */
        else
            start(c, op);
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

static int on_tagged(struct conn *c, const struct response *r)
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
    struct op *op = cmd->op;
    int step = cmd->step;
    untagged_code(c, op, r);
    remove_cmd(c, cmd);
    if (r->cond != COND_OK && op)
        log_warn("%s%s%s refused by the server: " STR_FMT, op->mailbox ? op->mailbox : "",
                 op->mailbox ? ": " : "", op_name(op), STR_ARG(r->text));
    if (op && step == STEP_SELECT)
        selected(c, op, r);
    else if (op)
        op_class(op)->answered(c, op, step, r);
    return 0;
}

static int on_response(struct conn *c, char *data, size_t len)
{
    conn_debug(c, "<", data, len);
    struct response r;
    arena_reset(&c->arena);
    if (response_parse(&c->arena, data, len, &r) != 0) {
        if (!c->greeted)
            return fault(c, "something that is not an IMAP greeting");
        struct op *listing = conn_wanting(c, WANT_LIST);
        if (listing && listing->kind == OP_REMOVE)
            listing->saw |=
                OP_SAW_BELOW; /* it may have named something below: nothing is deleted */
        struct buf text = {0};
        log_escape(&text, data, len, 80);
        log_warn("passing over what cannot be understood: %s", buf_str(&text));
        buf_free(&text);
        return *data == '*' ? 0 : -EPROTO;
    }
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
    if (r.kind == RESP_CONTINUE) {
        fill_reply(c, &r);
        c->reply.go_on = true;
        return 0;
    }
    return r.kind == RESP_TAGGED ? on_tagged(c, &r) : untagged_handle(c, &r);
}

static int handle_input(struct conn *c)
{
    int err = 0;
    while (!err && c->in_at < c->in.len && !(c->hold && c->reply.done)) {
        size_t end = 0;
        const char *why = "";
        char *data = c->in.data + c->in_at;
        enum parse_result p = frame_scan(&c->frame, data, c->in.len - c->in_at, &end, &why);
        if (p == PARSE_BAD)
            return fault(c, why);
        if (p == PARSE_MORE)
            break;
        c->in_at += end;
        err = on_response(c, data, end);
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

/* Reads until the socket is empty or enough has come for one turn. */
static int receive(struct conn *c)
{
    for (int turns = 0; turns < 16; turns++) {
        char *room = buf_reserve(&c->in, READ_CHUNK);
        ssize_t n = stream_read(c->stream, room, READ_CHUNK);
        if (n == -EAGAIN)
            return 0;
        if (n <= 0)
            return n ? (int)n : -ECONNRESET;
        c->in.len += (size_t)n;
        c->bytes_in += (unsigned long long)n;
        c->last_progress = clock_ms();
        int err = handle_input(c);
        if (err || (c->hold && c->reply.done))
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
        {.fd = stream_fd(c->stream), .events = stream_events(c->stream, c->out_at < c->out.len)},
        {.fd = pool_stop_fd(c->pool), .events = POLLIN},
        {.fd = c->serving ? c->wake : -1, .events = POLLIN},
    };
    int64_t left = deadline - clock_ms();
    int n = poll(p, 3, left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    if (p[1].revents)
        return -ECANCELED;
    if (p[2].revents) {
        uint64_t count;
        if (read(c->wake, &count, sizeof count) < 0 && errno != EAGAIN)
            return -errno;
    }
    if (p[0].revents) {
        err = receive(c);
        pool_batch(c->pool);
        return err;
    }
    return n == 0 && clock_ms() >= deadline ? -ETIMEDOUT : 0;
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

/* Moves commands and responses until the connection is to end: 0, or why it was lost. */
static int serve(struct conn *c)
{
    int timeout = pool_config(c->pool)->timeout;
    c->serving = true;
    for (;;) {
        if (!c->ncmds && pool_should_release(c->pool, c) && c->box.name)
            conn_leave_box(c);
        take_work(c);
        if (!c->ncmds && pool_finished(c->pool, c)) {
            say_goodbye(c);
            return 0;
        }
        int64_t deadline = c->ncmds ? c->last_progress + timeout : INT64_MAX;
        int err = conn_pump(c, deadline);
        /* Bytes that came in the meantime may have moved the deadline. */
        if (err == -ETIMEDOUT && c->ncmds && clock_ms() < c->last_progress + timeout)
            continue;
        if (err)
            return err;
    }
}

static void close_conn(struct conn *c, int err)
{
    /* From the last to the first: each goes to the front of the queue, so they keep their order. */
    while (c->cmds) {
        struct cmd *last = c->cmds->prev;
        struct op *op = last->op;
        if (op) {
            orphan(c, op);
            pool_lost(c->pool, c, op, err);
        }
        remove_cmd(c, last);
    }
    c->selecting = NULL;
    c->serving = false;
    conn_forget_box(c);
    stream_close(&c->stream);
    buf_wipe_free(&c->out);
    buf_free(&c->in);
    buf_free(&c->reply.text);
    arena_free(&c->arena);
    c->out_at = c->in_at = 0;
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
        buf_free(&why);
        if (!err) {
            err = serve(c);
            if (err && err != -ECANCELED)
                log_warn("connection %u is lost: %s", c->index, strerror(-err));
        }
        close_conn(c, err ? err : -ENOTCONN);
        pool_disconnected(c->pool, c, err);
    }
}
