/* The look with which a sync begins, and what follows from it. */
#include "cache/sync.h"

#include <errno.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "imap/base/log.h"

/* Is it another mailbox than the one that is known? A UID is given out once under one UIDVALIDITY;
 * but where that is the time in seconds, a mailbox deleted and made anew may have the same. */
static bool is_remade(const struct folder_facts *known, const struct mailbox_state *now)
{
    bool before = known->loaded && now->current && now->uidnext && now->uidnext < known->uidnext &&
                  !known->uidnext_odd;
    if (before)
        log_info("%s: UIDNEXT is %u, and there was a UID %u: loading it anew", known->wire,
                 now->uidnext, known->uidnext - 1);
    else if (known->uidvalidity != now->uidvalidity && known->uidvalidity)
        log_info("%s: UIDVALIDITY is %u, was %u: loading it anew", known->wire, now->uidvalidity,
                 known->uidvalidity);
    return before || (known->uidvalidity != now->uidvalidity &&
                      (known->uidvalidity || known->loaded || known->msgs.n));
}

/* A UID that is not given out yet needs no question. */
static void plan_probe(struct sync *s, const struct mailbox_state *now)
{
    bool none = now->fresh && now->uidnext && s->probe >= now->uidnext;
    s->todo |= now->exists && !none ? SYNC_PROBE : 0;
}

/* A load that broke off goes on where it was; holes are found by counting. */
static void plan_load(struct sync *s, const struct mailbox_state *now)
{
    const struct folder_facts *known = &s->folder->facts;
    s->from = known->load_upto < UINT32_MAX ? known->load_upto + 1 : known->load_upto;
    s->load = (struct load){.on = now->exists > 0, .uidnext = now->current ? now->uidnext : 0};
    if (now->exists)
        s->todo |= SYNC_NEW;
    else if (known->msgs.live)
        s->todo |= SYNC_UIDS;
}

static void plan_news(struct sync *s, const struct mailbox_state *now)
{
    const struct folder_facts *known = &s->folder->facts;
    if (now->exists > known->msgs.live || s->hints & CHANGE_EXISTS ||
        (now->fresh && now->uidnext > s->from))
        s->todo |= SYNC_NEW;
    if (now->exists < known->msgs.live || s->hints & CHANGE_EXPUNGE || holes_due(s))
        s->todo |= SYNC_UIDS;
    bool flags_changed = now->resynced ? false
                         : now->modseq ? now->modseq > known->modseq
                                       : now->fresh;
    if ((flags_changed || s->hints & CHANGE_FLAGS) && now->exists)
        s->todo |= SYNC_FLAGS;
}

static void plan(struct account *a, struct sync *s, const struct mailbox_state *now)
{
    struct folder *f = s->folder;
    if (is_remade(&f->facts, now)) {
        folder_forget(a, f);
        s->gen = f->gen;
    }
    /* What LIST said is old by now; when it says so, too, nothing is to be begun anew for that. */
    f->news.version += f->facts.noselect;
    f->facts.noselect = false;
    f->facts.uidvalidity = now->uidvalidity;
    s->exists = now->exists;
    s->modseq = now->modseq > f->facts.modseq ? now->modseq : f->facts.modseq;
    if (s->probe) {
        plan_probe(s, now);
        return;
    }
    s->hints = f->watch.hints;
    f->watch.hints = 0;
    if (f->facts.loaded) {
        plan_news(s, now);
        return;
    }
    pool_warm(a->pool); /* who lists may read */
    plan_load(s, now);
}

static void on_look_done(struct op *op)
{
    struct account *a = op->ctx;
    account_lock(a);
    struct sync *s = sync_of_step(a, op);
    if (s) {
        s->look = NULL;
        s->patient = false;
    }
    if (s && op->patient && op->err) {
        /* Not again and again; but what is known is not to be believed until somebody asks. */
        s->folder->watch.hints = s->hints = 0;
        fresh_expire(&s->folder->fresh);
    }
    if (op->patient && (op->err == -EIO || op->err == -ENOENT))
        watch_tree(a); /* perhaps the mailbox is gone */
    if (s && !op->err)
        plan(a, s, &op_as_check(op)->state);
    sync_step_done(a, op, s);
}

void sync_look(struct account *a, struct sync *s)
{
    struct folder *f = s->folder;
    /* UIDVALIDITY is what the look is to find out, so none is demanded. */
    struct op_check *look = op_check_new(f->facts.wire);
    look->op.cookie = s->number;
    look->op.patient = s->patient;
    look->modseq = f->facts.loaded ? f->facts.modseq : 0;
    look->modseq_validity = f->facts.uidvalidity;
    look->thorough = f->watch.thorough;
    look->changed = f->watch.hints & (CHANGE_EXISTS | CHANGE_EXPUNGE | CHANGE_FLAGS);
    f->watch.thorough = false;
    s->look = &look->op;
    pool_submit(a->pool, account_op(a, &look->op, on_look_done));
}
