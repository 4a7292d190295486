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
#include "cache/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

/* ---- listings that overtake a load ---- */

static void hungry_remove(struct account *a, struct folder *f)
{
    for (struct folder **h = &a->hungry; *h; h = &(*h)->next_hungry)
        if (*h == f) {
            *h = f->next_hungry;
            break;
        }
    f->hungry = false;
}

void sync_on_batch(void *account)
{
    struct account *a = account;
    struct waiter *woken = NULL;
    account_lock(a);
    while (a->hungry) {
        struct folder *f = a->hungry;
        hungry_remove(a, f);
        waiters_move(&woken, &f->row_waiters);
    }
    account_unlock(a);
    wake_all(woken, 0);
}

/* ---- one sync ---- */

enum { PROBED = sizeof((struct folder *)NULL)->probed / sizeof *((struct folder *)NULL)->probed };

static void sync_step(struct account *a, struct folder *f);

enum {
    RETRY_LATER = 5000, /* ms after a look that failed, if nobody asks */
    MAX_RESTARTS = 3,   /* of a sync that hears of another UIDVALIDITY each time */
};

static void sync_over(struct folder *f)
{
    f->syncing = f->loading = f->patient = false;
    f->look = NULL;
    f->todo = 0;
    f->version += f->left_out; /* from now on listings have it, be it without a name */
    f->left_out = false;
    f->counting = f->asking = false;
    holes_end(f);
    uidset_free(&f->counted);
    uidset_free(&f->went);
}

/* Ends the sync; returns those to be woken once the lock is released. */
static struct waiter *sync_end(struct account *a, struct folder *f, int err)
{
    sync_over(f);
    f->restarts = 0;
    if (err)
        f->dirty |= f->sync_dirty;
    if (!err && f->probing) {
        f->probed[f->nprobed % PROBED].uid = f->probe;
        f->probed[f->nprobed++ % PROBED].at = f->sync_began;
    } else if (!err) {
        if (!f->loaded && f->uidnext_said && f->uidnext > f->uidnext_said &&
            f->msgs.live <= f->exists)
            f->uidnext_odd = true; /* not even now, and nothing has come since */
        f->loaded = true;
        f->synced_at = f->sync_began;
        f->modseq = f->modseq_next;
        msgtable_compact(&f->msgs);
    }
    struct waiter *woken = waiters_take(&f->sync_waiters);
    waiters_move(&woken, &f->row_waiters);
    if (f->hungry)
        hungry_remove(a, f);
    if (err && f->loaded && f->dirty)
        f->due_next = clock_ms() + RETRY_LATER;
    if (!err && !f->probing)
        folder_meet(a, f);
    else if (f->met)
        folder_tell(a, f);
    watch_folder(a, f);
    return woken;
}

/* Every step ends here: its folder is looked up again, since it may be gone, or another one. */
static struct folder *step_folder(struct account *a, const struct op *op)
{
    struct folder *f = folder_by_gen(a, (uint32_t)op->cookie);
    return f && f->syncing ? f : NULL;
}

/* For the account's lock; returns without it. */
static void step_end(struct account *a, struct op *op, struct folder *f)
{
    struct waiter *woken = NULL;
    int err = op->err;
    if (f && err == -ESTALE && f->restarts < MAX_RESTARTS) {
        f->restarts++;
        folder_reset(a, f);
        folder_tell(a, f);
    } else if (f && err) {
        if (err == -ESTALE)
            folder_forget(a, f);
        woken = sync_end(a, f, err);
    } else if (f && !f->todo) {
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
    if (f && f->msgs.failed) {
        log_error("%s: out of memory for what is in it", f->wire);
        op->err = op->err ? op->err : -ENOMEM;
        f->msgs.failed = false;
    }
    if (f && (op->err == -EIO || op->err == -ENOENT) && (f->sync_waiters || f->row_waiters)) {
        op->next = a->doubted;
        a->doubted = op;
        tree_doubt(a);
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
        orphans = waiters_take(&a->orphans);
        f = NULL;
    }
    step_end(a, op, f);
    wake_all(orphans, 0);
}

/* All messages up to here are known. Not so up to the last one in the table: this mount may just
 * have moved that one here, behind others that have not been asked for yet. */
static void note_met(struct folder *f, uint32_t uid)
{
    if (uid >= f->uidnext && uid)
        f->uidnext = uid < UINT32_MAX ? uid + 1 : uid;
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
        note_met(f, f->met_upto);
        /* Fewer rows than messages: some were expunged, or could not be shown. */
        if (refused || f->msgs.live != f->exists)
            f->todo |= SYNC_UIDS;
    }
    step_done(a, op, f);
}

static void on_flags_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    if (f && forgive(op)) {
        f->modseq_next = f->modseq; /* they are asked for again */
        f->todo |= SYNC_UIDS;
    }
    step_done(a, op, f);
}

/* `found` are UIDs that there are; if they are all there are (`whole`), what is not among them is
 * gone. */
static void compare_uids(struct account *a, struct folder *f, const struct uidset *found,
                         bool whole)
{
    struct msgplace at = {0};
    f->asking = false;
    for (struct msg *m; (m = msgtable_walk(&f->msgs, &at)) != NULL;) {
        bool there = uidset_has(found, m->uid);
        bool gone = m->flags & MSG_GONE;
        /* What arrived after the question is not in the answer. What went after it may be all the
         * same; what went before was taken for gone on a server's word that it takes back. */
        if (!gone && !there && whole && m->uid <= f->asked_upto)
            msg_drop(a, f, m);
        else if (gone && there && !uidset_has(&f->went, m->uid))
            folder_revive(f, m);
    }
    uidset_free(&f->went);
    holes_find(f, found);
}

/* A server that answers "all there are" with billions is not believed. */
static bool plausible(const struct folder *f, const struct uidset *found)
{
    return uidset_count(found) <= (uint64_t)f->exists + LIMIT_SEARCH_SLACK &&
           (found->n > 0 || f->exists == 0);
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
            log_warn("%s: SEARCH and EXISTS disagree about what there is: not believed", f->wire);
        f->todo |= SYNC_ROWS;
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
        f->counting = false;
        bool refused = f->counted.n && forgive(op);
        if (!op->err)
            compare_uids(a, f, &f->counted, !refused && uidset_count(&f->counted) >= f->exists);
        uidset_free(&f->counted);
    }
    step_done(a, op, f);
}

/* A probe without a row: the message is not there, or not any more. */
static void on_probe_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    struct msg *m = f ? msgtable_find(&f->msgs, f->probe) : NULL;
    if (m && !op->err && !f->probe_seen)
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
        if (!(f->todo & SYNC_HOLES))
            note_met(f, f->holes.upto);
    }
    step_done(a, op, f);
}

static void on_doubt_done(struct op *op)
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
    struct op *op = account_op(a, kind, f->wire, f->uidvalidity, done);
    op->cookie = f->gen;
    op->text = text;
    /* The step before may have gone over another connection, which knew of more. */
    op->refresh = kind == OP_SEARCH || (kind == OP_META && !f->loading);
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
    f->asked_upto = msgtable_last(&f->msgs);
    f->asking = true;
    uidset_free(&f->went);
    if (f->todo & SYNC_UIDS) {
        f->todo &= ~(unsigned)SYNC_UIDS;
        sync_submit(a, f, OP_SEARCH, mem_strdup("ALL"), on_uids_done);
    } else {
        f->todo &= ~(unsigned)SYNC_ROWS;
        f->counting = true;
        sync_submit(a, f, OP_FLAGS, mem_strdup("1:*"), on_counted);
    }
}

static void sync_step(struct account *a, struct folder *f)
{
    if (f->todo & SYNC_NEW) {
        f->todo &= ~(unsigned)SYNC_NEW;
        f->met_upto = 0;
        struct buf range = {0};
        buf_addf(&range, "%u:*", f->sync_from);
        sync_submit(a, f, OP_META, buf_steal(&range), on_new_done);
    } else if (f->todo & SYNC_FLAGS) {
        f->todo &= ~(unsigned)SYNC_FLAGS;
        struct op *op = step_op(a, f, OP_FLAGS, mem_strdup("1:*"), on_flags_done);
        op->modseq = f->modseq;
        pool_submit(a->pool, op);
    } else if (f->todo & SYNC_DOUBT) {
        f->todo &= ~(unsigned)SYNC_DOUBT;
        sync_submit(a, f, OP_FLAGS, holes_doubt(f), on_doubt_done);
    } else if (f->todo & (SYNC_UIDS | SYNC_ROWS)) {
        ask_uids(a, f);
    } else if (f->todo & SYNC_PROBE) {
        f->todo &= ~(unsigned)SYNC_PROBE;
        struct buf uid = {0};
        buf_addf(&uid, "%u", f->probe);
        f->probe_seen = false;
        sync_submit(a, f, OP_META, buf_steal(&uid), on_probe_done);
    } else {
        f->todo &= ~(unsigned)SYNC_HOLES;
        sync_submit(a, f, OP_META, holes_ask(f), on_holes_done);
    }
}

/* ---- the look ---- */

/* Is it another mailbox than the one that is known? A UID is given out once under one UIDVALIDITY;
 * but where that is the time in seconds, a mailbox deleted and made anew may have the same. */
static bool is_remade(const struct folder *f, const struct mailbox_state *s)
{
    bool before =
        f->loaded && s->current && s->uidnext && s->uidnext < f->uidnext && !f->uidnext_odd;
    if (before)
        log_info("%s: UIDNEXT is %u, and there was a UID %u: loading it anew", f->wire, s->uidnext,
                 f->uidnext - 1);
    else if (f->uidvalidity != s->uidvalidity && f->uidvalidity)
        log_info("%s: UIDVALIDITY is %u, was %u: loading it anew", f->wire, s->uidvalidity,
                 f->uidvalidity);
    return before ||
           (f->uidvalidity != s->uidvalidity && (f->uidvalidity || f->loaded || f->msgs.n));
}

static void plan(struct account *a, struct folder *f, const struct mailbox_state *s)
{
    if (is_remade(f, s))
        folder_forget(a, f);
    f->uidvalidity = s->uidvalidity;
    f->exists = s->exists;
    f->modseq_next = s->modseq > f->modseq ? s->modseq : f->modseq;
    unsigned dirty = f->sync_dirty = f->dirty;
    f->dirty = 0;
    if (f->probing) {
        f->dirty = dirty;
        f->sync_dirty = 0;
        /* A UID that is not given out yet needs no question. */
        bool none = s->fresh && s->uidnext && f->probe >= s->uidnext;
        f->todo |= s->exists && !none ? SYNC_PROBE : 0;
        return;
    }
    if (!f->loaded) {
        /* A load that broke off goes on where it was; holes are found by counting. */
        pool_warm(a->pool); /* who lists may read */
        f->sync_from = f->load_upto < UINT32_MAX ? f->load_upto + 1 : f->load_upto;
        f->uidnext_said = s->current ? s->uidnext : 0;
        f->loading = s->exists > 0;
        f->load_seq = 0;
        f->load_gap = false;
        if (s->exists)
            f->todo |= SYNC_NEW;
        else if (f->msgs.live)
            f->todo |= SYNC_UIDS;
        return;
    }
    if (s->exists > f->msgs.live || dirty & CHANGE_EXISTS ||
        (s->fresh && s->uidnext > f->sync_from))
        f->todo |= SYNC_NEW;
    if (s->exists < f->msgs.live || dirty & CHANGE_EXPUNGE || holes_due(f))
        f->todo |= SYNC_UIDS;
    bool flags_changed = s->resynced ? false : s->modseq ? s->modseq > f->modseq : s->fresh;
    if ((flags_changed || dirty & CHANGE_FLAGS) && s->exists)
        f->todo |= SYNC_FLAGS;
}

static void on_look_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct folder *f = step_folder(a, op);
    if (f && f->look != op)
        f = NULL; /* the folder has turned out to be no mailbox, and to be one, meanwhile */
    if (f) {
        f->look = NULL;
        f->patient = false;
    }
    if (f && op->patient && op->err) {
        /* Not again and again; but what is known is not to be believed until somebody asks. */
        f->dirty = f->sync_dirty = 0;
        folder_doubt(f);
    }
    if (op->patient && (op->err == -EIO || op->err == -ENOENT)) {
        a->tree_due = true; /* perhaps the mailbox is gone */
        pthread_cond_signal(&a->watch_cond);
    }
    if (f && !op->err)
        plan(a, f, &op->state);
    step_done(a, op, f);
}

/* `probe`: only this message is wanted, of a folder that is not loaded; 0: all that is new. */
static void sync_begin(struct account *a, struct folder *f, uint32_t probe)
{
    f->syncing = true;
    f->probing = probe != 0;
    f->probe = probe;
    f->sync_dirty = 0;
    f->todo = 0;
    f->sync_began = clock_ms();
    if (f->loaded)
        f->sync_from = f->uidnext ? f->uidnext : 1;
    if (probe && f->uidvalidity) {
        f->todo = SYNC_PROBE; /* looks and asks in one round trip */
        sync_step(a, f);
        return;
    }
    /* UIDVALIDITY is what the look is to find out, so none is demanded. */
    struct op *op = account_op(a, OP_CHECK, f->wire, 0, on_look_done);
    op->cookie = f->gen;
    op->modseq = f->loaded ? f->modseq : 0;
    op->modseq_validity = f->uidvalidity;
    op->patient = f->patient;
    op->thorough = f->polled;
    op->changed = f->dirty & (CHANGE_EXISTS | CHANGE_EXPUNGE | CHANGE_FLAGS);
    f->polled = false;
    f->look = op;
    pool_submit(a->pool, op);
}

void sync_outdated(struct account *a, struct folder *f)
{
    if (!f->syncing)
        return;
    sync_over(f);
    if (f->noselect) { /* there is nothing to wait for */
        waiters_move(&a->orphans, &f->sync_waiters);
        waiters_move(&a->orphans, &f->row_waiters);
    } else if (f->sync_waiters || f->row_waiters) {
        sync_begin(a, f, f->probing ? f->probe : 0);
    }
}

/* After a waiter was added: sees to it that there is a sync for it to wait for. */
static void sync_join(struct account *a, struct folder *f, uint32_t probe)
{
    if (!f->syncing) {
        sync_begin(a, f, probe);
    } else if (f->patient) {
        f->patient = false;
        if (f->look)
            pool_hurry(a->pool, f->look); /* else it would wait as long as there is no server */
    }
}

void folder_contradicted(struct account *a, const struct op *op)
{
    struct folder *f = folder_by_wire(a, op->mailbox);
    if (!f || f->uidvalidity != op->uidvalidity)
        return; /* known by now */
    f->dirty |= CHANGE_EXISTS | CHANGE_EXPUNGE;
    folder_doubt(f);
    watch_folder(a, f);
}

void sync_due(struct account *a, struct folder *f)
{
    f->patient = true;
    sync_begin(a, f, 0);
}

/* ---- questions ---- */

enum { BELIEVED = 5000 }; /* ms that the silence of a server is taken for news of none */

/* Is what is known not older than `since`? That is when a look began; or any time while the server
 * tells of changes as they happen, if there was a look after that connection had selected the
 * mailbox. A server that may tell of them later is believed for a short time. */
static bool is_fresh(struct account *a, struct folder *f, int64_t since)
{
    if (!f->dirty && !f->syncing && f->synced_at >= pool_hears(a->pool, f->wire))
        f->told_at = pool_tells_at_once(a->pool) || clock_ms() < f->synced_at + BELIEVED
                         ? clock_ms()
                         : f->synced_at + BELIEVED;
    return f->loaded && (f->synced_at >= since || f->told_at >= since);
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
    } else if (!f->noselect && !is_fresh(a, f, since)) {
        waiter_add(&f->sync_waiters, w);
        sync_join(a, f, 0);
        result = -EINPROGRESS;
    }
    account_unlock(a);
    return result;
}

/* Is its name still on its way? */
static bool is_half(const struct folder *f, const struct msg *m)
{
    return !(m->flags & MSG_NAMED) && f->syncing && (!f->loaded || m->uid >= f->sync_from);
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
            if (!f->loaded && m->uid > f->load_upto)
                break; /* met by a probe; those before it have not come yet */
            bool half = is_half(f, m);
            if (half && !f->loaded)
                break;
            f->left_out |= half;
            if (msg_visible(m) && !half)
                msg_describe(a, f, m, &out[(*n)++]);
        }
        if (*n == 0 && !f->loaded && !f->noselect) {
            waiter_add(&f->row_waiters, w);
            if (!f->hungry) {
                f->hungry = true;
                f->next_hungry = a->hungry;
                a->hungry = f;
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
        if (f->probed[i].uid == uid && f->probed[i].at >= since)
            return true;
    return false;
}

/* Is `m`, of a folder that is not loaded, known well enough? It is if it came with the load that is
 * under way, was just moved here, or was asked for alone; and that may be long ago if, as in
 * is_fresh(), the server has been telling of changes ever since. */
static bool is_believed(struct account *a, struct folder *f, const struct msg *m, int64_t since)
{
    if (f->syncing && !f->probing)
        return true;
    if (f->none_at && f->none_at >= since && m->uid == f->none_from - 1)
        return true;
    if (was_probed(f, m->uid, since))
        return true;
    int64_t heard = pool_hears(a->pool, f->wire);
    if (!pool_tells_at_once(a->pool) && heard < since - BELIEVED)
        heard = since - BELIEVED;
    return !(f->dirty & (CHANGE_EXPUNGE | CHANGE_FLAGS)) && was_probed(f, m->uid, heard);
}

int account_find(struct account *a, uint32_t folder, uint32_t uid, int64_t since,
                 struct msg_info *out, struct waiter *w)
{
    int result = -ENOENT;
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    struct msg *m = f ? msgtable_find(&f->msgs, uid) : NULL;
    if (f)
        watch_used(f);
    if (!f) {
        result = -ESTALE;
    } else if (m && !is_half(f, m) && (f->loaded || is_believed(a, f, m, since))) {
        if (msg_visible(m)) {
            msg_describe(a, f, m, out);
            result = 0;
        }
    } else if (!m && f->none_at && f->none_at >= since && uid >= f->none_from) {
        result = -ENOENT; /* a UID that was not given out yet a moment ago */
    } else if (!f->noselect && (f->loaded ? !is_fresh(a, f, since) : !was_probed(f, uid, since))) {
        /* One message of a folder that nobody listed is asked for alone: the folder may be huge. */
        waiter_add(&f->sync_waiters, w);
        sync_join(a, f, f->loaded ? 0 : uid);
        result = -EINPROGRESS;
    }
    account_unlock(a);
    return result;
}

void account_look(struct account *a, uint32_t folder, int64_t since)
{
    account_lock(a);
    struct folder *f = folder_by_id(a, folder);
    if (f && f->loaded && !f->syncing && !is_fresh(a, f, since)) {
        f->dirty |= CHANGE_POLL;
        watch_folder(a, f);
    }
    account_unlock(a);
}

void folder_recheck(struct account *a, struct folder *f, uint32_t uid, struct waiter *waiters)
{
    waiters_move(&f->sync_waiters, &waiters);
    f->dirty |= CHANGE_EXPUNGE;
    sync_join(a, f, f->loaded ? 0 : uid);
}
