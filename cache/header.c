/* The header fields that are told of messages: kept for those asked about last, all of a message's
 * together, whichever of them was asked for.
 *
 * They are cut out of the message's first bytes where these are here. Else they are fetched, once
 * for all who ask meanwhile; and once somebody asks about message after message of a folder, those
 * of its neighbours come along, at most AHEAD_PER_ASKED for each he has asked about. */
#include "cache/header.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/mem.h"

enum {
    KEPT = 1024 * 1024,  /* bytes of fields kept, the last message's in any case */
    FIELD_MOST = 65536,  /* bytes of one field: no attribute is larger */
    WALK_PAUSE = 10000,  /* ms after which who asks does not go on, but begins anew */
    AHEAD_PER_ASKED = 4, /* messages */
    AHEAD_MOST = 500,    /* messages that one command asks for */
    KEEP_ASKED = 60000,  /* ms after a question that fields are kept of bodies given up */
};

struct header {
    uint64_t number; /* generation and UID */
    bool here;       /* else it is under way */
    char *fields;    /* once here */
    size_t len;
    struct waiter *waiters;
    UT_hash_handle hh; /* in the order in which they were asked for, oldest first */
};

/* Headers under way together. */
struct header_set {
    struct account *a;
    uint32_t gen;
    struct uidset uids; /* those that have not come */
    bool no_memory;     /* for what came */
};

static struct header *find_header(struct account *a, uint64_t n)
{
    struct header *h;
    HASH_FIND(hh, a->headers.all, &n, sizeof n, h);
    return h;
}

static struct header *add_header(struct account *a, uint64_t n)
{
    struct header *h = mem_zalloc(sizeof *h);
    h->number = n;
    HASH_ADD(hh, a->headers.all, number, sizeof h->number, h);
    return h;
}

static void drop_header(struct account *a, struct header *h)
{
    a->headers.bytes -= h->here ? sizeof *h + h->len : 0;
    HASH_DEL(a->headers.all, h);
    free(h->fields);
    free(h);
}

void header_forget(struct account *a, uint32_t gen, uint32_t uid)
{
    struct header *h = find_header(a, msg_number(gen, uid));
    if (h && h->here)
        drop_header(a, h);
}

void headers_free(struct account *a)
{
    struct header *h, *tmp;
    HASH_ITER (hh, a->headers.all, h, tmp)
        drop_header(a, h);
}

/* ---- cutting out ---- */

/* The end of the line at `p`, behind its LF; `end` when there is none. */
static const char *line_end(const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    return lf ? lf + 1 : end;
}

static bool is_kept(const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    size_t n = colon ? (size_t)(colon - line) : 0;
    if (!n)
        return false;
    for (const char *name = ACCOUNT_FIELDS; *name;) {
        size_t name_len = strcspn(name, " ");
        if (n == name_len && strncasecmp(line, name, n) == 0)
            return true;
        name += name_len + strspn(name + name_len, " ");
    }
    return false;
}

/* Appends the fields that are kept. Returns 1 when the whole header was there, else 0; -ENOMEM. Of
 * a longer one than LIMIT_HEADER the rest is not there. */
static int cut_fields(const char *p, size_t len, struct buf *out)
{
    const char *end = p + (len < LIMIT_HEADER ? len : LIMIT_HEADER);
    while (p < end && *p != '\n' && !(*p == '\r' && p + 1 < end && p[1] == '\n')) {
        const char *line = p;
        do
            p = line_end(p, end);
        while (p < end && (*p == ' ' || *p == '\t'));
        size_t n = (size_t)(p - line);
        if (!is_kept(line, n))
            continue;
        size_t kept = n < FIELD_MOST ? n : FIELD_MOST;
        if (!buf_try(out, kept + 2))
            return -ENOMEM;
        buf_add(out, line, kept);
        if (n > FIELD_MOST)
            buf_adds(out, "\r\n");
    }
    return p < end;
}

/* ---- keeping ---- */

/* Takes the fields over. */
static void keep(struct account *a, struct header *h, struct buf *fields)
{
    h->here = true;
    h->len = fields->len;
    h->fields = buf_steal(fields);
    a->headers.bytes += sizeof *h + h->len;
    struct header *old, *tmp;
    HASH_ITER (hh, a->headers.all, old, tmp) {
        if (a->headers.bytes <= KEPT)
            break;
        if (old->here && old != h)
            drop_header(a, old);
    }
}

/* Cuts the kept fields out of what is here of the message; NULL when that is not enough. */
static struct header *cut(struct account *a, const struct folder *f, const struct msg *m)
{
    struct buf fields = {0};
    struct str begin = body_begin(a, f->gen, m->uid);
    int whole = begin.n ? cut_fields(begin.p, begin.n, &fields) : 0;
    if (whole == 0)
        whole = begin.n && m->flags & MSG_SIZED && begin.n >= m->size;
    struct header *h = whole > 0 ? add_header(a, msg_number(f->gen, m->uid)) : NULL;
    if (h)
        keep(a, h, &fields);
    buf_free(&fields);
    return h;
}

void header_keep(struct account *a, const struct folder *f, const struct msg *m)
{
    if (a->headers.walk.gen && clock_ms() - a->headers.walk.at < KEEP_ASKED &&
        !find_header(a, msg_number(f->gen, m->uid)))
        cut(a, f, m);
}

/* ---- fetching ---- */

static void on_header_bytes(struct op_header *op, uint32_t uid, struct blob *bytes)
{
    struct header_set *set = op->op.ctx;
    struct account *a = set->a;
    struct buf fields = {0};
    struct waiter *woken = NULL;
    if (!bytes || cut_fields(bytes->data, bytes->len, &fields) < 0) {
        set->no_memory = true;
        buf_free(&fields);
        blob_unref(bytes);
        return;
    }
    account_lock(a);
    struct header *h = find_header(a, msg_number(set->gen, uid));
    if (h && !h->here) {
        uidset_remove(&set->uids, uid);
        woken = waiters_take(&h->waiters);
        keep(a, h, &fields);
    }
    account_unlock(a);
    buf_free(&fields);
    blob_unref(bytes);
    wake_all(woken, 0);
}

/* Gives up what is left of the set, which did not come: whoever waits for one that this mount has
 * moved meanwhile asks again, in the new place. */
static struct waiter *give_up(struct account *a, struct header_set *set, bool moved)
{
    struct waiter *waiters = NULL;
    for (size_t i = 0; i < set->uids.n; i++)
        for (uint64_t uid = set->uids.r[i].lo; uid <= set->uids.r[i].hi; uid++) {
            struct folder *f;
            struct header *h = find_header(a, msg_number(set->gen, (uint32_t)uid));
            const struct msg *m = msg_by_number(a, set->gen, (uint32_t)uid, &f);
            bool elsewhere = m && (f->gen != set->gen || m->uid != uid);
            if (!h || h->here || elsewhere != moved)
                continue;
            waiters_move(&waiters, &h->waiters);
            drop_header(a, h);
        }
    return waiters;
}

static void on_header_done(struct op *op)
{
    struct header_set *set = op->ctx;
    struct account *a = set->a;
    account_lock(a);
    if (op->err == -ESTALE)
        sync_contradicted(a, op);
    struct waiter *again = give_up(a, set, true), *gone = give_up(a, set, false);
    account_unlock(a);
    wake_all(again, 0);
    wake_all(gone, op->err ? op->err : set->no_memory ? -ENOMEM : -ESTALE);
    uidset_free(&set->uids);
    free(set);
    op_free(op);
}

/* Adds up to `most` messages behind `after`, not beyond `upto`, whose fields are neither here nor
 * under way. Returns how many there were. */
static unsigned gather(struct account *a, const struct folder *f, uint32_t after, uint32_t upto,
                       unsigned most, struct uidset *uids)
{
    unsigned n = 0;
    const struct msg *m = msgtable_after(&f->facts.msgs, after);
    for (; m && m->uid <= upto && n < most; m = msgtable_after(&f->facts.msgs, m->uid)) {
        if (!msg_visible(m) || find_header(a, msg_number(f->gen, m->uid)))
            continue;
        if (uids->n >= LIMIT_COMMAND / 24) /* many gaps make a long command */
            break;
        add_header(a, msg_number(f->gen, m->uid));
        uidset_add(uids, m->uid, m->uid);
        n++;
    }
    return n;
}

/* Somebody asks about the message: how many others are worth asking for with it? */
static unsigned walk(struct account *a, const struct folder *f, const struct msg *m)
{
    struct header_walk *w = &a->headers.walk;
    int64_t now = clock_ms();
    if (w->gen != f->gen || now - w->at > WALK_PAUSE)
        *w = (struct header_walk){.gen = f->gen};
    w->at = now;
    if (w->last != m->uid)
        w->asked++;
    w->last = m->uid;
    unsigned most = w->asked > 1 ? AHEAD_PER_ASKED * w->asked : 0;
    return !a->config->prefetch ? 0 : most < AHEAD_MOST ? most : AHEAD_MOST;
}

static struct header *fetch(struct account *a, const struct folder *f, const struct msg *m,
                            unsigned most)
{
    struct header_set *set = mem_zalloc(sizeof *set);
    struct header *h = add_header(a, msg_number(f->gen, m->uid));
    set->a = a;
    set->gen = f->gen;
    uidset_add(&set->uids, m->uid, m->uid);
    most -= gather(a, f, m->uid, UINT32_MAX, most, &set->uids);
    /* Who comes from the other end, or in no order, has the others behind him. */
    gather(a, f, m->uid > most ? m->uid - most - 1 : 0, m->uid, most, &set->uids);
    struct op_header *op =
        op_header_new(f->facts.wire, f->facts.uidvalidity, mem_strdup(ACCOUNT_FIELDS));
    uidset_join(&op->uids, &set->uids);
    op->on_bytes = on_header_bytes;
    op->op.done = on_header_done;
    op->op.ctx = set;
    pool_submit(a->pool, &op->op);
    return h;
}

int account_header(struct account *a, uint32_t gen, uint32_t uid, struct buf *out, struct waiter *w)
{
    struct folder *f;
    int err = -ESTALE;
    account_lock(a);
    const struct msg *m = msg_by_number(a, gen, uid, &f);
    if (m) {
        unsigned most = walk(a, f, m);
        struct header *h = find_header(a, msg_number(f->gen, m->uid));
        if (!h)
            h = cut(a, f, m);
        if (!h)
            h = fetch(a, f, m, most);
        err = h->here ? 0 : -EINPROGRESS;
        if (h->here)
            buf_add(out, h->fields, h->len);
        else
            waiter_add(&h->waiters, w);
    }
    account_unlock(a);
    return err;
}
