/* Commands: how they are begun and written, and which of them are in flight. */
#include "imap/conn/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/mem.h"
#include "imap/conn/conn.h"
#include "imap/conn/trace.h"

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
        c->clocks.progress_at = clock_ms(); /* until now there was nothing to wait for */
        endless_begin(c);
    }
    DL_APPEND(c->cmds, cmd);
    c->ncmds++;
    return cmd;
}

void cmd_remove(struct conn *c, struct cmd *cmd)
{
    DL_DELETE(c->cmds, cmd);
    c->ncmds--;
    c->clocks.answered_at = clock_ms();
    free(cmd->select);
    free(cmd);
}

void conn_forget_cmds(struct conn *c)
{
    while (c->cmds)
        cmd_remove(c, c->cmds);
    c->session.enable_tag = c->session.notify_tag = 0;
}

struct buf *conn_begin(struct conn *c, struct op *op, int step, enum want want)
{
    stall_begin(c);
    idle_done(c);
    struct cmd *cmd = add_cmd(c, op, step, want);
    c->wire.cmd_start = c->wire.out.len;
    buf_addf(&c->wire.out, "A%u ", cmd->tag);
    return &c->wire.out;
}

/* The first word behind the tag, or UID and the one behind it. */
static void name_cmd(struct conn *c)
{
    struct cmd *cmd = c->cmds->prev;
    const char *name = strchr(buf_str(&c->wire.out) + c->wire.cmd_start, ' ') + 1;
    size_t uid = strncmp(name, "UID ", 4) == 0 ? 4 : 0;
    snprintf(cmd->name, sizeof cmd->name, "%.*s", (int)(uid + strcspn(name + uid, " ")), name);
}

void conn_end(struct conn *c)
{
    name_cmd(c);
    conn_debug(c, ">", c->wire.out.data + c->wire.cmd_start, c->wire.out.len - c->wire.cmd_start);
    buf_adds(&c->wire.out, "\r\n");
    c->counters.commands++;
}

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

bool conn_busy(const struct conn *c)
{
    return c->ncmds > (c->idle.state == IDLE_ON ? 1u : 0u);
}
