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

static bool any_locked(const struct pool *p, const struct lane *but, bool up)
{
    for (unsigned i = 0; i < p->nlanes; i++)
        if (&p->lanes[i] != but &&
            (up ? p->lanes[i].state == LANE_UP : p->lanes[i].state != LANE_DOWN))
            return true;
    return false;
}

bool reconnect_others_up_locked(const struct pool *p, const struct lane *l)
{
    return any_locked(p, l, true);
}

bool reconnect_others_alive_locked(const struct pool *p, const struct lane *l)
{
    return any_locked(p, l, false);
}

static bool connecting_locked(const struct pool *p)
{
    for (unsigned i = 0; i < p->nlanes; i++)
        if (p->lanes[i].state == LANE_CONNECTING)
            return true;
    return false;
}

/* ---- when ---- */

/* After a connection was lost soon after its login, the next login says little: until when is it to
 * be seen whether that one lives? 0: one does, or there is none to be watched. */
static int64_t trial_end_locked(const struct pool *p)
{
    int64_t now = clock_ms(), end = 0;
    if (!p->outage.brief || now - p->outage.brief_at >= BRIEF)
        return 0;
    for (unsigned i = 0; i < p->nlanes; i++) {
        const struct lane *l = &p->lanes[i];
        if (l->state != LANE_UP || l->line.before_brief)
            continue;
        if (now - l->line.up_since >= SHORT_LIFE)
            return 0;
        if (l->line.up_since + SHORT_LIFE > end)
            end = l->line.up_since + SHORT_LIFE;
    }
    return end;
}

static int64_t next_attempt_locked(const struct pool *p, const struct lane *l)
{
    int64_t next = trial_end_locked(p);
    if (next < l->line.retry_at)
        next = l->line.retry_at;
    return next > p->outage.denied_until ? next : p->outage.denied_until;
}

bool reconnect_expected_locked(const struct pool *p, const struct lane *l)
{
    return l->state != LANE_DOWN || (!l->line.backoff && next_attempt_locked(p, l) <= clock_ms());
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
bool reconnect_usable_locked(const struct pool *p, const struct lane *l)
{
    /* Who asks for the first time since it failed is not answered with that, but gets his own. */
    int64_t next = p->outage.unasked && asked_locked(p, INT64_MAX) ? p->outage.denied_until
                                                                   : next_attempt_locked(p, l);
    return l->state != LANE_DOWN ||
           (clock_ms() >= next && (p->outage.trusted || !connecting_locked(p)));
}

int reconnect_patience_locked(const struct pool *p, const struct lane *l)
{
    int64_t now = clock_ms(), until = queue_next_due_locked(p);
    int64_t attempt = next_attempt_locked(p, l);
    const struct op *op;
    if ((p->queue || l->line.warm || l->line.notify_lost) && attempt > now && attempt < until)
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
struct op *reconnect_doomed_locked(struct pool *p, const struct lane *l)
{
    if (reconnect_others_up_locked(p, l) || !p->outage.err)
        return NULL;
    bool tries_anew = p->outage.unasked && p->outage.denied_until <= clock_ms();
    if (p->outage.err == -EBUSY || tries_anew || reconnect_others_alive_locked(p, l))
        return queue_expired_locked(p);
    return queue_hopeless_locked(p);
}

/* ---- what happened ---- */

static void note_down_locked(struct pool *p, const struct lane *l, const char *why)
{
    if (reconnect_others_up_locked(p, l))
        return;
    if (!p->outage.since)
        p->outage.since = clock_ms();
    snprintf(p->outage.why, sizeof p->outage.why, "%s", why);
}

static void hold_back_locked(struct pool *p, int64_t pause, int64_t wait)
{
    for (unsigned i = 0; i < p->nlanes; i++) {
        struct lane *l = &p->lanes[i];
        if (l->state != LANE_DOWN)
            continue;
        l->line.backoff = pause;
        l->line.retry_at = clock_ms() + wait;
    }
}

void reconnect_done_locked(struct pool *p, struct lane *l)
{
    /* The first one after an outage: the others may come at once. Otherwise they were perhaps one
     * too many, and that has not changed. */
    if (!reconnect_others_up_locked(p, l)) {
        p->outage.pause = 0;
        hold_back_locked(p, 0, 0);
    }
    lane_become_locked(l, LANE_UP);
    l->line.up_since = clock_ms();
    l->line.before_brief = false;
    l->line.backoff = 0;
    p->outage.err = 0;
    p->outage.since = 0;
    p->outage.denied_until = 0;
    p->outage.unasked = false;
    p->outage.trusted = true;
}

void reconnect_failed_locked(struct pool *p, struct lane *l, int err, const char *why)
{
    lane_become_locked(l, LANE_DOWN);
    note_down_locked(p, l, why);
    p->outage.err = err;
    /* With another one up, what it was wanted for is done there, or waits there. */
    bool others = reconnect_others_up_locked(p, l);
    p->outage.unasked = !others && !asked_locked(p, l->line.tried_at);
    p->outage.trusted = false;
    /* With another one up nothing is urgent: the server may allow no more. Nor when nobody waits.
     */
    bool spare = others || p->outage.unasked;
    p->outage.pause = backoff_next(p->outage.pause, spare ? BACKOFF_LONGEST : BACKOFF_LAST);
    hold_back_locked(p, p->outage.pause, backoff_jitter(p->outage.pause));
    if (err == -EACCES)
        p->outage.denied_until = clock_ms() + DENIED + backoff_jitter(BACKOFF_LAST);
}

/* One early death may be chance. From the second in a row on, whichever connection it is, there is
 * a pause before the next attempt: a login that succeeds says little where all that follows fails.
 * What is lost together is lost once, and waits together. */
static void note_brief_locked(struct pool *p, const struct lane *l)
{
    int64_t now = clock_ms(), pause = 0;
    if (!l->line.before_brief) {
        p->outage.brief = now - p->outage.brief_at < BRIEF ? p->outage.brief + 1 : 1;
        p->outage.brief_at = now;
        for (unsigned i = 0; i < p->nlanes; i++)
            p->lanes[i].line.before_brief = p->lanes[i].state == LANE_UP;
    }
    int64_t last = reconnect_others_up_locked(p, l) ? BACKOFF_LONGEST : BACKOFF_LAST;
    for (unsigned n = 1; n < p->outage.brief && pause < last; n++)
        pause = backoff_next(pause, last);
    if (pause)
        hold_back_locked(p, pause, backoff_jitter(pause));
}

void reconnect_lost_locked(struct pool *p, struct lane *l, int err)
{
    bool up = l->state == LANE_UP;
    lane_become_locked(l, LANE_DOWN);
    if (up) {
        /* While the login is refused it may not come back, and is not to be waited for. */
        l->line.backoff = clock_ms() < p->outage.denied_until ? p->outage.pause : 0;
        l->line.retry_at = 0;
    }
    if (up && err) {
        p->outage.trusted = false;
        note_down_locked(p, l, strerror(-err));
        if (clock_ms() - l->line.up_since < SHORT_LIFE)
            note_brief_locked(p, l);
        else
            p->outage.brief = 0;
    }
}

/* ---- what is told ---- */

void reconnect_tell_failed_locked(struct pool *p, const struct lane *l, int err, const char *why,
                                  struct buf *line)
{
    if (reconnect_others_up_locked(p, l)) {
        /* Once it may be that the others are lost, too, and have not noticed yet. */
        if (++p->outage.spare_failures == 2)
            buf_addf(line, "no further connection to the server: %s", why);
    } else if (p->outage.told == TOLD_UP || (p->outage.told == TOLD_DOWN && err == -EACCES)) {
        buf_addf(line, "no connection to the server: %s", why);
        p->outage.told = err == -EACCES ? TOLD_DENIED : TOLD_DOWN;
    }
}

void reconnect_tell_lost_locked(struct pool *p, const struct lane *l, int err, const char *why,
                                struct buf *line)
{
    if (!err || pool_closes_locked(p) || p->outage.told != TOLD_UP ||
        reconnect_others_up_locked(p, l))
        return;
    if (*why)
        buf_addf(line, "the connection to the server is lost: %s", why);
    if (*why || err == -EPROTO)
        p->outage.told = TOLD_DOWN;
    p->outage.spare_failures = 0;
}

void reconnect_tell_done_locked(struct pool *p, struct buf *line)
{
    if (p->outage.told != TOLD_UP)
        buf_addf(line, "connected to the server again, after %" PRId64 " s",
                 p->outage.since ? (clock_ms() - p->outage.since) / 1000 : 0);
    p->outage.told = TOLD_UP;
    p->outage.spare_failures = 0;
}

void reconnect_status_locked(const struct pool *p, struct buf *out)
{
    int64_t now = clock_ms(), next = INT64_MAX;
    for (unsigned i = 0; i < p->nlanes; i++) {
        int64_t at = next_attempt_locked(p, &p->lanes[i]);
        next = at < next ? at : next;
    }
    if (any_locked(p, NULL, true) || !p->outage.since) {
        buf_adds(out, "server: up");
        throttle_status(&p->throttle, now, out);
        buf_addc(out, '\n');
        return;
    }
    if (p->outage.denied_until)
        buf_addf(out, "server: login refused: %s", p->outage.why);
    else
        buf_addf(out, "server: down since %" PRId64 " s: %s", (now - p->outage.since) / 1000,
                 p->outage.why);
    if (connecting_locked(p))
        buf_adds(out, "; connecting\n");
    else if (next > now)
        buf_addf(out, "; next attempt in %" PRId64 " s\n", (next - now + 999) / 1000);
    else
        buf_adds(out, "; next attempt with the next call\n");
}
