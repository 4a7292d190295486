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
    if (c->idle == state)
        return;
    log_debug("imap[%u] IDLE: %s -> %s", c->index, names[c->idle], names[state]);
    c->idle = state;
    if (state == IDLE_OFF)
        c->idle_tag = 0;
    pool_watching(c->pool, c);
}

void idle_done(struct conn *c)
{
    if (c->idle != IDLE_ON)
        return;
    conn_debug(c, ">", "DONE", 4);
    buf_adds(&c->out, "DONE\r\n");
    idle_become(c, IDLE_ENDING);
    c->last_progress = clock_ms();
    endless_begin(c);
}

bool idle_accepted(struct conn *c)
{
    if (c->idle != IDLE_ASKED)
        return false;
    idle_become(c, IDLE_ON);
    c->idle_since = clock_ms();
    pool_idle_works(c->pool);
    return true;
}

void idle_answered(struct conn *c, bool ok)
{
    c->no_idle |= !ok;
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
    if (c->idle == IDLE_ON) {
        if (now - c->idle_since >= SETTLED && now - c->known_at >= BURST)
            pool_idle_told(c->pool, c, c->known_at);
        c->known_at = now;
        return;
    }
    /* Only what nobody but the server can have caused. */
    bool looks = c->judged;
    for (const struct cmd *cmd = c->cmds; cmd && looks; cmd = cmd->next)
        looks = !cmd->op || cmd->op->kind == OP_CHECK;
    c->missed_some |= looks;
}

void idle_judge(struct conn *c)
{
    int64_t now = clock_ms();
    c->judged = c->idle == IDLE_ON && now - c->idle_since >= FAIR && now - c->known_at >= FAIR;
    c->missed_some = false;
}

void idle_known(struct conn *c)
{
    if (c->judged && c->missed_some)
        pool_idle_missed(c->pool);
    c->judged = false;
    c->known_at = clock_ms();
}

void idle_lost(struct conn *c)
{
    /* Not by idle_become(): pool_disconnected() tells that nothing is heard any more. */
    c->idle = IDLE_OFF;
    c->idle_tag = 0;
}

static bool may_idle(struct conn *c)
{
    return caps_has(&c->caps, CAP_IDLE) && !c->no_idle && pool_may_idle(c->pool) &&
           c->idle == IDLE_OFF && c->box.ready && pool_should_idle(c->pool, c);
}

void idle_quiet(struct conn *c)
{
    if (clock_ms() < idle_deadline(c))
        return; /* it has become later meanwhile */
    bool renew = clock_ms() >= c->quiet_since + RENEW;
    c->watched_for = c->quiet_since;
    if (may_idle(c)) {
        buf_adds(conn_begin(c, NULL, 0, WANT_NONE), "IDLE");
        conn_end(c);
        c->idle_tag = c->tag;
        idle_become(c, IDLE_ASKED);
    } else if (renew) {
        buf_adds(conn_begin(c, NULL, 0, WANT_NONE),
                 "NOOP"); /* ends an IDLE, too, which is begun anew */
        conn_end(c);
    }
}

int64_t idle_deadline(const struct conn *c)
{
    int64_t renew = c->quiet_since + RENEW;
    if (c->watched_for == c->quiet_since || !caps_has(&c->caps, CAP_IDLE) || c->idle == IDLE_ON)
        return renew;
    /* Also behind a pause that the server has asked for, what waits for its end comes first. */
    int64_t alone = pool_left_alone(c->pool);
    int64_t begin = (alone > c->quiet_since ? alone : c->quiet_since) + IDLE_AFTER;
    return begin < renew ? begin : renew;
}
