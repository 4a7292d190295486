/* A command that is not answered. What was sent behind it on its connection waits for it, perhaps
 * as long as `timeout`; but another connection may well be served. So after a while of silence
 * nothing more is begun here, what only asks is asked elsewhere, and only the one in front
 * gives up in the end. */
#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/conn/conn.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"
#include "imap/conn/stall.h"

void stall_begin(struct conn *c)
{
    if (!conn_busy(c))
        c->stall.silent_since = clock_ms();
}

void stall_heard(struct conn *c)
{
    c->stall.silent_since = conn_busy(c) ? clock_ms() : 0;
}

int64_t stall_deadline(const struct conn *c)
{
    int64_t since = c->stall.silent_since;
    if (!since || since == c->stall.passed_on || flow_held(c))
        return INT64_MAX;
    return since + pool_silence(c->pool);
}

/* Is it lost time only, if it is asked once more elsewhere? Twice is enough, since then it is
 * perhaps the server that is slow. */
static bool may_pass_on(const struct conn *c, const struct op *op)
{
    const struct op_class *class = op_class(op);
    return op_only_asks(op) && !class->searches && !class->alone && !op_streams(op) &&
           !op_handed_on(op) && op != c->selecting && op != c->flow.op && op->passed_on < 2;
}

static void give_up(struct conn *c, const struct op *op)
{
    for (struct cmd *cmd = c->cmds; cmd; cmd = cmd->next)
        cmd->given_up |= cmd->op == op;
    conn_orphan(c, op);
}

void stall_pass_on(struct conn *c)
{
    static struct log_limit told = LOG_LIMIT("commands that were not answered for a while");
    const struct op *front = c->cmds->op;
    /* A set whose next message does not come ends with what has come: who waits for another one of
     * it asks for that alone. */
    struct op *set = front && op_may_end(front) ? c->cmds->op : NULL;
    unsigned n = 0;
    c->stall.passed_on = c->stall.silent_since;
    if (!pool_has_others(c->pool, c))
        return;
    /* From the last to the first: each goes to the front of the queue, so they keep their order. */
    struct cmd *cmd = c->cmds->prev;
    for (; cmd != c->cmds; cmd = cmd->prev) {
        struct op *op = cmd->op;
        if (!op || op == front || !may_pass_on(c, op))
            continue;
        give_up(c, op);
        op->passed_on++;
        pool_pass_on(c->pool, c, op);
        n++;
    }
    if ((n || set) && log_may(&told))
        log_info("connection %u: %s is not answered; what waits behind it is asked elsewhere",
                 c->index, c->cmds->name);
    if (set) {
        give_up(c, set);
        conn_finish(c, set, 0);
    }
}
