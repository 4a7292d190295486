#include "imap/conn/endless.h"

#include <errno.h>
#include <inttypes.h>

#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/conn/handler.h"
#include "imap/conn/owner.h"

/* Every message of the mailbox may be told of a few times: asked for, flagged, expunged. */
enum { TIMES = 4 };

/* While a mailbox is opened, the first few numbers of messages may be of the one before it. */
enum { OPENS = 4 };

static uint64_t room(uint32_t exists)
{
    return LIMIT_UNTAGGED + (uint64_t)TIMES * exists;
}

void endless_begin(struct conn *c)
{
    c->endless = (struct endless){.room = room(c->box.state.exists), .news_at = clock_ms()};
}

void endless_news(struct conn *c)
{
    c->endless.news_at = clock_ms();
}

void endless_row(struct conn *c, uint32_t seq)
{
    bool other = seq != c->endless.row && seq <= c->box.state.exists;
    c->endless.row = seq;
    if (other && c->endless.rows++ < c->box.state.exists)
        endless_news(c);
}

void endless_opens(struct conn *c, uint32_t exists)
{
    if (c->endless.opens++ < OPENS)
        c->endless.room = room(exists);
}

int endless_line(struct conn *c)
{
    if (c->session.state != SESSION_OPEN || !conn_busy(c))
        return 0;
    c->endless.lines++;
    uint64_t most = c->endless.room;
    const struct op *list = conn_wanting(c, WANT_LIST);
    if (list && list->kind == OP_LIST)
        most += LIMIT_MAILBOXES;
    return c->endless.lines <= most ? 0 : endless_give_up(c);
}

int64_t endless_deadline(const struct conn *c)
{
    return c->endless.news_at +
           (int64_t)LIMIT_TIMEOUTS_WITHOUT_NEWS * pool_config(c->pool)->timeout;
}

int endless_give_up(struct conn *c)
{
    struct cmd *cmd = c->cmds;
    while (cmd->next && !cmd->op)
        cmd = cmd->next;
    struct op *op = cmd->op;
    log_error("connection %u is given up: %s%sthe answer to %s has no end, %" PRIu64
              " responses and %" PRId64 " s without anything new",
              c->index, op && op->mailbox ? op->mailbox : "", op && op->mailbox ? ": " : "",
              cmd->name, c->endless.lines, (clock_ms() - c->endless.news_at) / 1000);
    if (op && op_only_asks(op))
        conn_finish(c, op, -EPROTO);
    return -EPROTO;
}
