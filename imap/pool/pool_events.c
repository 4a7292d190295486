/* What the connections find out: for the pool, and for the cache. */
#include "imap/base/log.h"
#include "imap/conn/owner.h"
#include "imap/pool/pool_state.h"
#include "imap/wire/fetch.h"

/* ---- what the server can do ---- */

bool pool_may_ask(const struct pool *p, enum pool_extra what)
{
    return p->found.answers[what] || !p->found.hangs_up[what];
}

void pool_answers(struct pool *p, enum pool_extra what)
{
    p->found.answers[what] = true;
}

bool pool_hangs_up(struct pool *p, enum pool_extra what)
{
    bool why = !p->found.answers[what];
    if (why)
        p->found.hangs_up[what] = true;
    return why;
}

enum pool_uids pool_uids(const struct pool *p)
{
    return (enum pool_uids)p->found.uids;
}

void pool_note_uids(struct pool *p, enum pool_uids uids)
{
    p->found.uids = (int)uids;
}

void pool_windows_ignored(struct pool *p, const char *does)
{
    if (!atomic_exchange(&p->found.no_windows, true))
        log_warn("the server %s: from now on each message is fetched as a whole", does);
}

/* ---- events ---- */

void pool_row(struct pool *p, const char *mailbox, uint32_t uidvalidity,
              const struct fetch_row *row)
{
    p->events->row(p->ctx, mailbox, uidvalidity, row);
}

void pool_changed(struct pool *p, const char *mailbox, uint32_t uidvalidity, unsigned what)
{
    p->events->changed(p->ctx, mailbox, uidvalidity, what);
}

void pool_vanished(struct pool *p, const char *mailbox, uint32_t uidvalidity,
                   const struct uidset *uids)
{
    p->events->vanished(p->ctx, mailbox, uidvalidity, uids);
}

void pool_status_of(struct pool *p, struct str mailbox, const struct mailbox_state *now)
{
    p->events->status(p->ctx, mailbox, now);
}

void pool_folders(struct pool *p)
{
    p->events->folders(p->ctx);
}

void pool_deaf(struct pool *p)
{
    p->events->deaf(p->ctx);
}

void pool_batch(struct pool *p)
{
    p->events->batch(p->ctx);
}
