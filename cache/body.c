/* Message bytes: windows of a message under way, and those that came, kept while there is room.
 *
 * Readers of one message share its fetches. Windows grow from BODY_FIRST_WINDOW to LIMIT_WINDOW
 * while someone reads straight on, and then the next ones are asked for before they are missed.
 * What comes of a window is there for its readers at once, also while the rest is still on its way.
 *
 * The announced size may lie (RFC 2683 section 3.4.5), and what the kernel is told of an end it
 * believes. So an answer that depends on where the message ends waits until that is certain
 * (extent.h), which an honest server tells with the window that ends there.
 *
 * A server that ignores windows sends the whole message for each, so it is asked for that, once.
 * Until a server was seen to send a window, nothing but the beginning of a message is taken for
 * one.
 *
 * Who has read straight on for a while gets the whole rest of a large message in one fetch, a
 * stream, since servers look for the beginning of each window, and some from the first byte on. It
 * is held while enough lies ahead of its reader, and ends when he does not come back for it. */
#include "cache/body.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <utlist.h>

#include "cache/body_size.h"
#include "cache/body_store.h"
#include "cache/extent.h"
#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "cache/waiter.h"
#include "imap/base/clock.h"
#include "imap/base/limits.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

enum {
    STREAM_AFTER = 256 * 1024,       /* bytes read straight on before the rest is streamed */
    STREAM_LEAST = 2 * LIMIT_WINDOW, /* bytes that the rest has to have for that */
    STREAM_BEHIND = 1024 * 1024,     /* bytes kept behind its reader: the kernel has them, too */
    STREAM_NEAR = 1024 * 1024,       /* who waits for a byte farther ahead asks for it alone */
    TELLING = 1024 * 1024,           /* a window that comes in pieces if any does */
    STREAM_LIMIT = 1024 * 1024, /* with less room ahead of the reader windows serve him better */
};

/* ---- fetching ---- */

static uint64_t fetch_head(const struct fetch *f)
{
    return f->off + f->got;
}

/* The fetch that brings this byte; of a stream only what comes soon. */
static struct fetch *fetch_at(struct body *b, uint64_t off)
{
    struct fetch *f;
    DL_FOREACH (b->fetches, f) {
        if (off < f->off || off >= f->off + f->len || f->no_memory)
            continue;
        if (!f->op || (f->whole && off >= fetch_head(f)))
            return f;
        if (off >= fetch_head(f) && off - fetch_head(f) < STREAM_NEAR && !atomic_load(&f->op->hold))
            return f;
    }
    return NULL;
}

struct reading {
    struct account *a;
    struct fetch *fetch;
    uint64_t number;
};

void body_take(struct account *a, const struct folder *f, uint32_t uid, struct blob *bytes,
               size_t len)
{
    struct body *b = body_use(a, msg_number(f->gen, uid));
    b->began = true;
    body_learn(a, b, 0, bytes->len, len, false);
    if (!b->chunks || b->chunks->off >= bytes->len) {
        body_keep(a, b, 0, bytes);
        b->window = len;
        b->frontier = bytes->len; /* who reads on from there reads straight on */
    }
    bodies_evict(a, b, 0);
}

/* ---- streams ---- */

/* So many bytes may lie ahead of a reader. */
static size_t stream_limit(const struct account *a)
{
    size_t most = 2 * LIMIT_WINDOW;
    most = most < a->config->cache / 2 ? most : a->config->cache / 2;
    return most < a->config->prefetch ? most : a->config->prefetch;
}

/* So many bytes may lie ahead of this stream's reader: while he has not come far, only as much as
 * he has come twice over. */
static uint64_t stream_most(const struct account *a, const struct fetch *f)
{
    uint64_t most = 2 * (f->reader - f->run), limit = stream_limit(a);
    return most < limit ? most : limit;
}

static uint64_t stream_ahead(const struct fetch *f)
{
    return fetch_head(f) > f->reader ? fetch_head(f) - f->reader : 0;
}

/* Bytes have come. */
static void stream_fill(struct account *a, struct fetch *f)
{
    a->bodies.stream_ahead = stream_ahead(f);
    if (stream_ahead(f) >= stream_most(a, f) && !f->waiters)
        atomic_store(&f->op->hold, true);
}

/* Someone reads from `off` to `end`. If that is where the stream is, or was, he has come on. */
static void stream_drain(struct account *a, struct body *b, uint64_t off, uint64_t end)
{
    struct fetch *f = b->stream;
    if (!f || off > fetch_head(f) || end < f->reader)
        return;
    f->reader = end;
    a->bodies.stream_ahead = stream_ahead(f);
    atomic_store(&f->op->used_at, clock_ms());
    if (atomic_load(&f->op->hold) && stream_ahead(f) <= stream_most(a, f) / 2)
        pool_resume(a->pool, f->op);
    body_drop_behind(a, b, f->reader, STREAM_BEHIND);
}

static void on_body_bytes(struct op_body *op, size_t at, struct blob *bytes)
{
    struct reading *bo = op->op.ctx;
    struct account *a = bo->a;
    struct fetch *f = bo->fetch;
    account_lock(a);
    struct body *b = body_find(a, bo->number);
    uint64_t off = f->off + at;
    f->no_memory |= !bytes;
    f->got = at + (bytes ? bytes->len : 0);
    /* After a lost connection they come from the start again. */
    if (bytes && body_present(b, off, bytes->len) < bytes->len)
        body_keep(a, b, off, bytes);
    if (bytes && bytes->len && off + bytes->len > b->extent.seen)
        b->extent.seen = off + bytes->len;
    struct waiter *woken = waiters_take(&f->waiters);
    if (op->pieces)
        a->bodies.pieces = PIECES_YES;
    if (f->op)
        stream_fill(a, f);
    bodies_evict(a, b, 0);
    if (!bytes)
        bodies_drop_all(a);
    account_unlock(a);
    wake_all(woken, bytes ? 0 : -ENOMEM);
    blob_unref(bytes);
}

/* OK without data: gone, moved by this mount meanwhile, or a server that cannot send this message.
 * The first time the readers wait until it is known which; 0 when they are taken care of. */
static int no_data(struct account *a, struct body *b, struct fetch *fetch)
{
    struct folder *f;
    const struct msg *m = msg_by_number(a, (uint32_t)(b->number >> 32), (uint32_t)b->number, &f);
    if (!m)
        return -ESTALE;
    if (msg_number(f->gen, m->uid) != b->number)
        return 0; /* they ask again, in the new place */
    b->no_data = !b->no_data;
    if (!b->no_data)
        return -EIO;
    b->only_whole = true; /* some have no answer to a window, and one to the whole */
    sync_recheck(a, f, m->uid, waiters_take(&fetch->waiters));
    return 0;
}

/* What of it is counted as under way. */
static size_t fetch_share(const struct account *a, const struct fetch *f)
{
    size_t limit = stream_limit(a);
    return (f->op || f->whole) && f->len > limit ? limit : f->len;
}

static void stream_end(struct account *a, struct body *b, struct fetch *f)
{
    b->stream = NULL;
    /* One that ended early will again: nobody reads on, or the server sends no more at once. */
    b->left = f->got + 1 < f->len;
    if (b->left && b->frontier == f->off + f->len)
        b->frontier = fetch_head(f);
    a->bodies.streaming = false;
    a->bodies.stream_ahead = 0;
}

/* All has come that the server sends for it. */
static int take_end(struct account *a, struct body *b, const struct fetch *f)
{
    struct folder *folder;
    if (f->off == 0 && f->got == 0 && !f->whole) {
        b->only_whole = true; /* a message without a byte is asked for once more, another way */
        return 0;
    }
    b->began |= f->off == 0;
    body_learn(a, b, f->off, f->got, f->len, f->whole);
    const struct msg *m =
        msg_by_number(a, (uint32_t)(b->number >> 32), (uint32_t)b->number, &folder);
    /* Who needs the bytes would ask for them again and again. */
    bool hole = m && m->flags & MSG_SIZED && f->got == 0 && f->off < m->size;
    return hole ? -EIO : 0;
}

static void on_body_done(struct op *op)
{
    struct reading *bo = op->ctx;
    struct account *a = bo->a;
    struct fetch *f = bo->fetch;
    account_lock(a);
    struct body *b = body_find(a, bo->number);
    int err = f->no_memory ? -ENOMEM : op->err;
    if (err == -ENOMEM)
        bodies_drop_all(a);
    if (op->err == -ESTALE)
        sync_contradicted(a, op);
    if (err == -ENODATA)
        err = no_data(a, b, f);
    else if (!err)
        b->no_data = false;
    if (!op->err && !op_as_body(op)->pieces && f->got >= TELLING)
        a->bodies.pieces = PIECES_NO;
    a->bodies.inflight -= fetch_share(a, f);
    DL_DELETE(b->fetches, f);
    if (f->op)
        stream_end(a, b, f);
    if (err == -ECANCELED || err == -EAGAIN)
        err = 0; /* who waits for more asks again */
    else if (!err && !op->err)
        err = take_end(a, b, f);
    else
        b->frontier = 0;
    struct waiter *woken = waiters_take(&f->waiters);
    /* Before they are served, their bytes must not be evicted: what is evicted is of others. */
    body_fetched(a, b);
    account_unlock(a);
    wake_all(woken, err);
    free(f);
    free(bo);
    op_free(op);
}

/* What kind of fetch it is. */
enum kind { WINDOW, STREAM, WHOLE, WHOLE_STREAM };

static struct fetch *submit_fetch(struct account *a, struct body *b, const struct folder *folder,
                                  uint32_t uid, uint64_t off, size_t len, enum kind kind)
{
    bool stream = kind == STREAM || kind == WHOLE_STREAM;
    struct op_body *op = op_body_new(folder->facts.wire, folder->facts.uidvalidity);
    struct fetch *f = mem_zalloc(sizeof *f);
    f->off = off;
    f->len = len;
    f->op = stream ? op : NULL;
    f->whole = kind == WHOLE || kind == WHOLE_STREAM;
    DL_APPEND(b->fetches, f);
    a->bodies.inflight += fetch_share(a, f);
    a->bodies.n_fetches++;

    struct reading *bo = mem_alloc(sizeof *bo);
    *bo = (struct reading){a, f, b->number};
    op->uid = uid;
    op->off = off;
    op->len = (uint32_t)len;
    op->stream = stream;
    op->whole = f->whole;
    op->mark_seen = a->config->mark_seen;
    op->on_bytes = on_body_bytes;
    op->op.done = on_body_done;
    op->op.ctx = bo;
    atomic_init(&op->used_at, clock_ms());
    pool_submit(a->pool, &op->op);
    return f;
}

/* One byte more than ends where the message is said to end tells whether it does. */
static bool ends_there(const struct msg *m, uint64_t end)
{
    return m && !(m->flags & MSG_SIZED) && end == m->size;
}

/* The whole message, since windows of it cannot be had, or not be believed. */
static struct fetch *start_whole(struct account *a, struct body *b, const struct folder *folder,
                                 const struct msg *m, uint64_t reader)
{
    bool stream = msg_size(m) >= STREAM_LEAST && stream_limit(a) >= STREAM_LIMIT &&
                  !a->bodies.streaming && !b->left && pool_may_stream(a->pool);
    body_drop_chunks(a, b); /* they may not be what they were taken for */
    b->extent = (struct extent){0};
    struct fetch *f =
        submit_fetch(a, b, folder, m->uid, 0, LIMIT_LITERAL, stream ? WHOLE_STREAM : WHOLE);
    b->frontier = 0; /* nobody asks for what is ahead of its reader */
    if (stream) {
        a->bodies.streaming = true;
        b->stream = f;
        f->reader = reader;
    }
    return f;
}

/* Does a window at `off` have to wait for the one at the beginning of the message, which tells
 * whether the server knows windows at all? */
static bool begins_first(const struct account *a, const struct body *b, uint64_t off)
{
    return off > 0 && !a->bodies.windows && !b->began;
}

static bool wants_whole(struct account *a, const struct body *b, uint64_t off)
{
    return b->only_whole || (off > 0 && !a->bodies.windows) || pool_ignores_windows(a->pool);
}

static struct fetch *start_fetch(struct account *a, struct body *b, const struct folder *folder,
                                 uint32_t uid, uint64_t off, size_t least)
{
    if (off == b->frontier && off > 0 && b->window) {
        b->window = b->window * 4 < LIMIT_WINDOW ? b->window * 4 : LIMIT_WINDOW;
    } else {
        b->window = BODY_FIRST_WINDOW;
        b->run = off;
    }
    /* Many readers at once: smaller windows for all, so that memory stays bounded. */
    if (a->bodies.inflight > a->config->cache / 2)
        b->window = BODY_FIRST_WINDOW;
    size_t len = least > b->window ? least : b->window;
    len = len < LIMIT_WINDOW ? len : LIMIT_WINDOW;
    for (struct chunk *c = b->chunks; c; c = c->next)
        if (c->off > off && c->off - off < len)
            len = (size_t)(c->off - off); /* not what is there already */
    if (ends_there(msgtable_find(&folder->facts.msgs, uid), off + len))
        len++;
    struct fetch *f = submit_fetch(a, b, folder, uid, off, len, WINDOW);
    b->frontier = off + len;
    return f;
}

/* May what is left behind the frontier be streamed, and is it worth it? One message at a time, so
 * that all but one connection are there for what somebody waits for. */
static bool stream_suits(struct account *a, const struct body *b, const struct msg *m)
{
    return m->size - b->frontier >= STREAM_LEAST && stream_limit(a) >= STREAM_LIMIT &&
           !a->bodies.streaming && !b->left && a->bodies.pieces != PIECES_NO &&
           pool_may_stream(a->pool);
}

static void start_stream(struct account *a, struct body *b, const struct folder *folder,
                         const struct msg *m, uint64_t reader)
{
    uint64_t len = m->size - b->frontier;
    if (len > LIMIT_LITERAL - 1)
        len = LIMIT_LITERAL - 1;
    if (ends_there(m, b->frontier + len))
        len++;
    a->bodies.streaming = true;
    b->stream = submit_fetch(a, b, folder, m->uid, b->frontier, (size_t)len, STREAM);
    b->frontier += len;
    b->stream->run = b->run;
    b->stream->reader = reader;
}

/* ---- reading ---- */

/* Someone reads straight on: have the next windows under way before he comes to them, as far as he
 * has come twice over. */
static void read_ahead(struct account *a, struct body *b, const struct folder *folder,
                       const struct msg *m, uint64_t reader)
{
    uint64_t come = reader > b->run ? reader - b->run : 0;
    uint64_t most = come < LIMIT_WINDOW ? 2 * come : 2 * LIMIT_WINDOW;
    if (wants_whole(a, b, b->frontier))
        return;
    while (come >= BODY_FIRST_WINDOW && b->frontier < m->size && reader <= b->frontier &&
           b->frontier - reader < most && a->bodies.inflight <= a->config->cache / 2) {
        bool stream = come >= STREAM_AFTER && stream_suits(a, b, m);
        if (stream && a->bodies.pieces == PIECES_UNKNOWN && b->fetches && b->window >= TELLING)
            break; /* what is under way tells whether they come in pieces */
        if (stream && a->bodies.pieces == PIECES_YES)
            start_stream(a, b, folder, m, reader);
        else
            start_fetch(a, b, folder, m->uid, b->frontier, 0);
    }
}

/* Sees to it that byte `at` comes, or that the message is known to end before it; `end`: only where
 * it ends is asked. 0, or -errno. */
static int fetch_for(struct account *a, struct body *b, const struct folder *folder,
                     const struct msg *m, uint64_t at, size_t least, bool end, struct waiter *w)
{
    uint64_t reader = at;
    bool probe = end || (b->extent.bounded && at >= b->extent.bound);
    if (probe && !extent_probe(&b->extent, &at)) {
        log_warn("%s: UID %u has no end", folder->facts.wire, m->uid);
        return -EIO;
    }
    if (begins_first(a, b, at))
        at = 0;
    struct fetch *f = fetch_at(b, at);
    if (!f && wants_whole(a, b, at)) {
        f = start_whole(a, b, folder, m, reader);
    } else if (!f && probe) {
        f = submit_fetch(a, b, folder, m->uid, at, EXTENT_STEP, WINDOW);
        extent_asked(&b->extent);
    } else if (!f) {
        f = start_fetch(a, b, folder, m->uid, at, least);
    }
    waiter_add(&f->waiters, w);
    if (f->whole && f->op && atomic_load(&f->op->hold))
        pool_resume(a->pool, f->op);
    return -EINPROGRESS;
}

int account_read(struct account *a, uint32_t gen, uint32_t uid, uint64_t off, size_t len,
                 struct slices *out, uint64_t *end, struct waiter *w)
{
    int result = 0;
    struct folder *folder;
    account_lock(a);
    struct msg *m = msg_by_number(a, gen, uid, &folder);
    *end = UINT64_MAX;
    if (!m) {
        result = -ESTALE;
        goto out;
    }
    bool sized = m->flags & MSG_SIZED;
    *end = m->resized < 0 ? m->size : UINT64_MAX;
    if (sized && off >= m->size)
        goto out;
    if (sized && len > m->size - off)
        len = (size_t)(m->size - off);
    struct walk_lead lead = prefetch_read(a, folder, m, off, len);
    struct body *b = body_use(a, msg_number(folder->gen, m->uid));
    if (b->number != msg_number(gen, uid))
        b->asked = msg_number(gen, uid);
    size_t have = body_copy(b, off, len, out);
    a->bodies.n_reads++;
    stream_drain(a, b, off, off + have);
    if (have == len && (sized || off + len < msg_size(m))) {
        a->bodies.n_read_hits++;
        read_ahead(a, b, folder, m, off + len);
        bodies_evict(a, b, off);
        prefetch_more(a, folder, &lead);
        goto out;
    }
    slices_reset(out);
    result = -EINPROGRESS;
    if (!prefetch_await(a, folder, m, off + have, w) &&
        (off + have > 0 || b->fetches || b->apart || !prefetch_join(a, folder, m, w)))
        result = fetch_for(a, b, folder, m, off + have, len - have, have == len, w);
    if (result == -EINPROGRESS)
        read_ahead(a, b, folder, m, off + have);
    prefetch_more(a, folder, &lead);
out:
    account_unlock(a);
    return result;
}
