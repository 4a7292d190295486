/* Which connections are told of changes, and how far that can be relied on. */
#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/conn/owner.h"
#include "imap/pool/pool_state.h"

enum { NO_IDLE = 60 * 60 * 1000 }; /* ms without IDLE from a server that does not answer it */

bool pool_may_idle(const struct pool *p)
{
    return clock_ms() >= p->found.no_idle_until;
}

void pool_idle_works(struct pool *p)
{
    p->found.idle_works = true;
}

void pool_idle_unanswered(struct pool *p, int64_t heard)
{
    if (p->found.idle_works || !pool_may_idle(p))
        return;
    long long never = 0;
    if (atomic_compare_exchange_strong(&p->found.idle_unanswered_at, &never, clock_ms()) ||
        heard <= p->found.idle_unanswered_at)
        return; /* perhaps nothing would have been answered, whatever it was */
    p->found.no_idle_until = clock_ms() + NO_IDLE;
    log_warn("the server does not answer IDLE: for an hour, changes are only looked for (poll=)");
}

void watch_leave_locked(struct pool *p, const struct lane *l)
{
    for (unsigned i = 0; i < p->nlanes; i++) {
        struct lane *o = &p->lanes[i];
        if (o == l || o->state != LANE_UP || !o->box.name || !l->box.name ||
            strcmp(o->box.name, l->box.name) != 0)
            continue;
        o->asked.watch = true;
        lane_wake(o);
    }
}

void pool_notified(struct pool *p, struct conn *c)
{
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    l->line.notify_lost = false;
    pthread_mutex_unlock(&p->lock);
    pool_watching(p, c);
}

void pool_watching(struct pool *p, struct conn *c)
{
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    l->watch.on = c->idle.state == IDLE_ON && c->box.select != SELECT_DOUBTED;
    l->watch.asking = c->idle.state == IDLE_ASKED;
    l->watch.notified = c->session.notified;
    l->watch.heard |= c->idle.state == IDLE_ON || c->session.notified;
    pthread_mutex_unlock(&p->lock);
}

int64_t pool_hears(struct pool *p, const char *mailbox)
{
    int64_t since = INT64_MAX;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->nlanes; i++) {
        const struct lane *l = &p->lanes[i];
        if (l->watch.on && l->box.name && strcmp(l->box.name, mailbox) == 0 &&
            l->box.selected_at < since)
            since = l->box.selected_at;
    }
    pthread_mutex_unlock(&p->lock);
    return since;
}

void pool_idle_told(struct pool *p, const struct conn *c, int64_t since)
{
    struct lane *l = lane_of(p, c);
    pthread_mutex_lock(&p->lock);
    prompt_told(&p->prompt, l->box.own_at > since ? l->box.own_at : since, clock_ms());
    pthread_mutex_unlock(&p->lock);
}

void pool_idle_missed(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    prompt_missed(&p->prompt, clock_ms());
    pthread_mutex_unlock(&p->lock);
}

void pool_own_change(struct pool *p, const struct conn *self, const struct op *op)
{
    const char *dest = op->kind == OP_MOVE ? op_as_move(op)->dest : NULL;
    pthread_mutex_lock(&p->lock);
    int64_t now = p->prompt.own_at = clock_ms();
    for (unsigned i = 0; i < p->nlanes; i++) {
        struct lane *l = &p->lanes[i];
        if (&l->conn != self && l->watch.on && l->box.name &&
            ((dest && strcmp(l->box.name, dest) == 0) ||
             (op->mailbox && strcmp(l->box.name, op->mailbox) == 0)))
            l->box.own_at = now;
    }
    pthread_mutex_unlock(&p->lock);
}

bool pool_tells_at_once(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    bool proven = prompt_proven(&p->prompt);
    pthread_mutex_unlock(&p->lock);
    return proven;
}

bool pool_tells_all(struct pool *p)
{
    bool notified = false;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->nlanes; i++)
        notified |= p->lanes[i].state == LANE_UP && p->lanes[i].watch.notified;
    notified &= p->nlanes && p->lanes[0].facts.only_personal;
    pthread_mutex_unlock(&p->lock);
    return notified;
}

bool pool_should_idle(struct pool *p, const struct conn *c)
{
    bool should = true;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->nlanes; i++) {
        const struct lane *o = &p->lanes[i];
        if (&o->conn == c || o->state != LANE_UP || !o->watch.on)
            continue;
        if (o->box.name && strcmp(o->box.name, c->box.name) == 0)
            should = false;
    }
    pthread_mutex_unlock(&p->lock);
    return should;
}
