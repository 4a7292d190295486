/* Keeps what is known of a folder's messages true to the server: the life of one run.
 *
 * A sync first looks (SELECT, or NOOP where the mailbox is selected already) and compares:
 * UIDVALIDITY, UIDNEXT, the number of messages, HIGHESTMODSEQ. From the difference follows what it
 * asks for, one step after the other: metadata of new messages, changed flags, which UIDs are left,
 * metadata of UIDs that came without (holes.c). A step that the server refuses is made good by the
 * next ones: all UIDs are found, and what can be had of them. When nothing changed, the look is
 * all. Rows come as events while a step runs; rows.c takes them in, whoever asked for them. */
#include "cache/sync.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/clock.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/wire/fetch.h"

enum {
    RETRY_LATER = 5000, /* ms after a look that failed, if nobody asks */
    MAX_RESTARTS = 3,   /* of a sync that hears of another UIDVALIDITY each time */
};

/* ---- listings that overtake a load ---- */

static void hungry_add(struct account *a, struct sync *s)
{
    s->next_hungry = a->syncs.hungry;
    a->syncs.hungry = s;
}

static void hungry_remove(struct account *a, struct sync *s)
{
    for (struct sync **at = &a->syncs.hungry; *at; at = &(*at)->next_hungry)
        if (*at == s) {
            *at = s->next_hungry;
            break;
        }
}

void sync_await_rows(struct account *a, struct sync *s, struct waiter *w)
{
    if (w && !s->row_waiters)
        hungry_add(a, s);
    waiter_add(&s->row_waiters, w);
}

void sync_on_batch(void *account)
{
    struct account *a = account;
    struct waiter *woken = NULL;
    account_lock(a);
    while (a->syncs.hungry) {
        struct sync *s = a->syncs.hungry;
        hungry_remove(a, s);
        waiters_move(&woken, &s->row_waiters);
    }
    account_unlock(a);
    wake_all(woken, 0);
}

/* Those who wait for this sync, whatever for. */
static struct waiter *take_waiters(struct account *a, struct sync *s)
{
    struct waiter *taken = waiters_take(&s->waiters);
    if (s->row_waiters)
        hungry_remove(a, s);
    waiters_move(&taken, &s->row_waiters);
    return taken;
}

struct waiter *sync_take_waiters(struct account *a)
{
    struct waiter *all = NULL;
    struct sync *s;
    DL_FOREACH (a->syncs.running, s)
        waiters_move(&all, &(struct waiter *){take_waiters(a, s)});
    return all;
}

struct waiter *sync_take_orphans(struct account *a)
{
    return waiters_take(&a->syncs.orphans);
}

/* ---- begin and end ---- */

static struct sync *sync_begin(struct account *a, struct folder *f, uint32_t probe, bool patient)
{
    struct sync *s = mem_zalloc(sizeof *s);
    assert(!f->sync);
    f->sync = s;
    s->number = ++a->syncs.last_number;
    s->folder = f;
    s->gen = f->gen;
    s->probe = probe;
    s->patient = patient;
    s->began = clock_ms();
    if (f->facts.loaded)
        s->from = f->facts.uidnext ? f->facts.uidnext : 1;
    DL_APPEND(a->syncs.running, s);
    if (probe && f->facts.uidvalidity) {
        s->todo = SYNC_PROBE; /* looks and asks in one round trip */
        sync_step(a, s);
    } else {
        sync_look(a, s);
    }
    return s;
}

/* Nobody may be waiting for it any more. */
static void sync_free(struct account *a, struct sync *s)
{
    struct folder *f = s->folder;
    assert(f->sync == s && !s->waiters && !s->row_waiters);
    f->sync = NULL;
    f->news.version += s->left_out; /* from now on listings have it, be it without a name */
    DL_DELETE(a->syncs.running, s);
    holes_end(&s->holes);
    uidset_free(&s->census.rows);
    uidset_free(&s->census.went);
    free(s);
    watch_synced(a, f);
}

/* All that it was to find out is known. */
static void sync_succeed(struct sync *s)
{
    struct folder *f = s->folder;
    if (s->probe) {
        fresh_probed(&f->fresh, s->probe, s->began);
        return;
    }
    if (!f->facts.loaded && s->load.uidnext && f->facts.uidnext > s->load.uidnext &&
        f->facts.msgs.live <= s->exists)
        f->facts.uidnext_odd = true; /* not even now, and nothing has come since */
    f->facts.loaded = true;
    f->facts.modseq = s->modseq;
    f->fresh.synced_at = s->began;
    msgtable_compact(&f->facts.msgs);
}

/* Ends the sync; returns those to be woken once the lock is released. */
static struct waiter *sync_end(struct account *a, struct sync *s, int err)
{
    struct folder *f = s->folder;
    bool met = !err && !s->probe, broken = err && !s->probe && !f->facts.loaded;
    if (err)
        f->watch.hints |= s->hints;
    else
        sync_succeed(s);
    struct waiter *woken = take_waiters(a, s);
    sync_free(a, s);
    if (broken)
        watch_withdraw(a, f);
    if (err && f->facts.loaded && f->watch.hints)
        f->watch.not_before = clock_ms() + RETRY_LATER;
    if (met)
        folder_meet(a, f);
    else if (f->news.met)
        folder_tell(a, f);
    watch_folder(a, f);
    return woken;
}

void sync_abandon(struct account *a, struct folder *f)
{
    if (!f->sync)
        return;
    waiters_move(&a->syncs.orphans, &(struct waiter *){take_waiters(a, f->sync)});
    sync_free(a, f->sync);
}

void sync_outdated(struct account *a, struct folder *f)
{
    struct sync *old = f->sync;
    if (!old || f->facts.noselect) { /* there is nothing to wait for */
        sync_abandon(a, f);
        return;
    }
    uint32_t probe = old->probe;
    unsigned restarts = old->restarts;
    struct waiter *rows = waiters_take(&old->row_waiters), *waiters = waiters_take(&old->waiters);
    hungry_remove(a, old);
    sync_free(a, old);
    if (!rows && !waiters)
        return;
    struct sync *s = sync_begin(a, f, probe, false);
    s->restarts = restarts;
    s->waiters = waiters;
    s->row_waiters = rows;
    if (rows)
        hungry_add(a, s);
}

void sync_reset(struct account *a, struct folder *f)
{
    folder_forget(a, f);
    sync_outdated(a, f);
}

/* ---- the end of a step ---- */

struct sync *sync_of_step(struct account *a, const struct op *op)
{
    struct sync *s;
    DL_FOREACH (a->syncs.running, s) {
        if (s->number == op->cookie)
            break;
    }
    assert(!s || s->gen == s->folder->gen);
    return s;
}

/* For the account's lock; returns without it. */
static void step_end(struct account *a, struct op *op, struct sync *s)
{
    struct waiter *woken = NULL;
    int err = op->err;
    if (s && err == -ESTALE && s->restarts < MAX_RESTARTS) {
        struct folder *f = s->folder;
        s->restarts++;
        sync_reset(a, f);
        folder_tell(a, f);
    } else if (s && err) {
        if (err == -ESTALE)
            folder_forget(a, s->folder);
        woken = sync_end(a, s, err);
    } else if (s && !s->todo) {
        woken = sync_end(a, s, 0);
    } else if (s) {
        sync_step(a, s);
    }
    account_unlock(a);
    wake_all(woken, err);
    op_free(op);
}

/* Refused, perhaps because the mailbox is not there any more: whoever waits hears what LIST says of
 * it, and of the refusal only if it is there. */
void sync_step_done(struct account *a, struct op *op, struct sync *s)
{
    if (s && s->folder->facts.msgs.failed) {
        log_error("%s: out of memory for what is in it", s->folder->facts.wire);
        op->err = op->err ? op->err : -ENOMEM;
        s->folder->facts.msgs.failed = false;
        s->hints |= CHANGE_EXISTS | CHANGE_EXPUNGE | CHANGE_FLAGS; /* the next one asks for all */
    }
    if (s && (op->err == -EIO || op->err == -ENOENT) && (s->waiters || s->row_waiters)) {
        listing_judge(a, op);
        account_unlock(a);
    } else {
        step_end(a, op, s);
    }
}

void sync_refused(struct account *a, struct op *op)
{
    struct waiter *orphans = NULL;
    account_lock(a);
    struct sync *s = sync_of_step(a, op);
    /* Dovecot 2.3 with an index of mailboxes LISTs a deleted one above others as if it were there.
     */
    if (s && op->err == -ENOENT && s->folder->children) {
        struct folder *f = s->folder;
        tree_noselect(a, f, true);
        sync_outdated(a, f);
        orphans = sync_take_orphans(a);
        s = NULL;
    }
    step_end(a, op, s);
    wake_all(orphans, 0);
}

/* ---- what comes from the server ---- */

void sync_collect(struct sync *s, struct uidset *set, uint32_t lo, uint32_t hi)
{
    if (!uidset_try_add(set, lo, hi))
        s->folder->facts.msgs.failed = true;
}

bool sync_row(struct sync *s, uint32_t uid, bool meta)
{
    if (!s)
        return false;
    if (meta && uid == s->probe)
        s->probe_seen = true;
    if (meta && uid > s->met_upto)
        s->met_upto = uid;
    if (s->census.by_rows)
        sync_collect(s, &s->census.rows, uid, uid);
    return s->census.by_rows;
}

/* Behind a number left out there may be a UID whose row was lost, and it must not be listed too
 * late. */
void sync_loaded(struct sync *s, const struct fetch_row *row)
{
    if (!s || !s->load.on)
        return;
    struct load *l = &s->load;
    struct folder_facts *facts = &s->folder->facts;
    if (l->seq && row->seq != l->seq && row->seq != l->seq + 1)
        l->gap = true;
    if (!l->seq && s->from == 1 && row->seq != 1)
        l->gap = true;
    if (l->gap || row->uid < facts->load_upto)
        return;
    l->seq = row->seq;
    facts->load_upto = row->uid;
}

void sync_went(struct sync *s, uint32_t lo, uint32_t hi)
{
    if (s && s->census.on)
        sync_collect(s, &s->census.went, lo, hi);
}

/* ---- who needs a folder looked at ---- */

struct sync *sync_join(struct account *a, struct folder *f, uint32_t probe)
{
    struct sync *s = f->sync;
    if (!s)
        return sync_begin(a, f, probe, false);
    if (s->patient) {
        s->patient = false;
        if (s->look)
            pool_hurry(a->pool, s->look); /* else it would wait as long as there is no server */
    }
    return s;
}

void sync_due(struct account *a, struct folder *f)
{
    sync_begin(a, f, 0, true);
}

void sync_recheck(struct account *a, struct folder *f, uint32_t uid, struct waiter *waiters)
{
    f->watch.hints |= CHANGE_EXPUNGE;
    struct sync *s = sync_join(a, f, f->facts.loaded ? 0 : uid);
    waiters_move(&s->waiters, &waiters);
}

void sync_contradicted(struct account *a, const struct op *op)
{
    struct folder *f = folder_by_wire(a, op->mailbox);
    if (!f || f->facts.uidvalidity != op->uidvalidity)
        return; /* known by now */
    f->watch.hints |= CHANGE_EXISTS | CHANGE_EXPUNGE;
    fresh_expire(&f->fresh);
    watch_folder(a, f);
}
