/* Whether and when the server is connected to. What fails holds back all connections that are down,
 * not only the one that failed: they have the same server and the same password. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "imap/base/backoff.h"
#include "imap/base/clock.h"
#include "imap/pool/pool_state.h"

enum {
    SHORT_LIFE = 2000,           /* ms; a connection that lives less is a sign of trouble */
    BRIEF = 2 * BACKOFF_LONGEST, /* ms; the next sign of it that comes later begins a new row */
    DENIED = 60000,              /* ms after a refused login: never hammer */
};

/* ---- who is there ---- */

static bool any_locked(const struct pool *p, const struct conn *but, bool up)
{
    for (unsigned i = 0; i < p->nconns; i++)
        if (&p->conns[i] != but &&
            (up ? p->conns[i].status == CONN_UP : p->conns[i].status != CONN_DOWN))
            return true;
    return false;
}

bool reconnect_others_up_locked(const struct pool *p, const struct conn *c)
{
    return any_locked(p, c, true);
}

bool reconnect_others_alive_locked(const struct pool *p, const struct conn *c)
{
    return any_locked(p, c, false);
}

static bool connecting_locked(const struct pool *p)
{
    for (unsigned i = 0; i < p->nconns; i++)
        if (p->conns[i].status == CONN_CONNECTING)
            return true;
    return false;
}

/* ---- when ---- */

/* After a connection was lost soon after its login, the next login says little: until when is it to
 * be seen whether that one lives? 0: one does, or there is none to be watched. */
static int64_t trial_end_locked(const struct pool *p)
{
    int64_t now = clock_ms(), end = 0;
    if (!p->brief || now - p->brief_at >= BRIEF)
        return 0;
    for (unsigned i = 0; i < p->nconns; i++) {
        const struct conn *c = &p->conns[i];
        if (c->status != CONN_UP || c->before_brief)
            continue;
        if (now - c->up_since >= SHORT_LIFE)
            return 0;
        if (c->up_since + SHORT_LIFE > end)
            end = c->up_since + SHORT_LIFE;
    }
    return end;
}

static int64_t next_attempt_locked(const struct pool *p, const struct conn *c)
{
    int64_t next = trial_end_locked(p);
    if (next < c->retry_at)
        next = c->retry_at;
    return next > p->denied_until ? next : p->denied_until;
}

bool reconnect_expected_locked(const struct pool *p, const struct conn *c)
{
    return c->status != CONN_DOWN || (!c->backoff && next_attempt_locked(p, c) <= clock_ms());
}

/* Does someone wait, since before `when`? */
static bool asked_locked(const struct pool *p, int64_t when)
{
    for (const struct op *op = p->queue; op; op = op->next)
        if (!op->patient && op->submitted <= when)
            return true;
    return false;
}

/* After a failure only one tries, until it has logged in: what it meets, the others would, too. */
bool reconnect_usable_locked(const struct pool *p, const struct conn *c)
{
    /* Who asks for the first time since it failed is not answered with that, but gets his own. */
    int64_t next =
        p->unasked && asked_locked(p, INT64_MAX) ? p->denied_until : next_attempt_locked(p, c);
    return c->status != CONN_DOWN || (clock_ms() >= next && (p->trusted || !connecting_locked(p)));
}

int reconnect_patience_locked(const struct pool *p, const struct conn *c)
{
    int64_t now = clock_ms(), until = sched_next_due_locked(p);
    int64_t attempt = next_attempt_locked(p, c);
    const struct op *op;
    if ((p->queue || c->warm || c->missed) && attempt > now && attempt < until)
        until = attempt;
    for (op = p->queue; op; op = op->next) { /* it must be answered then */
        int64_t end = op->patient ? INT64_MAX : op->submitted + p->config->timeout;
        if (end > now && end < until)
            until = end;
    }
    if (until == INT64_MAX)
        return -1;
    return until > now ? (int)(until - now) + 1 : 0;
}

/* What waits for a server that is only unwilling at the moment goes on waiting, as long as its time
 * allows; what a connection that is up can take is none of this one's affair. */
struct op *reconnect_doomed_locked(struct pool *p, const struct conn *c)
{
    if (reconnect_others_up_locked(p, c) || !p->down_err)
        return NULL;
    bool tries_anew = p->unasked && p->denied_until <= clock_ms();
    if (p->down_err == -EBUSY || tries_anew || reconnect_others_alive_locked(p, c))
        return sched_expired_locked(p);
    return sched_hopeless_locked(p);
}

/* ---- what happened ---- */

static void note_down_locked(struct pool *p, const struct conn *c, const char *why)
{
    if (reconnect_others_up_locked(p, c))
        return;
    if (!p->down_since)
        p->down_since = clock_ms();
    snprintf(p->down_why, sizeof p->down_why, "%s", why);
}

static void hold_back_locked(struct pool *p, int64_t pause, int64_t wait)
{
    for (unsigned i = 0; i < p->nconns; i++) {
        struct conn *c = &p->conns[i];
        if (c->status != CONN_DOWN)
            continue;
        c->backoff = pause;
        c->retry_at = clock_ms() + wait;
    }
}

void reconnect_done_locked(struct pool *p, struct conn *c)
{
    /* The first one after an outage: the others may come at once. Otherwise they were perhaps one
     * too many, and that has not changed. */
    if (!reconnect_others_up_locked(p, c)) {
        p->pause = 0;
        hold_back_locked(p, 0, 0);
    }
    c->status = CONN_UP;
    c->up_since = clock_ms();
    c->before_brief = false;
    c->backoff = 0;
    p->down_err = 0;
    p->down_since = 0;
    p->denied_until = 0;
    p->unasked = false;
    p->trusted = true;
}

void reconnect_failed_locked(struct pool *p, struct conn *c, int err, const char *why)
{
    c->status = CONN_DOWN;
    note_down_locked(p, c, why);
    p->down_err = err;
    /* With another one up, what it was wanted for is done there, or waits there. */
    bool others = reconnect_others_up_locked(p, c);
    p->unasked = !others && !asked_locked(p, c->tried_at);
    p->trusted = false;
    /* With another one up nothing is urgent: the server may allow no more. Nor when nobody waits.
     */
    bool spare = others || p->unasked;
    p->pause = backoff_next(p->pause, spare ? BACKOFF_LONGEST : BACKOFF_LAST);
    hold_back_locked(p, p->pause, backoff_jitter(p->pause));
    if (err == -EACCES)
        p->denied_until = clock_ms() + DENIED + backoff_jitter(BACKOFF_LAST);
}

/* One early death may be chance. From the second in a row on, whichever connection it is, there is
 * a pause before the next attempt: a login that succeeds says little where all that follows fails.
 * What is lost together is lost once, and waits together. */
static void note_brief_locked(struct pool *p, const struct conn *c)
{
    int64_t now = clock_ms(), pause = 0;
    if (!c->before_brief) {
        p->brief = now - p->brief_at < BRIEF ? p->brief + 1 : 1;
        p->brief_at = now;
        for (unsigned i = 0; i < p->nconns; i++)
            p->conns[i].before_brief = p->conns[i].status == CONN_UP;
    }
    int64_t last = reconnect_others_up_locked(p, c) ? BACKOFF_LONGEST : BACKOFF_LAST;
    for (unsigned n = 1; n < p->brief && pause < last; n++)
        pause = backoff_next(pause, last);
    if (pause)
        hold_back_locked(p, pause, backoff_jitter(pause));
}

void reconnect_lost_locked(struct pool *p, struct conn *c, int err)
{
    bool up = c->status == CONN_UP;
    c->status = CONN_DOWN;
    if (up) {
        /* While the login is refused it may not come back, and is not to be waited for. */
        c->backoff = clock_ms() < p->denied_until ? p->pause : 0;
        c->retry_at = 0;
    }
    if (up && err) {
        p->trusted = false;
        note_down_locked(p, c, strerror(-err));
        if (clock_ms() - c->up_since < SHORT_LIFE)
            note_brief_locked(p, c);
        else
            p->brief = 0;
    }
}

/* ---- what is told ---- */

void reconnect_tell_failed_locked(struct pool *p, const struct conn *c, int err, const char *why,
                                  struct buf *line)
{
    if (reconnect_others_up_locked(p, c)) {
        /* Once it may be that the others are lost, too, and have not noticed yet. */
        if (++p->spare_failures == 2)
            buf_addf(line, "no further connection to the server: %s", why);
    } else if (p->told == TOLD_UP || (p->told == TOLD_DOWN && err == -EACCES)) {
        buf_addf(line, "no connection to the server: %s", why);
        p->told = err == -EACCES ? TOLD_DENIED : TOLD_DOWN;
    }
}

void reconnect_tell_lost_locked(struct pool *p, const struct conn *c, int err, const char *why,
                                struct buf *line)
{
    if (!err || p->stopping || p->told != TOLD_UP || reconnect_others_up_locked(p, c))
        return;
    if (*why)
        buf_addf(line, "the connection to the server is lost: %s", why);
    if (*why || err == -EPROTO)
        p->told = TOLD_DOWN;
    p->spare_failures = 0;
}

void reconnect_tell_done_locked(struct pool *p, struct buf *line)
{
    if (p->told != TOLD_UP)
        buf_addf(line, "connected to the server again, after %" PRId64 " s",
                 p->down_since ? (clock_ms() - p->down_since) / 1000 : 0);
    p->told = TOLD_UP;
    p->spare_failures = 0;
}

void reconnect_status_locked(const struct pool *p, struct buf *out)
{
    int64_t now = clock_ms(), next = INT64_MAX;
    for (unsigned i = 0; i < p->nconns; i++) {
        int64_t at = next_attempt_locked(p, &p->conns[i]);
        next = at < next ? at : next;
    }
    if (any_locked(p, NULL, true) || !p->down_since) {
        buf_adds(out, "server: up");
        throttle_status(&p->throttle, now, out);
        buf_addc(out, '\n');
        return;
    }
    if (p->denied_until)
        buf_addf(out, "server: login refused: %s", p->down_why);
    else
        buf_addf(out, "server: down since %" PRId64 " s: %s", (now - p->down_since) / 1000,
                 p->down_why);
    if (connecting_locked(p))
        buf_adds(out, "; connecting\n");
    else if (next > now)
        buf_addf(out, "; next attempt in %" PRId64 " s\n", (next - now + 999) / 1000);
    else
        buf_adds(out, "; next attempt with the next call\n");
}
