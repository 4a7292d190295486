#include "imap/pool/throttle.h"

#include <inttypes.h>
#include <stdio.h>

#include "imap/base/backoff.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"

bool throttle_note(struct throttle *t, int64_t now, int64_t wait, struct str why)
{
    bool is_new = !t->until;
    if (!wait && t->until > now)
        return false; /* the answer to what was asked before */
    t->pause = wait ? 0 : backoff_next(t->pause, BACKOFF_LAST);
    if (!wait)
        wait = backoff_jitter(t->pause);
    if (wait > LIMIT_THROTTLE_LONGEST)
        wait = LIMIT_THROTTLE_LONGEST;
    struct buf text = {0};
    log_escape(&text, why.p, why.n, sizeof t->why - 4);
    snprintf(t->why, sizeof t->why, "%s", buf_str(&text));
    buf_free(&text);
    if (t->until < now + wait)
        t->until = now + wait;
    return is_new;
}

/* What is answered while it holds was asked before. */
void throttle_over(struct throttle *t, int64_t now)
{
    if (t->until && t->until <= now)
        *t = (struct throttle){0};
}

int64_t throttle_left(const struct throttle *t, int64_t now)
{
    return t->until > now ? t->until - now : 0;
}

bool throttle_refuses(const struct throttle *t, int64_t now)
{
    return throttle_left(t, now) > LIMIT_THROTTLE;
}

bool throttle_waits(const struct throttle *t, int64_t now)
{
    return throttle_left(t, now) && !throttle_refuses(t, now);
}

void throttle_status(const struct throttle *t, int64_t now, struct buf *out)
{
    int64_t left = throttle_left(t, now);
    if (left)
        buf_addf(out, ", but asks to wait for %" PRId64 " s: %s", (left + 999) / 1000, t->why);
}
