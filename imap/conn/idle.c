/* IDLE (RFC 2177): how a connection that has nothing to do hears of changes in its mailbox. */
#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/conn/conn.h"
#include "imap/conn/owner.h"
#include "imap/conn/trace.h"

enum {
    IDLE_AFTER = 250,      /* ms without work before IDLE: work often comes in bursts */
    RENEW = 25 * 60 * 1000 /* ms: servers log out who is silent for 30 minutes (RFC 2177) */
};

static void idle_become(struct conn *c, enum idle_state state)
{
    static const char *const names[] = {
        [IDLE_OFF] = "OFF",
        [IDLE_ASKED] = "ASKED",
        [IDLE_ON] = "ON",
        [IDLE_ENDING] = "ENDING",
    };
    if (c->idle.state == state)
        return;
    conn_debug_state(c, "IDLE", names[c->idle.state], names[state]);
    c->idle.state = state;
    if (state == IDLE_OFF)
        c->idle.tag = 0;
    pool_watching(c->pool, c);
}

void idle_done(struct conn *c)
{
    if (c->idle.state != IDLE_ON)
        return;
    conn_debug(c, ">", "DONE", 4);
    buf_adds(&c->wire.out, "DONE\r\n");
    idle_become(c, IDLE_ENDING);
    c->clocks.progress_at = clock_ms();
    endless_begin(c);
}

bool idle_accepted(struct conn *c)
{
    if (c->idle.state != IDLE_ASKED)
        return false;
    idle_become(c, IDLE_ON);
    c->idle.since = clock_ms();
    pool_idle_works(c->pool);
    return true;
}

void idle_answered(struct conn *c, bool ok)
{
    c->idle.refused |= !ok;
    idle_become(c, IDLE_OFF);
}

/* ---- how soon it is told ---- */

enum {
    SETTLED = 500, /* ms of IDLE: with its beginning may come what had happened before */
    BURST = 200,   /* ms in which changes are told together */
    FAIR = 2000,   /* ms that a server has had time to tell */
};

void idle_news(struct conn *c)
{
    int64_t now = clock_ms();
    if (c->idle.state == IDLE_ON) {
        if (now - c->idle.since >= SETTLED && now - c->idle.known_at >= BURST)
            pool_idle_told(c->pool, c, c->idle.known_at);
        c->idle.known_at = now;
        return;
    }
    /* Only what nobody but the server can have caused. */
    bool looks = c->idle.judged;
    for (const struct cmd *cmd = c->cmds; cmd && looks; cmd = cmd->next)
        looks = !cmd->op || cmd->op->kind == OP_CHECK;
    c->idle.missed |= looks;
}

void idle_judge(struct conn *c)
{
    int64_t now = clock_ms();
    c->idle.judged =
        c->idle.state == IDLE_ON && now - c->idle.since >= FAIR && now - c->idle.known_at >= FAIR;
    c->idle.missed = false;
}

void idle_known(struct conn *c)
{
    if (c->idle.judged && c->idle.missed)
        pool_idle_missed(c->pool);
    c->idle.judged = false;
    c->idle.known_at = clock_ms();
}

void idle_lost(struct conn *c)
{
    /* Not by idle_become(): pool_disconnected() tells that nothing is heard any more. */
    c->idle.state = IDLE_OFF;
    c->idle.tag = 0;
}

static bool may_idle(struct conn *c)
{
    return caps_has(&c->caps, CAP_IDLE) && !c->idle.refused && pool_may_idle(c->pool) &&
           c->idle.state == IDLE_OFF && box_is_open(&c->box) && pool_should_idle(c->pool, c);
}

void idle_quiet(struct conn *c)
{
    c->idle.not_before = pool_willing_at(c->pool);
    if (clock_ms() < idle_deadline(c))
        return; /* it has become later meanwhile */
    bool renew = clock_ms() >= c->clocks.answered_at + RENEW;
    c->idle.considered = c->clocks.answered_at;
    if (may_idle(c)) {
        buf_adds(conn_begin(c, NULL, 0, WANT_NONE), "IDLE");
        conn_end(c);
        c->idle.tag = c->tag;
        idle_become(c, IDLE_ASKED);
    } else if (renew) {
        buf_adds(conn_begin(c, NULL, 0, WANT_NONE),
                 "NOOP"); /* ends an IDLE, too, which is begun anew */
        conn_end(c);
    }
}

int64_t idle_deadline(const struct conn *c)
{
    int64_t renew = c->clocks.answered_at + RENEW;
    if (c->idle.considered == c->clocks.answered_at || !caps_has(&c->caps, CAP_IDLE) ||
        c->idle.state == IDLE_ON)
        return renew;
    /* Also behind a pause that the server has asked for, what waits for its end comes first. */
    int64_t answered = c->clocks.answered_at, pause = c->idle.not_before;
    int64_t begin = (pause > answered ? pause : answered) + IDLE_AFTER;
    return begin < renew ? begin : renew;
}
