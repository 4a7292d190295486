/* What .imapfs/status tells of the connections. */
#include <utlist.h>

#include "imap/pool/pool_state.h"

void pool_status(struct pool *p, struct buf *out)
{
    static const char *const states[] = {
        [CONN_DOWN] = "down", [CONN_CONNECTING] = "connecting", [CONN_UP] = "up"};
    unsigned long long in = 0, sent = 0, commands = 0, connects = 0, wakeups = 0;
    unsigned waiting = 0;
    struct op *op;
    pthread_mutex_lock(&p->lock);
    DL_COUNT(p->queue, op, waiting);
    reconnect_status_locked(p, out);
    for (unsigned i = 0; i < p->nconns; i++) {
        struct conn *c = &p->conns[i];
        buf_addf(out, "connection %u: %s", i, states[c->status]);
        if (c->status == CONN_UP)
            buf_addf(out, ", %s, mailbox %s, operations %u%s", c->cipher[0] ? c->cipher : "no TLS",
                     c->box_name ? c->box_name : "-", c->load,
                     c->notified_published ? ", told of changes (NOTIFY)"
                     : c->watching         ? ", told of changes (IDLE)"
                                           : "");
        buf_addc(out, '\n');
        in += c->bytes_in;
        sent += c->bytes_out;
        commands += c->commands;
        connects += c->connects;
        wakeups += c->wakeups;
    }
    buf_addf(out, "changes told at once: %s\n", prompt_proven(&p->prompt) ? "yes" : "not known");
    buf_addf(out, "capabilities: %s\npartial fetches: %s\n", p->conns[0].caps_published,
             pool_ignores_windows(p) ? "ignored by the server" : "yes");
    pthread_mutex_unlock(&p->lock);
    buf_addf(out,
             "operations waiting: %u\ncommands sent: %llu\nbytes received: %llu\n"
             "bytes sent: %llu\nconnections made: %llu\nwake-ups of connections: %llu\n",
             waiting, commands, in, sent, connects, wakeups);
}
