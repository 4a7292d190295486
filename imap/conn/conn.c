/* The thread of a connection: it has work done as long as the connection lasts. */
#include "imap/conn/conn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/conn/receive.h"
#include "imap/conn/send.h"

/* ---- operations ---- */

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
    uint32_t uid = op_class(op)->select ? op_highest_uid(op) : 0;
    if (!uid)
        return;
    if (!c->box.just_selected && uid >= c->box.heard && uid >= c->box.state.uidnext) {
        buf_adds(conn_begin(c, NULL, 0, WANT_NONE), "NOOP");
        conn_end(c);
    }
    box_heard(c, uid);
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

/* Begins an operation that was taken, or ends it where it cannot be done here. `refused`: the
 * server asks for a pause that is longer than anyone should wait. */
static void begin_op(struct conn *c, struct op *op, bool refused)
{
    const struct op_class *class = op_class(op);
    bool write = op_writes(op);
    if (write && pool_config(c->pool)->read_only)
        conn_finish(c, op, -EROFS);
    else if (refused)
        conn_finish(c, op, -EBUSY);
    else if (op_streams(op) && c->index == 0)
        conn_finish(c, op, -ECANCELED); /* there is no other: this one is not to be blocked */
    else if (class->write && box_fits(c, op, write) && c->box.read_only)
        conn_finish(c, op, -EACCES);
    else if (class->select && !box_fits(c, op, write))
        conn_select(c, op, write || (class->lists && !pool_config(c->pool)->read_only));
    else if (class->select && box_other_validity(c, op) && conn_busy(c))
        conn_finish(c, op, c->box.select == SELECT_DOUBTED ? -EBUSY : -ESTALE);
    else if (class->select && box_other_validity(c, op))
        conn_select(c, op, write); /* one of the two views is old: look again */
    else
        conn_start(c, op);
}

/* ---- the thread ---- */

int conn_pump(struct conn *c, int64_t deadline)
{
    int err = send_flush(c);
    if (err)
        return err;
    struct pollfd p[3] = {
        {.fd = stream_fd(c->wire.stream), .events = stream_events(c->wire.stream, send_pending(c))},
        {.fd = pool_stop_fd(c->pool), .events = POLLIN},
        {.fd = c->session.state == SESSION_OPEN ? c->wake : -1, .events = POLLIN},
    };
    /* Left unread, it fills the socket, and then the server waits. */
    bool hold = flow_held(c);
    if (hold)
        p[0].events &= (short)~POLLIN;
    /* What is already here is not announced by poll(2). */
    bool pending = !hold && stream_pending(c->wire.stream);
    int64_t left = pending ? 0 : deadline - clock_ms();
    int n = poll(p, 3, left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left);
    c->counters.wakeups++;
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
        err = receive_some(c);
        pool_batch(c->pool);
        return err;
    }
    if (n != 0 || clock_ms() < deadline)
        return 0;
    send_note(c);
    return -ETIMEDOUT; /* conn.last_progress may have become later than the caller knows */
}

static void say_goodbye(struct conn *c)
{
    int64_t deadline = clock_ms() + 2000; /* a courtesy: the server may be gone */
    session_become(c, SESSION_LOGOUT);
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
        int64_t silent = c->clocks.progress_at + timeout, endless = endless_deadline(c);
        return silent < endless ? silent : endless;
    }
    return idle_deadline(c);
}

/* After the machine slept, what is between here and the server may have forgotten the connection,
 * and only time would tell. While nobody waits for an answer, a new one costs less. */
static bool distrusted(struct conn *c)
{
    if (c->session.state != SESSION_OPEN || !clock_slept_since(&c->clocks.slept))
        return false;
    for (const struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        if (cmd->op)
            return false;
    log_debug("imap[%u] is made anew, since the machine slept", c->index);
    return true;
}

/* Does what the pool has for this connection, as much as fits; returns what is left to be known. */
static struct turn take_turn(struct conn *c)
{
    for (;;) {
        bool takes = !c->selecting && c->idle.state != IDLE_ASKED;
        struct turn turn = pool_turn(c->pool, c, takes, conn_busy(c));
        if (turn.unselect && c->box.name)
            conn_leave_box(c);
        if (turn.reselect)
            box_doubt(c);
        if (turn.watch)
            c->idle.considered = 0; /* IDLE is thought of once more */
        c->idle.not_before = turn.willing_at;
        if (!turn.op)
            return turn;
        begin_op(c, turn.op, turn.refused);
    }
}

/* Moves commands and responses until the connection is to end: 0, or why it was lost. */
static int serve(struct conn *c)
{
    int timeout = pool_config(c->pool)->timeout;
    session_become(c, SESSION_OPEN);
    c->clocks.answered_at = clock_ms();
    stall_heard(c);
    for (;;) {
        if (distrusted(c))
            return -ENETRESET;
        if (clock_ms() >= stall_deadline(c))
            stall_pass_on(c);
        struct turn turn = take_turn(c);
        if (turn.finished) {
            if (conn_busy(c) && only_ops(c))
                return -ECANCELED; /* what is under way only asks */
            if (!conn_busy(c)) {
                say_goodbye(c);
                return 0;
            }
        }
        bool hold = flow_held(c);
        int64_t deadline = next_deadline(c, timeout), stall = stall_deadline(c);
        deadline = stall < deadline ? stall : deadline;
        int err = conn_pump(c, turn.due < deadline ? turn.due : deadline);
        if (err == -ETIMEDOUT && clock_ms() < deadline)
            err = 0; /* something in the queue has its time */
        if (hold) {  /* until now it was not the server that was awaited */
            c->clocks.progress_at = clock_ms();
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
        if (err == -ETIMEDOUT && clock_ms() < c->clocks.progress_at + timeout)
            continue;
        if (err == -ETIMEDOUT && c->idle.state == IDLE_ASKED)
            pool_idle_unanswered(c->pool, c->clocks.answered_at);
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
        cmd_remove(c, last);
    }
    if (c->session.enable_tag && err == -ECONNRESET)
        pool_hangs_up(c->pool, EXTRA_ENABLE);
    session_forget(c);
    flow_drop(c);
    send_drop_literal(c);
    c->selecting = NULL;
    session_become(c, SESSION_CLOSED);
    c->stall.silent_since = 0;
    conn_forget_box(c);
    stream_close(&c->wire.stream);
    buf_wipe_free(&c->wire.out);
    buf_free(&c->wire.in);
    buf_free(&c->session.reply.text);
    buf_free(&c->session.words);
    secrets_free(&c->session.secrets);
    arena_free(&c->wire.arena);
    c->wire.out_at = c->wire.in_at = c->wire.unsent = 0;
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
    if (c->session.state == SESSION_BYE)
        buf_addf(why, "the server ends it: %s", buf_str(&c->session.reply.text));
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
