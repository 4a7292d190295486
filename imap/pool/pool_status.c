/* What .imapfs/status tells of the connections. */
#include <utlist.h>

#include "imap/pool/pool_state.h"

void pool_status(struct pool *p, struct buf *out)
{
    unsigned long long in = 0, sent = 0, commands = 0, connects = 0, wakeups = 0;
    unsigned waiting = 0;
    struct op *op;
    pthread_mutex_lock(&p->lock);
    DL_COUNT(p->queue, op, waiting);
    reconnect_status_locked(p, out);
    for (unsigned i = 0; i < p->nlanes; i++) {
        struct lane *l = &p->lanes[i];
        buf_addf(out, "connection %u: %s", i, lane_state_name(l->state));
        if (l->state == LANE_UP)
            buf_addf(out, ", %s, mailbox %s, operations %u%s",
                     l->facts.cipher[0] ? l->facts.cipher : "no TLS",
                     l->box.name ? l->box.name : "-", l->work.load,
                     l->watch.notified && l->watch.on ? ", told of changes (NOTIFY), at once (IDLE)"
                     : l->watch.notified              ? ", told of changes (NOTIFY)"
                     : l->watch.on                    ? ", told of changes (IDLE)"
                                                      : "");
        buf_addc(out, '\n');
        in += l->conn.counters.received;
        sent += l->conn.counters.sent;
        commands += l->conn.counters.commands;
        connects += l->conn.counters.connects;
        wakeups += l->conn.counters.wakeups;
    }
    buf_addf(out, "changes told at once: %s\n", prompt_proven(&p->prompt) ? "yes" : "not known");
    buf_addf(out, "capabilities: %s\npartial fetches: %s\n", p->lanes[0].facts.caps,
             pool_ignores_windows(p) ? "ignored by the server" : "yes");
    pthread_mutex_unlock(&p->lock);
    buf_addf(out,
             "operations waiting: %u\ncommands sent: %llu\nbytes received: %llu\n"
             "bytes sent: %llu\nconnections made: %llu\nwake-ups of connections: %llu\n",
             waiting, commands, in, sent, connects, wakeups);
}
