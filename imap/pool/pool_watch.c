/* Which connections are told of changes, and how far that can be relied on. */
#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/conn/owner.h"
#include "imap/pool/pool_state.h"

enum { NO_IDLE = 60 * 60 * 1000 }; /* ms without IDLE from a server that does not answer it */

bool pool_may_idle(const struct pool *p)
{
    return clock_ms() >= p->no_idle_until;
}

void pool_idle_works(struct pool *p)
{
    p->idle_works = true;
}

void pool_idle_unanswered(struct pool *p, int64_t heard)
{
    if (p->idle_works || !pool_may_idle(p))
        return;
    long long never = 0;
    if (atomic_compare_exchange_strong(&p->idle_unanswered_at, &never, clock_ms()) ||
        heard <= p->idle_unanswered_at)
        return; /* perhaps nothing would have been answered, whatever it was */
    p->no_idle_until = clock_ms() + NO_IDLE;
    log_warn("the server does not answer IDLE: for an hour, changes are only looked for (poll=)");
}

void watch_leave_locked(struct pool *p, const struct conn *c)
{
    for (unsigned i = 0; i < p->nconns; i++) {
        struct conn *o = &p->conns[i];
        if (o == c || o->status != CONN_UP || !o->box_name || !c->box_name ||
            strcmp(o->box_name, c->box_name) != 0)
            continue;
        o->take_over = true;
        sched_wake_conn(o);
    }
}

void pool_notified(struct pool *p, struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    c->missed = false;
    pthread_mutex_unlock(&p->lock);
    pool_watching(p, c);
}

void pool_watching(struct pool *p, struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    c->watching = c->idle == IDLE_ON && !c->box.doubt;
    c->asking = c->idle == IDLE_ASKED;
    c->notified_published = c->notified;
    c->heard |= c->idle == IDLE_ON || c->notified;
    pthread_mutex_unlock(&p->lock);
}

bool pool_takes_over(struct pool *p, struct conn *c)
{
    pthread_mutex_lock(&p->lock);
    bool take_over = c->take_over;
    c->take_over = false;
    pthread_mutex_unlock(&p->lock);
    return take_over;
}

int64_t pool_hears(struct pool *p, const char *mailbox)
{
    int64_t since = INT64_MAX;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->nconns; i++) {
        const struct conn *c = &p->conns[i];
        if (c->watching && c->box_name && strcmp(c->box_name, mailbox) == 0 &&
            c->selected_at < since)
            since = c->selected_at;
    }
    pthread_mutex_unlock(&p->lock);
    return since;
}

void pool_idle_told(struct pool *p, const struct conn *c, int64_t since)
{
    pthread_mutex_lock(&p->lock);
    prompt_told(&p->prompt, c->own_at > since ? c->own_at : since, clock_ms());
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
    pthread_mutex_lock(&p->lock);
    int64_t now = p->prompt.own_at = clock_ms();
    for (unsigned i = 0; i < p->nconns; i++) {
        struct conn *c = &p->conns[i];
        if (c != self && c->watching && c->box_name &&
            ((op->dest && strcmp(c->box_name, op->dest) == 0) ||
             (op->mailbox && strcmp(c->box_name, op->mailbox) == 0)))
            c->own_at = now;
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
    for (unsigned i = 0; i < p->nconns; i++)
        notified |= p->conns[i].status == CONN_UP && p->conns[i].notified_published;
    notified &= p->nconns && p->conns[0].only_personal_published;
    pthread_mutex_unlock(&p->lock);
    return notified;
}

bool pool_should_idle(struct pool *p, const struct conn *c)
{
    bool should = true;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->nconns; i++) {
        const struct conn *o = &p->conns[i];
        if (o == c || o->status != CONN_UP || !o->watching)
            continue;
        if (o->box_name && strcmp(o->box_name, c->box.name) == 0)
            should = false;
    }
    pthread_mutex_unlock(&p->lock);
    return should;
}
