/* Bodies asked for ahead of a reader who walks a folder.
 *
 * Who reads message after message in the order of their UIDs, as grep -r does, would wait one round
 * trip for each. So once a second message follows a first, those behind are asked for in sets, in
 * several batches under way at once. What arrives before its reader goes up to be put into the
 * kernel's page cache, where he finds it without asking us.
 *
 * Not being asked, we would not know how far he is: so the last message of each batch is kept back
 * here. When he asks for it, he is there, and the next batch goes out. Nobody asks when the walk
 * has ended, and then nothing more is fetched: what is ahead of the reader is bounded by what he
 * has walked, and by `prefetch`. Of a message larger than a first window only that much is fetched,
 * which reading its first byte would fetch as well, unless the walk reads such messages on.
 *
 * A walk that came to the end of its folder may go on in the next one, with its first message. */
#include "cache/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "imap/clock.h"
#include "imap/limits.h"
#include "imap/mem.h"

enum {
    NEXT_FOLDER = 2000,       /* ms that a walk may take to go on there */
    STREAK = 2,               /* messages in a row that make a walk */
    STRIDE = 8,               /* messages that a walk may leave out at once, */
    STRIDE_FIRST = 3,         /* ... and while it may yet be chance */
    CERTAIN = 8,              /* messages after which it is not */
    FIRST_AHEAD = 128 * 1024, /* bytes ahead when a walk is noticed; */
    AHEAD_PER_WALKED = 4,     /* ... later so many for each that was walked */
    MOST_SHARED = 256 * 1024, /* ... over the connection that lists, too */
    BATCH_LEAST = 64 * 1024,  /* bytes of a batch */
    BATCH_MOST = 1024 * 1024,
    BATCH_MESSAGES = 1000,
    DEEP = 1024 * 1024, /* bytes of a large message, for a walk that reads such messages on */
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
    struct op *op;
    uint32_t gen;
    uint32_t last;         /* the UID that is kept back */
    struct uidset pending; /* what has not come yet */
    size_t len;            /* bytes of each message, at most */
    uint64_t left;         /* bytes still expected */
    struct awaited *awaited;
};

/* ---- walks ---- */

static size_t share(const struct msg *m, size_t len)
{
    return m->size < len ? (size_t)m->size : len;
}

/* The walk that this message belongs to; else the one used longest ago, emptied. */
static struct walk *walk_of(struct account *a, const struct folder *f, const struct msg *m)
{
    struct walk *oldest = &a->walks[0];
    for (size_t i = 0; i < ACCOUNT_WALKS; i++) {
        struct walk *w = &a->walks[i];
        if (w->gen == f->gen && m->uid >= w->last) {
            const struct msg *at = msgtable_after(&f->msgs, w->last);
            int stride = w->streak < CERTAIN ? STRIDE_FIRST : STRIDE;
            for (int step = 1; step < stride && at && at->uid < m->uid; step++)
                at = msgtable_after(&f->msgs, at->uid);
            if (m->uid == w->last || m->uid <= w->ahead || (at && at->uid == m->uid))
                return w;
        }
        if (w->used < oldest->used)
            oldest = w;
    }
    a->n_ahead_unread += oldest->ahead_bytes;
    *oldest = (struct walk){.gen = f->gen};
    if (a->walk_ended && clock_ms() - a->walk_ended < NEXT_FOLDER &&
        msgtable_after(&f->msgs, 0) == m)
        oldest->streak = STREAK - 1;
    return oldest;
}

/* The reader has come to `m`, past all that lie between. */
static void advance(struct account *a, const struct folder *f, struct walk *w, const struct msg *m)
{
    if (w->large)
        w->deep = w->read_on;
    w->large = m->size > BODY_FIRST_WINDOW;
    w->read_on = false;
    const struct msg *p = w->last ? msgtable_after(&f->msgs, w->last) : m;
    for (; p && p->uid <= m->uid; p = msgtable_after(&f->msgs, p->uid)) {
        size_t n = share(p, w->deep ? DEEP : BODY_FIRST_WINDOW);
        w->walked += n;
        if (p->uid <= w->ahead)
            w->ahead_bytes -= n < w->ahead_bytes ? n : w->ahead_bytes;
    }
    w->last = m->uid;
    w->streak++;
    if (w->streak >= STREAK && !msgtable_after(&f->msgs, m->uid))
        a->walk_ended = clock_ms();
}

/* ---- batches ---- */

static struct batch *batch_of(struct account *a, uint32_t gen, uint32_t uid)
{
    struct batch *b;
    DL_FOREACH (a->batches, b) {
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

/* Are these bytes certainly the whole message, and is it not the one kept back? */
static bool can_go_up(const struct account *a, const struct batch *b, const struct msg *m,
                      size_t got)
{
    return a->hooks.msg_bytes && m->uid != b->last && got == m->size && got < b->len &&
           got < BODY_FIRST_WINDOW;
}

static void on_ahead_bytes(struct op *op, uint32_t uid, size_t at, struct blob *bytes)
{
    (void)at; /* small ones come whole */
    struct batch *b = op->ctx;
    struct account *a = b->a;
    struct folder *f;
    if (!bytes)
        return; /* whoever needs it asks for it alone */
    account_lock(a);
    uint64_t came = bytes->len < b->left ? bytes->len : b->left;
    b->left -= came;
    a->ahead_inflight -= came;
    a->n_ahead_bytes += bytes->len;
    uidset_remove(&b->pending, uid);
    struct waiter *waiters = take_awaited(b, uid);
    const struct msg *m = msg_by_number(a, b->gen, uid, &f);
    int resized = 0;
    if (m && m->uid == uid && f->gen == b->gen) {
        resized = body_take(a, f, uid, bytes, b->len);
        if (!waiters && !resized && can_go_up(a, b, m, bytes->len)) {
            a->ahead_inflight += bytes->len; /* until account_stored() */
            a->hooks.msg_bytes(a->hooks.ctx, b->gen, uid, blob_ref(bytes));
        }
    }
    account_unlock(a);
    blob_unref(bytes);
    wake_all(waiters, 0);
    if (resized < 0)
        a->hooks.msg_size(a->hooks.ctx, b->gen, uid);
}

static void on_ahead_done(struct op *op)
{
    struct batch *b = op->ctx;
    struct account *a = b->a;
    struct waiter *waiters = NULL;
    account_lock(a);
    if (op->err == -ESTALE)
        folder_contradicted(a, op);
    DL_DELETE(a->batches, b);
    a->ahead_inflight -= b->left;
    while (b->awaited)
        waiters_move(&waiters, &(struct waiter *){take_awaited(b, b->awaited->uid)});
    account_unlock(a);
    /* Who still waits has missed something, and asks again, for himself. */
    wake_all(waiters, 0);
    uidset_free(&b->pending);
    op_free(op);
    free(b);
}

void account_stored(struct account *a, uint32_t gen, uint32_t uid, size_t len, bool stored)
{
    account_lock(a);
    a->ahead_inflight -= len;
    struct folder *f = folder_by_gen(a, gen);
    struct msg *m = f ? msgtable_find(&f->msgs, uid) : NULL;
    if (stored && m)
        m->flags |= MSG_STORED;
    if (stored)
        body_release(a, gen, uid); /* the kernel has it */
    account_unlock(a);
}

/* ---- asking ---- */

static size_t ahead_limit(const struct account *a, const struct walk *w)
{
    uint64_t limit = FIRST_AHEAD + AHEAD_PER_WALKED * w->walked;
    size_t most = a->config->prefetch;
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

/* Fills a set with what comes behind w->ahead; returns its bytes. */
static size_t gather(struct account *a, const struct folder *f, struct walk *w, size_t most,
                     size_t len, struct uidset *set)
{
    size_t bytes = 0, n = 0;
    const struct msg *m = msgtable_after(&f->msgs, w->ahead > w->last ? w->ahead : w->last);
    for (; m && bytes < most && n < BATCH_MESSAGES; m = msgtable_after(&f->msgs, m->uid)) {
        if (!f->loaded && m->uid > f->load_upto)
            break;
        bool wanted = msg_visible(m) && (w->evicted || !(m->flags & MSG_STORED)) &&
                      !ends_with(m, len) && !body_known(a, f->gen, m->uid) &&
                      !batch_of(a, f->gen, m->uid);
        /* A set with many gaps makes a long command: the rest comes in the next one. */
        if (wanted && set->n >= LIMIT_COMMAND / 24 && set->r[set->n - 1].hi + 1 != m->uid)
            break;
        w->ahead = m->uid;
        if (!wanted)
            continue;
        w->ahead_bytes += share(m, len);
        uidset_add(set, m->uid, m->uid);
        bytes += share(m, len);
        n++;
    }
    return bytes;
}

static void submit(struct account *a, const struct folder *f, struct uidset *set, size_t bytes,
                   size_t len)
{
    struct batch *b = mem_zalloc(sizeof *b);
    b->a = a;
    b->gen = f->gen;
    b->last = set->r[set->n - 1].hi;
    b->len = len;
    b->left = bytes;
    b->op = op_new(OP_BODIES, f->wire, f->uidvalidity);
    b->op->background = true;
    b->op->len = (uint32_t)len;
    b->op->uids = *set;
    for (size_t i = 0; i < set->n; i++)
        uidset_add(&b->pending, set->r[i].lo, set->r[i].hi);
    b->op->on_bytes = on_ahead_bytes;
    b->op->done = on_ahead_done;
    b->op->ctx = b;
    a->ahead_inflight += bytes;
    DL_APPEND(a->batches, b);
    pool_submit(a->pool, b->op);
}

struct walk *prefetch_read(struct account *a, const struct folder *f, struct msg *m, uint64_t off,
                           size_t len)
{
    if (!a->config->prefetch || a->config->mark_seen)
        return NULL;
    struct walk *w = walk_of(a, f, m);
    w->used = ++a->walk_clock;
    if (off == 0 && m->uid != w->last)
        advance(a, f, w, m);
    w->read_on |= w->last == m->uid && off + len > BODY_FIRST_WINDOW;
    if (off == 0) {
        /* The kernel had it and let go of it: of what lies ahead, too. */
        w->evicted |= m->flags & MSG_STORED;
        m->flags &= ~(uint32_t)MSG_STORED;
    }
    return off == 0 && w->streak >= STREAK ? w : NULL;
}

void prefetch_more(struct account *a, const struct folder *f, struct walk *w)
{
    while (w) {
        size_t limit = ahead_limit(a, w), most = limit / 4;
        most = most < BATCH_LEAST ? BATCH_LEAST : most > BATCH_MOST ? BATCH_MOST : most;
        /* A little is not worth a command. */
        if (w->ahead_bytes + most > limit || a->ahead_inflight + most > a->config->prefetch)
            return;
        struct uidset set = {0};
        size_t len = w->deep ? DEEP : BODY_FIRST_WINDOW;
        size_t bytes = gather(a, f, w, most, len, &set);
        if (!set.n)
            return;
        submit(a, f, &set, bytes, len);
    }
}

bool prefetch_await(struct account *a, const struct folder *f, uint32_t uid, uint64_t off,
                    struct waiter *w)
{
    struct batch *b = batch_of(a, f->gen, uid);
    /* Not when it still waits for a connection; nor for who reads somewhere else than the walk
     * does, as megabytes may be under way before it. */
    if (!b || off >= b->len || !b->op->sent)
        return false;
    bool walks = false;
    for (size_t i = 0; i < ACCOUNT_WALKS; i++)
        walks |=
            a->walks[i].gen == f->gen && a->walks[i].last == uid && a->walks[i].streak >= STREAK;
    if (!walks)
        return false;
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
    return true;
}

uint64_t prefetch_unread(const struct account *a)
{
    uint64_t n = a->n_ahead_unread;
    for (size_t i = 0; i < ACCOUNT_WALKS; i++)
        n += a->walks[i].ahead_bytes;
    return n;
}
