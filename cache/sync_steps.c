/* The steps of a sync: what each asks, and what its answer means. */
#include "cache/sync.h"

#include <errno.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

/* ---- answers ---- */

/* All messages up to here are known. Not so up to the last one in the table: this mount may just
 * have moved that one here, behind others that have not been asked for yet. */
static void note_met(struct folder_facts *facts, uint32_t uid)
{
    if (uid >= facts->uidnext && uid)
        facts->uidnext = uid < UINT32_MAX ? uid + 1 : uid;
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
    struct sync *s = sync_of_step(a, op);
    bool refused = s && forgive(op);
    if (s && !op->err && !s->folder->facts.msgs.failed) {
        note_met(&s->folder->facts, s->met_upto);
        /* Fewer rows than messages: some were expunged, or could not be shown. */
        if (refused || s->folder->facts.msgs.live != s->exists)
            s->todo |= SYNC_UIDS;
    }
    sync_step_done(a, op, s);
}

static void on_flags_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct sync *s = sync_of_step(a, op);
    if (s && forgive(op)) {
        s->modseq = s->folder->facts.modseq; /* they are asked for again */
        s->todo |= SYNC_UIDS;
    }
    sync_step_done(a, op, s);
}

/* `found` are UIDs that there are; if they are all there are (`whole`), what is not among them is
 * gone. */
static void compare_uids(struct account *a, struct sync *s, const struct uidset *found, bool whole)
{
    struct folder *f = s->folder;
    struct msgplace at = {0};
    s->census.on = false;
    for (struct msg *m; (m = msgtable_walk(&f->facts.msgs, &at)) != NULL;) {
        bool there = uidset_has(found, m->uid);
        bool gone = m->flags & MSG_GONE;
        /* What arrived after the question is not in the answer. What went after it may be all the
         * same; what went before was taken for gone on a server's word that it takes back. */
        if (!gone && !there && whole && m->uid <= s->census.upto)
            msg_drop(a, f, m);
        else if (gone && there && !uidset_has(&s->census.went, m->uid))
            folder_revive(f, m);
    }
    uidset_free(&s->census.went);
    holes_find(s, found);
}

/* A server that answers "all there are" with billions is not believed. */
static bool is_plausible(const struct sync *s, const struct uidset *found)
{
    return uidset_count(found) <= (uint64_t)s->exists + LIMIT_SEARCH_SLACK &&
           (found->n > 0 || s->exists == 0);
}

static void on_uids_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct sync *s = sync_of_step(a, op);
    bool refused = s && op->err != -ENOENT && forgive(op);
    const struct uidset *found = &op_as_search(op)->found;
    if (s && s->folder->facts.msgs.failed) {
        /* What is not noted for want of memory proves nothing: the sync ends with that. */
    } else if (s && !op->err && !refused && is_plausible(s, found)) {
        compare_uids(a, s, found, true);
    } else if (s && !op->err) {
        if (!refused)
            log_warn("%s: SEARCH and EXISTS disagree about what there is: not believed",
                     s->folder->facts.wire);
        s->todo |= SYNC_ROWS;
    }
    sync_step_done(a, op, s);
}

/* If that is refused, too, and not one row comes, nothing can be known of the folder. */
static void on_rows_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct sync *s = sync_of_step(a, op);
    if (s) {
        struct uidset *rows = &s->census.rows;
        s->census.by_rows = false;
        bool refused = rows->n && forgive(op);
        if (!op->err && !s->folder->facts.msgs.failed)
            compare_uids(a, s, rows, !refused && uidset_count(rows) >= s->exists);
        uidset_free(rows);
    }
    sync_step_done(a, op, s);
}

/* A probe without a row: the message is not there, or not any more. */
static void on_probe_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct sync *s = sync_of_step(a, op);
    struct msg *m = s ? msgtable_find(&s->folder->facts.msgs, s->probe) : NULL;
    if (m && !op->err && !s->probe_seen)
        msg_drop(a, s->folder, m);
    sync_step_done(a, op, s);
}

static void on_holes_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct sync *s = sync_of_step(a, op);
    bool refused = s && forgive(op);
    if (s && !op->err && !s->folder->facts.msgs.failed) {
        holes_answered(s, refused);
        if (!(s->todo & SYNC_HOLES))
            note_met(&s->folder->facts, s->holes.upto);
    }
    sync_step_done(a, op, s);
}

static void on_bare_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct sync *s = sync_of_step(a, op);
    if (s)
        forgive(op);
    sync_step_done(a, op, s);
}

/* ---- questions ---- */

static struct op *step_op(struct account *a, const struct sync *s, struct op *op,
                          void (*done)(struct op *))
{
    op->cookie = s->number;
    return account_op(a, op, done);
}

/* The step before may have gone over another connection, which knew of more: so what asks what
 * there is asks for what is new, too. The text of each is the operation's. */
static struct op *meta_op(struct account *a, const struct sync *s, char *uids,
                          void (*done)(struct op *))
{
    const struct folder_facts *facts = &s->folder->facts;
    struct op_meta *meta = op_meta_new(facts->wire, facts->uidvalidity, uids);
    meta->refresh = !s->load.on;
    return step_op(a, s, &meta->op, done);
}

static struct op *flags_op(struct account *a, const struct sync *s, char *uids, uint64_t modseq,
                           void (*done)(struct op *))
{
    const struct folder_facts *facts = &s->folder->facts;
    struct op_flags *flags = op_flags_new(facts->wire, facts->uidvalidity, uids);
    flags->modseq = modseq;
    return step_op(a, s, &flags->op, done);
}

static struct op *search_op(struct account *a, const struct sync *s, char *keys,
                            void (*done)(struct op *))
{
    const struct folder_facts *facts = &s->folder->facts;
    struct op_search *search = op_search_new(facts->wire, facts->uidvalidity, keys);
    search->refresh = true;
    return step_op(a, s, &search->op, done);
}

static void ask_uids(struct account *a, struct sync *s)
{
    struct op *op;
    /* What this mount moves into the folder from now on may be too new for the answer. */
    s->census.upto = msgtable_last(&s->folder->facts.msgs);
    s->census.on = true;
    uidset_free(&s->census.went);
    if (s->todo & SYNC_UIDS) {
        s->todo &= ~(unsigned)SYNC_UIDS;
        op = search_op(a, s, mem_strdup("ALL"), on_uids_done);
    } else {
        s->todo &= ~(unsigned)SYNC_ROWS;
        s->census.by_rows = true;
        op = flags_op(a, s, mem_strdup("1:*"), 0, on_rows_done);
    }
    pool_submit(a->pool, op);
}

void sync_step(struct account *a, struct sync *s)
{
    struct buf set = {0};
    struct op *op;
    if (s->todo & SYNC_NEW) {
        s->todo &= ~(unsigned)SYNC_NEW;
        s->met_upto = 0;
        buf_addf(&set, "%u:*", s->from);
        op = meta_op(a, s, buf_steal(&set), on_new_done);
    } else if (s->todo & SYNC_FLAGS) {
        s->todo &= ~(unsigned)SYNC_FLAGS;
        op = flags_op(a, s, mem_strdup("1:*"), s->folder->facts.modseq, on_flags_done);
    } else if (s->todo & SYNC_BARE) {
        s->todo &= ~(unsigned)SYNC_BARE;
        op = flags_op(a, s, holes_take_undescribed(&s->holes), 0, on_bare_done);
    } else if (s->todo & (SYNC_UIDS | SYNC_ROWS)) {
        ask_uids(a, s);
        return;
    } else if (s->todo & SYNC_PROBE) {
        s->todo &= ~(unsigned)SYNC_PROBE;
        s->probe_seen = false;
        buf_addf(&set, "%u", s->probe);
        op = meta_op(a, s, buf_steal(&set), on_probe_done);
    } else {
        s->todo &= ~(unsigned)SYNC_HOLES;
        op = meta_op(a, s, holes_ask(&s->holes), on_holes_done);
    }
    pool_submit(a->pool, op);
}
