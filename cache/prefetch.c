/* Bodies asked for ahead of who walks a folder.
 *
 * Who reads message after message, as grep -r does, would wait one round trip for each. So where a
 * walk is going (walk.h), messages are asked for in sets, in several batches under way at once.
 * What arrives before its reader goes up to be put into the kernel's page cache, where he finds it
 * without asking us.
 *
 * Not being asked, we would not know how far he is: so of each batch the message that he comes to
 * last is kept back here. When he asks for it, he is there, and the next batch goes out. Nobody
 * asks when the walk has ended, and then nothing more is fetched: what is ahead of the reader is
 * bounded by what he has walked, and by `prefetch`. Of a message larger than a first window only
 * that much is fetched, which reading its first byte would fetch as well, unless the walk reads
 * such messages on.
 *
 * What several readers are waiting for goes the same way: whatever has not left yet when the next
 * one comes leaves together with what he asks for. */
#include "cache/prefetch.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/mem.h"

enum {
    FIRST_AHEAD = 128 * 1024, /* bytes ahead when a walk is noticed */
    AHEAD_PER_WALKED = 4,     /* bytes ahead for each that was walked */
    MOST_SHARED = 256 * 1024, /* bytes ahead over a connection that lists, too, at most */
    BATCH_LEAST = 64 * 1024,  /* bytes of a batch */
    BATCH_MOST = 1024 * 1024,
    BATCH_MESSAGES = 1000,
    TOGETHER = 32, /* messages asked for together because somebody waits for each */
};

/* Who waits for a message of a batch. */
struct awaited {
    struct awaited *next;
    uint32_t uid;
    struct waiter *waiters;
};

struct batch {
    struct batch *prev, *next;
    struct account *a;
    struct op_bodies *op;
    uint32_t gen;
    uint32_t kept;         /* the UID that is kept back; 0: all of them are */
    struct uidset pending; /* what has not come yet */
    size_t n;              /* messages asked for */
    size_t len;            /* bytes of each message, at most */
    uint64_t left;         /* bytes still expected */
    size_t *inflight;      /* the sum that those bytes are part of */
    int64_t began;         /* clock_ms() */
    struct awaited *awaited;
};

/* ---- batches ---- */

static struct batch *batch_of(struct account *a, uint32_t gen, uint32_t uid)
{
    struct batch *b;
    DL_FOREACH (a->ahead.batches, b) {
        if (b->gen == gen && uidset_has(&b->pending, uid))
            return b;
    }
    return NULL;
}

static struct waiter *take_awaited(struct batch *b, uint32_t uid)
{
    for (struct awaited **at = &b->awaited; *at; at = &(*at)->next) {
        struct awaited *found = *at;
        if (found->uid != uid)
            continue;
        struct waiter *waiters = found->waiters;
        *at = found->next;
        free(found);
        return waiters;
    }
    return NULL;
}

/* Are these bytes certainly the whole message, as long as was announced, and is it not the one kept
 * back? */
static bool can_go_up(const struct account *a, const struct batch *b, const struct msg *m,
                      uint64_t announced, size_t got)
{
    return a->hooks.msg_bytes && b->kept && m->uid != b->kept && m->flags & MSG_SIZED &&
           got == m->size && got == announced && got < BODY_FIRST_WINDOW;
}

static void on_ahead_bytes(struct op_bodies *op, uint32_t uid, struct blob *bytes)
{
    struct batch *b = op->op.ctx;
    struct account *a = b->a;
    struct folder *f;
    if (!bytes)
        return; /* whoever needs it asks for it alone */
    account_lock(a);
    uint64_t came = bytes->len < b->left ? bytes->len : b->left;
    b->left -= came;
    *b->inflight -= came;
    if (op->op.background)
        a->ahead.n_bytes += bytes->len;
    uidset_remove(&b->pending, uid);
    struct waiter *waiters = take_awaited(b, uid);
    const struct msg *m = msg_by_number(a, b->gen, uid, &f);
    if (m && m->uid == uid && f->gen == b->gen) {
        uint64_t announced = m->size;
        body_take(a, f, uid, bytes, b->len);
        if (!waiters && can_go_up(a, b, m, announced, bytes->len)) {
            a->ahead.inflight += bytes->len; /* until account_stored() */
            a->hooks.msg_bytes(a->hooks.ctx, b->gen, uid, blob_ref(bytes));
        }
    }
    account_unlock(a);
    blob_unref(bytes);
    wake_all(waiters, 0);
}

/* Who still waits when the batch is done has missed something. He asks again, for himself; unless
 * he has waited for as long as he would have then. */
static int missed(const struct account *a, const struct batch *b)
{
    const struct op *op = &b->op->op;
    bool late = op->err == -ETIMEDOUT || clock_ms() - b->began >= a->config->pool.timeout;
    return !op->background && (b->n == 1 || late) ? op->err : 0;
}

static void on_ahead_done(struct op *op)
{
    struct batch *b = op->ctx;
    struct account *a = b->a;
    struct waiter *waiters = NULL;
    account_lock(a);
    if (op->err == -ESTALE)
        sync_contradicted(a, op);
    DL_DELETE(a->ahead.batches, b);
    *b->inflight -= b->left;
    while (b->awaited) {
        body_apart(a, b->gen, b->awaited->uid);
        waiters_move(&waiters, &(struct waiter *){take_awaited(b, b->awaited->uid)});
    }
    account_unlock(a);
    wake_all(waiters, missed(a, b));
    uidset_free(&b->pending);
    op_free(op);
    free(b);
}

void account_stored(struct account *a, uint32_t gen, uint32_t uid, size_t len, bool stored)
{
    account_lock(a);
    a->ahead.inflight -= len;
    struct folder *f = folder_by_gen(a, gen);
    struct msg *m = f ? msgtable_find(&f->facts.msgs, uid) : NULL;
    if (stored && m)
        m->flags |= MSG_STORED;
    if (stored && m)
        header_keep(a, f, m);
    if (stored)
        body_release(a, gen, uid); /* the kernel has it */
    account_unlock(a);
}

/* ---- asking ---- */

static size_t ahead_limit(const struct account *a, const struct walk_lead *lead)
{
    uint64_t limit = AHEAD_PER_WALKED * walk_evidence(lead);
    size_t most = a->config->prefetch;
    if (lead->head)
        limit += FIRST_AHEAD;
    /* With but one connection a listing waits behind all that is under way. */
    if (!pool_body_lane(a->pool) && most > MOST_SHARED)
        most = MOST_SHARED;
    return limit < most ? (size_t)limit : most;
}

/* Would the window end where the message is said to end? Then only one byte more tells whether it
 * does (see start_fetch()), and who reads it asks for that alone. */
static bool ends_with(const struct msg *m, size_t len)
{
    return m->size == len && !(m->flags & MSG_SIZED);
}

/* So many ranges of UIDs make a command of the length that is allowed. */
static size_t most_ranges(const struct msgtable *t)
{
    size_t digits = 1;
    for (uint32_t uid = msgtable_last(t); uid >= 10; uid /= 10)
        digits++;
    return (LIMIT_COMMAND - 100) / (2 * (digits + 1));
}

/* A set of messages to ask for. */
struct gathered {
    struct uidset set;
    size_t bytes, n;
    uint32_t last; /* the one that its reader comes to last */
};

static void gather(struct account *a, const struct folder *f, const struct walk_lead *lead,
                   size_t most, size_t len, struct gathered *out)
{
    bool whole = pool_ignores_windows(a->pool);
    size_t ranges = most_ranges(&f->facts.msgs);
    struct place at;
    const struct msg *m;
    while (out->bytes < most && out->n < BATCH_MESSAGES &&
           (m = walk_next(lead, &f->facts.msgs, &at)) != NULL) {
        bool known = f->facts.loaded || m->uid <= f->facts.load_upto;
        if (!known && lead->side == WALK_UP)
            break; /* the listing is on its way there */
        bool wanted = known && msg_visible(m) && (lead->r->evicted || !(m->flags & MSG_STORED)) &&
                      !ends_with(m, len) && !(whole && msg_size(m) > len) &&
                      !body_known(a, f->gen, m->uid) && !batch_of(a, f->gen, m->uid);
        /* A set with many gaps makes a long command: the rest comes in the next one. */
        if (wanted && out->set.n >= ranges && !uidset_touches(&out->set, m->uid))
            break;
        walk_pass(lead, at, m, wanted);
        if (!wanted)
            continue;
        uidset_add(&out->set, m->uid, m->uid);
        out->bytes += walk_share(lead->r, m);
        out->n++;
        out->last = m->uid;
    }
}

/* A batch of no message yet. */
static struct batch *new_batch(struct account *a, const struct folder *f, size_t len, bool ahead)
{
    struct batch *b = mem_zalloc(sizeof *b);
    b->a = a;
    b->gen = f->gen;
    b->len = len;
    b->inflight = ahead ? &a->ahead.inflight : &a->bodies.inflight;
    b->began = clock_ms();
    b->op = op_bodies_new(f->facts.wire, f->facts.uidvalidity);
    b->op->len = (uint32_t)len;
    b->op->on_bytes = on_ahead_bytes;
    b->op->op.background = ahead;
    b->op->op.done = on_ahead_done;
    b->op->op.ctx = b;
    DL_APPEND(a->ahead.batches, b);
    return b;
}

static void expect(struct batch *b, size_t n, uint64_t bytes)
{
    b->n += n;
    b->left += bytes;
    *b->inflight += bytes;
}

static void submit(struct account *a, const struct folder *f, struct gathered *g, size_t len,
                   bool keep_all)
{
    struct batch *b = new_batch(a, f, len, true);
    b->kept = keep_all ? 0 : g->last;
    b->op->uids = g->set;
    for (size_t i = 0; i < g->set.n; i++)
        uidset_add(&b->pending, g->set.r[i].lo, g->set.r[i].hi);
    expect(b, g->n, g->bytes);
    pool_submit(a->pool, &b->op->op);
}

void prefetch_free(struct account *a)
{
    walks_free(&a->ahead.walks);
}

struct walk_lead prefetch_read(struct account *a, const struct folder *f, struct msg *m,
                               uint64_t off, size_t len)
{
    struct walk_lead lead = {0};
    if (!a->config->prefetch || a->config->mark_seen)
        return lead;
    if (off == 0) {
        lead = walk_read(&a->ahead.walks, f->gen, &f->facts.msgs, m, f->facts.loaded, clock_ms());
        /* The kernel had it and let go of it: of what lies ahead, too. */
        if (lead.r && m->flags & MSG_STORED)
            lead.r->evicted = true;
        m->flags &= ~(uint32_t)MSG_STORED;
    }
    if (off + len > BODY_FIRST_WINDOW)
        walk_read_on(&a->ahead.walks, f->gen, m->uid);
    return lead;
}

void prefetch_more(struct account *a, const struct folder *f, const struct walk_lead *lead)
{
    while (lead->r) {
        size_t limit = ahead_limit(a, lead), most = limit / 4, len = walk_window(lead->r);
        most = most < BATCH_LEAST ? BATCH_LEAST : most > BATCH_MOST ? BATCH_MOST : most;
        /* A little is not worth a command. */
        if (walk_ahead(lead) + most > limit || a->ahead.inflight + most > a->config->prefetch)
            return;
        struct gathered g = {0};
        gather(a, f, lead, most, len, &g);
        if (!g.set.n)
            return;
        submit(a, f, &g, len, !lead->head);
    }
}

static void await(struct batch *b, uint32_t uid, struct waiter *w)
{
    struct awaited *at = b->awaited;
    while (at && at->uid != uid)
        at = at->next;
    if (!at) {
        at = mem_zalloc(sizeof *at);
        at->uid = uid;
        at->next = b->awaited;
        b->awaited = at;
    }
    waiter_add(&at->waiters, w);
}

/* Takes a message out of a batch that still waits for a connection: true. */
static bool withdraw(struct account *a, struct batch *b, const struct msg *m)
{
    if (!pool_amend(a->pool, b->op, m->uid, false))
        return false;
    uint64_t bytes = msg_size(m) < b->len ? msg_size(m) : b->len;
    bytes = bytes < b->left ? bytes : b->left;
    b->left -= bytes;
    *b->inflight -= bytes;
    uidset_remove(&b->pending, m->uid);
    /* Another one tells how far the walk is. */
    const struct uidset *left = &b->pending;
    if (b->kept == m->uid && left->n)
        b->kept = m->uid < left->r[0].lo ? left->r[0].lo : left->r[left->n - 1].hi;
    return true;
}

bool prefetch_await(struct account *a, const struct folder *f, const struct msg *m, uint64_t off,
                    struct waiter *w)
{
    struct batch *b = batch_of(a, f->gen, m->uid);
    if (!b || off >= b->len)
        return false;
    /* What was asked for ahead may have megabytes before it while it waits for a connection. */
    if (b->op->op.background && withdraw(a, b, m))
        return false;
    await(b, m->uid, w);
    return true;
}

bool prefetch_join(struct account *a, const struct folder *f, const struct msg *m, struct waiter *w)
{
    if (!a->config->prefetch || a->config->mark_seen || msg_size(m) > BODY_FIRST_WINDOW ||
        ends_with(m, BODY_FIRST_WINDOW))
        return false;
    struct batch *b;
    DL_FOREACH (a->ahead.batches, b) {
        if (b->gen == f->gen && !b->op->op.background && b->n < TOGETHER &&
            pool_amend(a->pool, b->op, m->uid, true))
            break;
    }
    bool joins = b != NULL;
    if (!joins && !a->bodies.inflight)
        return false; /* nobody waits for anything else */
    if (!joins) {
        b = new_batch(a, f, BODY_FIRST_WINDOW, false);
        uidset_add(&b->op->uids, m->uid, m->uid);
        a->bodies.n_fetches++;
    }
    uidset_add(&b->pending, m->uid, m->uid);
    expect(b, 1, msg_size(m));
    await(b, m->uid, w);
    if (!joins)
        pool_submit(a->pool, &b->op->op);
    return true;
}
