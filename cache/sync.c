/* Keeps what is known of a folder's messages true to the server.
 *
 * A sync first looks (SELECT, or NOOP where the mailbox is selected already) and compares:
 * UIDVALIDITY, UIDNEXT, the number of messages, HIGHESTMODSEQ. From the difference follows what it
 * asks for, one step after the other: metadata of new messages, changed flags, which UIDs are left,
 * metadata of UIDs that came without (holes.c). A step that the server refuses is made good by the
 * next ones: all UIDs are found, and what can be had of them. When nothing changed, the look is
 * all. Rows come as events while a step runs; messages.c takes them in, whoever asked for them.
 *
 * A sync is about one generation of the folder, and its steps carry that. When it turns out from
 * elsewhere that the folder is another one, the sync is over whatever its steps still bring. */
#include "cache/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/waiter.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

/* ---- listings that overtake a load ---- */

static void hungry_remove(struct account *a, struct folder *f)
{
    for (struct folder **h = &a->syncs.hungry; *h; h = &(*h)->sync.next_hungry)
        if (*h == f) {
            *h = f->sync.next_hungry;
            break;
        }
    f->sync.hungry = false;
}

void sync_on_batch(void *account)
{
    struct account *a = account;
    struct waiter *woken = NULL;
    account_lock(a);
    while (a->syncs.hungry) {
        struct folder *f = a->syncs.hungry;
        hungry_remove(a, f);
        waiters_move(&woken, &f->sync.row_waiters);
    }
    account_unlock(a);
    wake_all(woken, 0);
}

/* ---- one sync ---- */

enum {
    PROBED =
        sizeof((struct folder *)NULL)->fresh.probed / sizeof *((struct folder *)NULL)->fresh.probed
};

static void sync_step(struct account *a, struct folder *f);

enum {
    RETRY_LATER = 5000, /* ms after a look that failed, if nobody asks */
    MAX_RESTARTS = 3,   /* of a sync that hears of another UIDVALIDITY each time */
};

static void sync_over(struct folder *f)
{
    f->sync.on = f->sync.load.on = f->sync.patient = false;
    f->sync.look = NULL;
    f->sync.todo = 0;
    f->news.version += f->sync.left_out; /* from now on listings have it, be it without a name */
    f->sync.left_out = false;
    f->sync.census.by_rows = f->sync.census.on = false;
    holes_end(&f->sync.holes);
    uidset_free(&f->sync.census.rows);
    uidset_free(&f->sync.census.went);
}

/* Ends the sync; returns those to be woken once the lock is released. */
static struct waiter *sync_end(struct account *a, struct folder *f, int err)
{
    sync_over(f);
    f->sync.restarts = 0;
    if (err)
        f->watch.hints |= f->sync.hints;
    if (!err && f->sync.probe.on) {
        f->fresh.probed[f->fresh.n_probed % PROBED].uid = f->sync.probe.uid;
        f->fresh.probed[f->fresh.n_probed++ % PROBED].at = f->sync.began;
    } else if (!err) {
        if (!f->facts.loaded && f->sync.load.uidnext && f->facts.uidnext > f->sync.load.uidnext &&
            f->facts.msgs.live <= f->sync.exists)
            f->facts.uidnext_odd = true; /* not even now, and nothing has come since */
        f->facts.loaded = true;
        f->fresh.synced_at = f->sync.began;
        f->facts.modseq = f->sync.modseq;
        msgtable_compact(&f->facts.msgs);
    }
    struct waiter *woken = waiters_take(&f->sync.waiters);
    waiters_move(&woken, &f->sync.row_waiters);
    if (f->sync.hungry)
        hungry_remove(a, f);
    if (err && f->facts.loaded && f->watch.hints)
        f->watch.not_before = clock_ms() + RETRY_LATER;
    if (!err && !f->sync.probe.on)
        folder_meet(a, f);
    else if (f->news.met)
        folder_tell(a, f);
    watch_folder(a, f);
    return woken;
}

/* Every step ends here: its folder is looked up again, since it may be gone, or another one. */
static struct folder *step_folder(struct account *a, const struct op *op)
{
    struct folder *f = folder_by_gen(a, (uint32_t)op->cookie);
    return f && f->sync.on ? f : NULL;
}

/* For the account's lock; returns without it. */
static void step_end(struct account *a, struct op *op, struct folder *f)
{
    struct waiter *woken = NULL;
    int err = op->err;
    if (f && err == -ESTALE && f->sync.restarts < MAX_RESTARTS) {
        f->sync.restarts++;
        folder_reset(a, f);
        folder_tell(a, f);
    } else if (f && err) {
        if (err == -ESTALE)
            folder_forget(a, f);
        woken = sync_end(a, f, err);
    } else if (f && !f->sync.todo) {
        woken = sync_end(a, f, 0);
    } else if (f) {
        sync_step(a, f);
    }
    account_unlock(a);
    wake_all(woken, err);
    op_free(op);
}

/* Refused, perhaps because the mailbox is not there any more: whoever waits hears what LIST says of
 * it, and of the refusal only if it is there. */
static void step_done(struct account *a, struct op *op, struct folder *f)
{
    if (f && f->facts.msgs.failed) {
        log_error("%s: out of memory for what is in it", f->facts.wire);
        op->err = op->err ? op->err : -ENOMEM;
        f->facts.msgs.failed = false;
    }
    if (f && (op->err == -EIO || op->err == -ENOENT) && (f->sync.waiters || f->sync.row_waiters)) {
        listing_judge(a, op);
        account_unlock(a);
    } else {
        step_end(a, op, f);
    }
}

void sync_refused(struct account *a, struct op *op)
{
    struct waiter *orphans = NULL;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    /* Dovecot 2.3 with an index of mailboxes LISTs a deleted one above others as if it were there.
     */
    if (f && op->err == -ENOENT && f->children) {
        tree_noselect(a, f, true);
        sync_outdated(a, f);
        orphans = waiters_take(&a->listings.orphans);
        f = NULL;
    }
    step_end(a, op, f);
    wake_all(orphans, 0);
}

/* All messages up to here are known. Not so up to the last one in the table: this mount may just
 * have moved that one here, behind others that have not been asked for yet. */
static void note_met(struct folder *f, uint32_t uid)
{
    if (uid >= f->facts.uidnext && uid)
        f->facts.uidnext = uid < UINT32_MAX ? uid + 1 : uid;
}

/* Did the server say NO or BAD to a FETCH? That is forgiven, as one message may be the reason, and
 * some rows may have come nevertheless; whether the mailbox is there at all, the next step tells.
 */
static bool forgive(struct op *op)
{
    switch (-op->err) {
    case EIO:
    case EINVAL:
    case EPERM:
    case EFBIG:
    case ENOENT: /* also EXPUNGEISSUED */
        op->err = 0;
        return true;
    default:
        return false;
    }
}

static void on_new_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    bool refused = f && forgive(op);
    if (f && !op->err) {
        note_met(f, f->sync.met_upto);
        /* Fewer rows than messages: some were expunged, or could not be shown. */
        if (refused || f->facts.msgs.live != f->sync.exists)
            f->sync.todo |= SYNC_UIDS;
    }
    step_done(a, op, f);
}

static void on_flags_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    if (f && forgive(op)) {
        f->sync.modseq = f->facts.modseq; /* they are asked for again */
        f->sync.todo |= SYNC_UIDS;
    }
    step_done(a, op, f);
}

/* `found` are UIDs that there are; if they are all there are (`whole`), what is not among them is
 * gone. */
static void compare_uids(struct account *a, struct folder *f, const struct uidset *found,
                         bool whole)
{
    struct msgplace at = {0};
    f->sync.census.on = false;
    for (struct msg *m; (m = msgtable_walk(&f->facts.msgs, &at)) != NULL;) {
        bool there = uidset_has(found, m->uid);
        bool gone = m->flags & MSG_GONE;
        /* What arrived after the question is not in the answer. What went after it may be all the
         * same; what went before was taken for gone on a server's word that it takes back. */
        if (!gone && !there && whole && m->uid <= f->sync.census.upto)
            msg_drop(a, f, m);
        else if (gone && there && !uidset_has(&f->sync.census.went, m->uid))
            folder_revive(f, m);
    }
    uidset_free(&f->sync.census.went);
    holes_find(f, found);
}

/* A server that answers "all there are" with billions is not believed. */
static bool plausible(const struct folder *f, const struct uidset *found)
{
    return uidset_count(found) <= (uint64_t)f->sync.exists + LIMIT_SEARCH_SLACK &&
           (found->n > 0 || f->sync.exists == 0);
}

static void on_uids_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    bool refused = f && op->err != -ENOENT && forgive(op);
    if (f && !op->err && !refused && plausible(f, &op->found)) {
        compare_uids(a, f, &op->found, true);
    } else if (f && !op->err) {
        if (!refused)
            log_warn("%s: SEARCH and EXISTS disagree about what there is: not believed",
                     f->facts.wire);
        f->sync.todo |= SYNC_ROWS;
    }
    step_done(a, op, f);
}

/* If that is refused, too, and not one row comes, nothing can be known of the folder. */
static void on_counted(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    if (f) {
        f->sync.census.by_rows = false;
        bool refused = f->sync.census.rows.n && forgive(op);
        if (!op->err)
            compare_uids(a, f, &f->sync.census.rows,
                         !refused && uidset_count(&f->sync.census.rows) >= f->sync.exists);
        uidset_free(&f->sync.census.rows);
    }
    step_done(a, op, f);
}

/* A probe without a row: the message is not there, or not any more. */
static void on_probe_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    struct msg *m = f ? msgtable_find(&f->facts.msgs, f->sync.probe.uid) : NULL;
    if (m && !op->err && !f->sync.probe.seen)
        msg_drop(a, f, m);
    step_done(a, op, f);
}

static void on_holes_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    bool refused = f && forgive(op);
    if (f && !op->err) {
        holes_answered(f, refused);
        if (!(f->sync.todo & SYNC_HOLES))
            note_met(f, f->sync.holes.upto);
    }
    step_done(a, op, f);
}

static void on_bare_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    if (f)
        forgive(op);
    step_done(a, op, f);
}

static struct op *step_op(struct account *a, struct folder *f, enum op_kind kind, char *text,
                          void (*done)(struct op *))
{
    struct op *op = account_op(a, kind, f->facts.wire, f->facts.uidvalidity, done);
    op->cookie = f->gen;
    op->text = text;
    /* The step before may have gone over another connection, which knew of more. */
    op->refresh = kind == OP_SEARCH || (kind == OP_META && !f->sync.load.on);
    return op;
}

static void sync_submit(struct account *a, struct folder *f, enum op_kind kind, char *text,
                        void (*done)(struct op *))
{
    pool_submit(a->pool, step_op(a, f, kind, text, done));
}

static void ask_uids(struct account *a, struct folder *f)
{
    /* What this mount moves into the folder from now on may be too new for the answer. */
    f->sync.census.upto = msgtable_last(&f->facts.msgs);
    f->sync.census.on = true;
    uidset_free(&f->sync.census.went);
    if (f->sync.todo & SYNC_UIDS) {
        f->sync.todo &= ~(unsigned)SYNC_UIDS;
        sync_submit(a, f, OP_SEARCH, mem_strdup("ALL"), on_uids_done);
    } else {
        f->sync.todo &= ~(unsigned)SYNC_ROWS;
        f->sync.census.by_rows = true;
        sync_submit(a, f, OP_FLAGS, mem_strdup("1:*"), on_counted);
    }
}

static void sync_step(struct account *a, struct folder *f)
{
    if (f->sync.todo & SYNC_NEW) {
        f->sync.todo &= ~(unsigned)SYNC_NEW;
        f->sync.met_upto = 0;
        struct buf range = {0};
        buf_addf(&range, "%u:*", f->sync.from);
        sync_submit(a, f, OP_META, buf_steal(&range), on_new_done);
    } else if (f->sync.todo & SYNC_FLAGS) {
        f->sync.todo &= ~(unsigned)SYNC_FLAGS;
        struct op *op = step_op(a, f, OP_FLAGS, mem_strdup("1:*"), on_flags_done);
        op->modseq = f->facts.modseq;
        pool_submit(a->pool, op);
    } else if (f->sync.todo & SYNC_BARE) {
        f->sync.todo &= ~(unsigned)SYNC_BARE;
        sync_submit(a, f, OP_FLAGS, holes_take_undescribed(f), on_bare_done);
    } else if (f->sync.todo & (SYNC_UIDS | SYNC_ROWS)) {
        ask_uids(a, f);
    } else if (f->sync.todo & SYNC_PROBE) {
        f->sync.todo &= ~(unsigned)SYNC_PROBE;
        struct buf uid = {0};
        buf_addf(&uid, "%u", f->sync.probe.uid);
        f->sync.probe.seen = false;
        sync_submit(a, f, OP_META, buf_steal(&uid), on_probe_done);
    } else {
        f->sync.todo &= ~(unsigned)SYNC_HOLES;
        sync_submit(a, f, OP_META, holes_ask(f), on_holes_done);
    }
}

/* ---- the look ---- */

/* Is it another mailbox than the one that is known? A UID is given out once under one UIDVALIDITY;
 * but where that is the time in seconds, a mailbox deleted and made anew may have the same. */
static bool is_remade(const struct folder *f, const struct mailbox_state *s)
{
    bool before = f->facts.loaded && s->current && s->uidnext && s->uidnext < f->facts.uidnext &&
                  !f->facts.uidnext_odd;
    if (before)
        log_info("%s: UIDNEXT is %u, and there was a UID %u: loading it anew", f->facts.wire,
                 s->uidnext, f->facts.uidnext - 1);
    else if (f->facts.uidvalidity != s->uidvalidity && f->facts.uidvalidity)
        log_info("%s: UIDVALIDITY is %u, was %u: loading it anew", f->facts.wire, s->uidvalidity,
                 f->facts.uidvalidity);
    return before || (f->facts.uidvalidity != s->uidvalidity &&
                      (f->facts.uidvalidity || f->facts.loaded || f->facts.msgs.n));
}

static void plan(struct account *a, struct folder *f, const struct mailbox_state *s)
{
    if (is_remade(f, s))
        folder_forget(a, f);
    f->facts.uidvalidity = s->uidvalidity;
    f->sync.exists = s->exists;
    f->sync.modseq = s->modseq > f->facts.modseq ? s->modseq : f->facts.modseq;
    unsigned dirty = f->sync.hints = f->watch.hints;
    f->watch.hints = 0;
    if (f->sync.probe.on) {
        f->watch.hints = dirty;
        f->sync.hints = 0;
        /* A UID that is not given out yet needs no question. */
        bool none = s->fresh && s->uidnext && f->sync.probe.uid >= s->uidnext;
        f->sync.todo |= s->exists && !none ? SYNC_PROBE : 0;
        return;
    }
    if (!f->facts.loaded) {
        /* A load that broke off goes on where it was; holes are found by counting. */
        pool_warm(a->pool); /* who lists may read */
        f->sync.from =
            f->facts.load_upto < UINT32_MAX ? f->facts.load_upto + 1 : f->facts.load_upto;
        f->sync.load.uidnext = s->current ? s->uidnext : 0;
        f->sync.load.on = s->exists > 0;
        f->sync.load.seq = 0;
        f->sync.load.gap = false;
        if (s->exists)
            f->sync.todo |= SYNC_NEW;
        else if (f->facts.msgs.live)
            f->sync.todo |= SYNC_UIDS;
        return;
    }
    if (s->exists > f->facts.msgs.live || dirty & CHANGE_EXISTS ||
        (s->fresh && s->uidnext > f->sync.from))
        f->sync.todo |= SYNC_NEW;
    if (s->exists < f->facts.msgs.live || dirty & CHANGE_EXPUNGE || holes_due(f))
        f->sync.todo |= SYNC_UIDS;
    bool flags_changed = s->resynced ? false : s->modseq ? s->modseq > f->facts.modseq : s->fresh;
    if ((flags_changed || dirty & CHANGE_FLAGS) && s->exists)
        f->sync.todo |= SYNC_FLAGS;
}

static void on_look_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    if (f && f->sync.look != op)
        f = NULL; /* the folder has turned out to be no mailbox, and to be one, meanwhile */
    if (f) {
        f->sync.look = NULL;
        f->sync.patient = false;
    }
    if (f && op->patient && op->err) {
        /* Not again and again; but what is known is not to be believed until somebody asks. */
        f->watch.hints = f->sync.hints = 0;
        folder_expire(f);
    }
    if (op->patient && (op->err == -EIO || op->err == -ENOENT)) {
        watch_tree(a); /* perhaps the mailbox is gone */
    }
    if (f && !op->err)
        plan(a, f, &op->state);
    step_done(a, op, f);
}

/* `probe`: only this message is wanted, of a folder that is not loaded; 0: all that is new. */
static void sync_begin(struct account *a, struct folder *f, uint32_t probe)
{
    f->sync.on = true;
    f->sync.probe.on = probe != 0;
    f->sync.probe.uid = probe;
    f->sync.hints = 0;
    f->sync.todo = 0;
    f->sync.began = clock_ms();
    if (f->facts.loaded)
        f->sync.from = f->facts.uidnext ? f->facts.uidnext : 1;
    if (probe && f->facts.uidvalidity) {
        f->sync.todo = SYNC_PROBE; /* looks and asks in one round trip */
        sync_step(a, f);
        return;
    }
    /* UIDVALIDITY is what the look is to find out, so none is demanded. */
    struct op *op = account_op(a, OP_CHECK, f->facts.wire, 0, on_look_done);
    op->cookie = f->gen;
    op->modseq = f->facts.loaded ? f->facts.modseq : 0;
    op->modseq_validity = f->facts.uidvalidity;
    op->patient = f->sync.patient;
    op->thorough = f->watch.thorough;
    op->changed = f->watch.hints & (CHANGE_EXISTS | CHANGE_EXPUNGE | CHANGE_FLAGS);
    f->watch.thorough = false;
    f->sync.look = op;
    pool_submit(a->pool, op);
}

void sync_outdated(struct account *a, struct folder *f)
{
    if (!f->sync.on)
        return;
    sync_over(f);
    if (f->facts.noselect) { /* there is nothing to wait for */
        waiters_move(&a->listings.orphans, &f->sync.waiters);
        waiters_move(&a->listings.orphans, &f->sync.row_waiters);
    } else if (f->sync.waiters || f->sync.row_waiters) {
        sync_begin(a, f, f->sync.probe.on ? f->sync.probe.uid : 0);
    }
}

/* After a waiter was added: sees to it that there is a sync for it to wait for. */
static void sync_join(struct account *a, struct folder *f, uint32_t probe)
{
    if (!f->sync.on) {
        sync_begin(a, f, probe);
    } else if (f->sync.patient) {
        f->sync.patient = false;
        if (f->sync.look)
            pool_hurry(a->pool,
                       f->sync.look); /* else it would wait as long as there is no server */
    }
}

void folder_contradicted(struct account *a, const struct op *op)
{
    struct folder *f = folder_by_wire(a, op->mailbox);
    if (!f || f->facts.uidvalidity != op->uidvalidity)
        return; /* known by now */
    f->watch.hints |= CHANGE_EXISTS | CHANGE_EXPUNGE;
    folder_expire(f);
    watch_folder(a, f);
}

void sync_due(struct account *a, struct folder *f)
{
    f->sync.patient = true;
    sync_begin(a, f, 0);
}

/* ---- questions ---- */

enum { BELIEVED = 5000 }; /* ms that the silence of a server is taken for news of none */

/* Is what is known not older than `since`? That is when a look began; or any time while the server
 * tells of changes as they happen, if there was a look after that connection had selected the
 * mailbox. A server that may tell of them later is believed for a short time. */
static bool is_fresh(struct account *a, struct folder *f, int64_t since)
{
    if (!f->watch.hints && !f->sync.on && f->fresh.synced_at >= pool_hears(a->pool, f->facts.wire))
        f->fresh.heard_at =
            pool_tells_at_once(a->pool) || clock_ms() < f->fresh.synced_at + BELIEVED
                ? clock_ms()
                : f->fresh.synced_at + BELIEVED;
    return f->facts.loaded && (f->fresh.synced_at >= since || f->fresh.heard_at >= since);
}

int account_sync(struct account *a, uint32_t folder, int64_t since, struct waiter *w)
{
    int result = 0;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (f)
        watch_used(f);
    if (!f) {
        result = -ESTALE;
    } else if (!f->facts.noselect && !is_fresh(a, f, since)) {
        waiter_add(&f->sync.waiters, w);
        sync_join(a, f, 0);
        result = -EINPROGRESS;
    }
    account_unlock(a);
    return result;
}

/* Is its name still on its way? */
static bool is_half(const struct folder *f, const struct msg *m)
{
    return !(m->flags & MSG_NAMED) && f->sync.on && (!f->facts.loaded || m->uid >= f->sync.from);
}

int account_list(struct account *a, uint32_t folder, uint64_t after, struct msg_info *out,
                 size_t max, size_t *n, struct waiter *w)
{
    int result = 0;
    *n = 0;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (!f) {
        result = -ESTALE;
    } else {
        watch_used(f);
        for (const struct msg *m; *n < max && (m = folder_next(f, after)) != NULL;) {
            after = msg_place(m);
            if (!f->facts.loaded && m->uid > f->facts.load_upto)
                break; /* met by a probe; those before it have not come yet */
            bool half = is_half(f, m);
            if (half && !f->facts.loaded)
                break;
            f->sync.left_out |= half;
            if (msg_visible(m) && !half)
                msg_describe(a, f, m, &out[(*n)++]);
        }
        if (*n == 0 && !f->facts.loaded && !f->facts.noselect) {
            waiter_add(&f->sync.row_waiters, w);
            if (!f->sync.hungry) {
                f->sync.hungry = true;
                f->sync.next_hungry = a->syncs.hungry;
                a->syncs.hungry = f;
            }
            sync_join(a, f, 0);
            result = -EINPROGRESS;
        }
    }
    account_unlock(a);
    return result;
}

static bool was_probed(const struct folder *f, uint32_t uid, int64_t since)
{
    for (size_t i = 0; i < PROBED; i++)
        if (f->fresh.probed[i].uid == uid && f->fresh.probed[i].at >= since)
            return true;
    return false;
}

/* Is `m`, of a folder that is not loaded, known well enough? It is if it came with the load that is
 * under way, was just moved here, or was asked for alone; and that may be long ago if, as in
 * is_fresh(), the server has been telling of changes ever since. */
static bool is_believed(struct account *a, struct folder *f, const struct msg *m, int64_t since)
{
    if (f->sync.on && !f->sync.probe.on)
        return true;
    if (f->fresh.none_at && f->fresh.none_at >= since && m->uid == f->fresh.none_from - 1)
        return true;
    if (was_probed(f, m->uid, since))
        return true;
    int64_t heard = pool_hears(a->pool, f->facts.wire);
    if (!pool_tells_at_once(a->pool) && heard < since - BELIEVED)
        heard = since - BELIEVED;
    return !(f->watch.hints & (CHANGE_EXPUNGE | CHANGE_FLAGS)) && was_probed(f, m->uid, heard);
}

int account_find(struct account *a, uint32_t folder, uint32_t uid, int64_t since,
                 struct msg_info *out, struct waiter *w)
{
    int result = -ENOENT;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    struct msg *m = f ? msgtable_find(&f->facts.msgs, uid) : NULL;
    if (f)
        watch_used(f);
    if (!f) {
        result = -ESTALE;
    } else if (m && !is_half(f, m) && (f->facts.loaded || is_believed(a, f, m, since))) {
        if (msg_visible(m)) {
            msg_describe(a, f, m, out);
            result = 0;
        }
    } else if (!m && f->fresh.none_at && f->fresh.none_at >= since && uid >= f->fresh.none_from) {
        result = -ENOENT; /* a UID that was not given out yet a moment ago */
    } else if (!f->facts.noselect &&
               (f->facts.loaded ? !is_fresh(a, f, since) : !was_probed(f, uid, since))) {
        /* One message of a folder that nobody listed is asked for alone: the folder may be huge. */
        waiter_add(&f->sync.waiters, w);
        sync_join(a, f, f->facts.loaded ? 0 : uid);
        result = -EINPROGRESS;
    }
    account_unlock(a);
    return result;
}

void account_look(struct account *a, uint32_t folder, int64_t since)
{
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (f && f->facts.loaded && !f->sync.on && !is_fresh(a, f, since)) {
        f->watch.hints |= CHANGE_POLL;
        watch_folder(a, f);
    }
    account_unlock(a);
}

void folder_recheck(struct account *a, struct folder *f, uint32_t uid, struct waiter *waiters)
{
    waiters_move(&f->sync.waiters, &waiters);
    f->watch.hints |= CHANGE_EXPUNGE;
    sync_join(a, f, f->facts.loaded ? 0 : uid);
}
