/* What each connection tells of itself, and what it is told to do. */
#include "imap/pool/lane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/conn/owner.h"
#include "imap/conn/trace.h"
#include "imap/pool/pool_state.h"

enum { RESTLESS_PAUSE = 1000 }; /* ms; SELECTs with less between them follow each other closely */

const char *lane_state_name(enum lane_state state)
{
    static const char *const names[] = {
        [LANE_DOWN] = "down", [LANE_CONNECTING] = "connecting", [LANE_UP] = "up"};
    return names[state];
}

void lane_become_locked(struct lane *l, enum lane_state state)
{
    if (l->state == state)
        return;
    conn_debug_state(&l->conn, "connection", lane_state_name(l->state), lane_state_name(state));
    l->state = state;
}

void lane_wake(struct lane *l)
{
    uint64_t one = 1;
    if (write(l->conn.wake, &one, sizeof one) < 0 && errno != EAGAIN)
        log_error("cannot wake connection %u: %s", l->conn.index, strerror(errno));
}

/* ---- connecting ---- */

enum pool_advice pool_advise(struct pool *p, struct conn *c)
{
    struct lane *l = lane_of(p, c);
    enum pool_advice advice = POOL_WAIT;
    struct op *failed = NULL;
    pthread_mutex_lock(&p->lock);
    int err = p->outage.err ? p->outage.err : -ENOTCONN;
    bool usable = reconnect_usable_locked(p, l);
    if (p->life >= LIFE_STOPPING) {
        advice = POOL_STOP;
    } else if (pool_closes_locked(p) &&
               (!p->queue || reconnect_others_alive_locked(p, l) || !usable)) {
        advice = POOL_STOP;
    } else if (c->index == 0 && !p->first.tried) {
        advice = POOL_CONNECT;
    } else if (l->line.warm || l->line.notify_lost || dispatch_needed_locked(p, l) ||
               (l->line.wanted && p->queue)) {
        if (usable)
            advice = POOL_CONNECT;
        else
            failed = reconnect_doomed_locked(p, l);
    }
    if (advice == POOL_CONNECT) {
        lane_become_locked(l, LANE_CONNECTING);
        l->line.tried_at = clock_ms();
        l->line.warm = false;
    }
    l->line.wanted = false;
    pthread_mutex_unlock(&p->lock);
    queue_fail(failed, queue_errno(err));
    return advice;
}

int pool_patience(struct pool *p, struct conn *c)
{
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    int patience = reconnect_patience_locked(p, l);
    pthread_mutex_unlock(&p->lock);
    return patience;
}

int64_t pool_connect_deadline(struct pool *p)
{
    int64_t now = clock_ms();
    int64_t deadline = now + p->config->timeout;
    struct op *op;
    pthread_mutex_lock(&p->lock);
    DL_FOREACH (p->queue, op) {
        if (!op->patient && op->submitted + p->config->timeout < deadline)
            deadline = op->submitted + p->config->timeout;
    }
    pthread_mutex_unlock(&p->lock);
    return deadline > now + 1000 ? deadline : now + 1000;
}

void pool_connected(struct pool *p, struct conn *c, int err, const char *why)
{
    struct lane *l = lane_of(p, c);
    struct op *failed = NULL;
    struct buf line = {0};
    pthread_mutex_lock(&p->lock);
    bool first = c->index == 0 && !p->first.tried;
    if (!err) {
        reconnect_tell_done_locked(p, &line);
        reconnect_done_locked(p, l);
        l->line.notify_lost &= c->session.notify_tag != 0;
        snprintf(l->facts.cipher, sizeof l->facts.cipher, "%s", stream_cipher(c->wire.stream));
        memcpy(l->facts.caps, c->caps.text, sizeof l->facts.caps);
        if (first)
            snprintf(l->facts.personal, sizeof l->facts.personal, "%s", c->session.personal);
        if (first)
            l->facts.only_personal = c->session.only_personal;
    } else {
        reconnect_failed_locked(p, l, err, why);
        if (!first)
            reconnect_tell_failed_locked(p, l, err, why, &line);
        l->line.notify_lost &= err != -EACCES;
        failed = reconnect_doomed_locked(p, l);
    }
    if (p->queue || p->lanes[0].line.notify_lost)
        dispatch_wake_all_locked(p); /* go on with fewer, or with more */
    if (first) {
        p->first.tried = true;
        p->first.err = err;
        buf_adds(&p->first.why, why);
        pthread_cond_broadcast(&p->opened);
    }
    pthread_mutex_unlock(&p->lock);
    if (err && !first)
        log_debug("imap[%u] cannot connect: %s", c->index, why);
    if (err && line.len)
        log_warn("%s", buf_str(&line));
    else if (line.len)
        log_info("%s", buf_str(&line));
    buf_free(&line);
    queue_fail(failed, queue_errno(err));
}

void pool_disconnected(struct pool *p, struct conn *c, int err, const char *why)
{
    struct lane *l = lane_of(p, c);
    struct buf line = {0};
    pthread_mutex_lock(&p->lock);
    reconnect_lost_locked(p, l, err);
    reconnect_tell_lost_locked(p, l, err, why, &line);
    bool deaf = l->watch.heard && !pool_closes_locked(p);
    l->line.notify_lost |= l->watch.notified && err;
    l->watch.on = l->watch.asking = l->watch.notified = l->watch.heard = l->asked.watch = false;
    l->work.emptying = false;
    if (p->queue)
        dispatch_wake_all_locked(p);
    pthread_mutex_unlock(&p->lock);
    if (err && *why)
        log_debug("imap[%u] is lost: %s", c->index, why);
    if (line.len)
        log_warn("%s", buf_str(&line));
    buf_free(&line);
    if (deaf)
        p->events->deaf(p->ctx);
}

/* ---- the selected mailbox ---- */

void lane_opens_locked(struct lane *l, const char *mailbox)
{
    free(l->box.opening);
    l->box.opening = mailbox ? mem_strdup(mailbox) : NULL;
}

/* `l` has just selected its mailbox: whoever has it selected in another life sees one that is no
 * more, and is not to be asked about it again before it has selected it anew. */
static void outdate_others_locked(struct pool *p, const struct lane *l)
{
    for (unsigned i = 0; i < p->nlanes; i++) {
        struct lane *o = &p->lanes[i];
        if (o == l || !o->box.name || strcmp(o->box.name, l->box.name) != 0 || !o->box.validity ||
            !l->box.validity || o->box.validity == l->box.validity)
            continue;
        o->asked.reselect = true;
        free(o->box.name);
        o->box.name = NULL;
        lane_wake(o);
    }
}

void pool_selected(struct pool *p, struct conn *c, const char *mailbox, uint32_t uidvalidity,
                   bool write)
{
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    if (mailbox)
        lane_opens_locked(l, NULL);
    watch_leave_locked(p, l);
    free(l->box.name);
    l->box.name = mailbox ? mem_strdup(mailbox) : NULL;
    l->box.validity = uidvalidity;
    l->box.write = write;
    l->asked.unselect = l->asked.reselect = false;
    l->box.own_at = 0;
    if (mailbox) {
        outdate_others_locked(p, l);
        int64_t now = l->box.selected_at = clock_ms();
        p->selects = now - p->selected_at < RESTLESS_PAUSE ? p->selects + 1 : 0;
        p->selected_at = now;
    }
    pthread_mutex_unlock(&p->lock);
}

void pool_unselect(struct pool *p, struct conn *self, const char *mailbox, char delim)
{
    size_t n = strlen(mailbox);
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->nlanes; i++) {
        struct lane *l = &p->lanes[i];
        if (&l->conn == self || !l->box.name || strncmp(l->box.name, mailbox, n) != 0 ||
            (l->box.name[n] && l->box.name[n] != delim))
            continue;
        l->asked.unselect = true;
        free(l->box.name); /* nothing more for this mailbox before it is selected anew */
        l->box.name = NULL;
        lane_wake(l);
    }
    pthread_mutex_unlock(&p->lock);
}
