/* Message bytes: windows of a message under way, and those that came, kept while there is room.
 *
 * Readers of one message share its fetches. A window is asked for without regard to the announced
 * size, which may lie: an answer shorter than the window tells where the message ends. Windows grow
 * from BODY_FIRST_WINDOW to LIMIT_WINDOW while someone reads straight on, and then the next ones
 * are asked for before they are missed. What comes of a window is there for its readers at once,
 * also while the rest is still on its way.
 *
 * Who has read straight on for a while gets the whole rest of a large message in one fetch, a
 * stream, since servers look for the beginning of each window, and some from the first byte on. It
 * is held while enough lies ahead of its reader, and ends when he does not come back for it. */
#include "cache/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "imap/clock.h"
#include "imap/limits.h"
#include "imap/log.h"
#include "imap/mem.h"

/* Bytes that came. */
struct chunk {
    struct chunk *prev, *next; /* by offset */
    uint64_t off;
    size_t len;
    struct blob *bytes;
};

/* Bytes under way. */
struct fetch {
    struct fetch *prev, *next;
    uint64_t off;
    size_t len;
    size_t got;
    struct blob *last; /* what came last, and where it begins, if not kept yet */
    uint64_t last_off;
    bool no_memory; /* for what came */
    struct waiter *waiters;

    struct op *op;   /* of a stream, else NULL */
    uint64_t run;    /* ... where its reader began to read straight on, */
    uint64_t reader; /* ... and how far he has come */
};

enum {
    STREAM_AFTER = 256 * 1024,       /* bytes read straight on before the rest is streamed, */
    STREAM_LEAST = 2 * LIMIT_WINDOW, /* ... if it is that much */
    STREAM_BEHIND = 1024 * 1024,     /* bytes kept behind its reader: the kernel has them, too */
    STREAM_NEAR = 1024 * 1024,       /* who waits for a byte farther ahead asks for it alone */
    TELLING = 1024 * 1024,           /* a window that comes in pieces if any does */
    STREAM_LIMIT = 1024 * 1024, /* with less room ahead of the reader windows serve him better */
};

struct body {
    uint64_t number; /* generation and UID */
    struct chunk *chunks;
    struct fetch *fetches;
    struct fetch *stream; /* the one of them that is; NULL: none */
    bool left;            /* one ended early: there is no second */
    size_t window;
    uint64_t frontier; /* where the last fetch ends: a fetch from here reads straight on */
    uint64_t run;      /* where the first of those began that read straight on */
    bool forgotten;    /* dropped as soon as nothing is under way */
    bool apart;        /* a set did not bring it: it is asked for alone */
    bool no_data;      /* the server had nothing to say of it, and it is being found out why */
    UT_hash_handle hh; /* in the order of use, oldest first */
};

static uint64_t number(uint32_t gen, uint32_t uid)
{
    return (uint64_t)gen << 32 | uid;
}

static struct body *find_body(struct account *a, uint64_t n)
{
    struct body *b;
    HASH_FIND(hh, a->bodies, &n, sizeof n, b);
    return b;
}

/* Finds or makes; becomes the one used last. */
static struct body *use_body(struct account *a, uint64_t n)
{
    struct body *b = find_body(a, n);
    if (b) {
        HASH_DEL(a->bodies, b);
    } else {
        b = mem_zalloc(sizeof *b);
        b->number = n;
    }
    HASH_ADD(hh, a->bodies, number, sizeof b->number, b);
    return b;
}

static void drop_chunk(struct account *a, struct body *b, struct chunk *c)
{
    DL_DELETE(b->chunks, c);
    a->body_bytes -= c->len;
    blob_unref(c->bytes);
    free(c);
}

static void drop_chunks(struct account *a, struct body *b)
{
    while (b->chunks)
        drop_chunk(a, b, b->chunks);
}

static void drop_body(struct account *a, struct body *b)
{
    drop_chunks(a, b);
    if (b->fetches) {
        b->forgotten = true;
        return;
    }
    HASH_DEL(a->bodies, b);
    free(b);
}

void body_forget(struct account *a, uint32_t gen, uint32_t uid)
{
    struct body *b = find_body(a, number(gen, uid));
    if (b)
        drop_body(a, b);
}

void bodies_free(struct account *a)
{
    struct body *b, *tmp;
    HASH_ITER (hh, a->bodies, b, tmp)
        drop_body(a, b);
}

/* The least recently used go first; of the one in use, what lies behind the reader. */
static void evict(struct account *a, struct body *keep, uint64_t reader)
{
    struct body *b, *tmp;
    HASH_ITER (hh, a->bodies, b, tmp) {
        if (a->body_bytes <= a->config->cache)
            return;
        if (b == keep)
            continue;
        drop_chunks(a, b);
        if (!b->fetches && !b->no_data) {
            HASH_DEL(a->bodies, b);
            free(b);
        }
    }
    while (a->body_bytes > a->config->cache && keep && keep->chunks &&
           keep->chunks->off + keep->chunks->len <= reader)
        drop_chunk(a, keep, keep->chunks);
}

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
        if (off < f->off || off >= f->off + f->len)
            continue;
        if (!f->op)
            return f;
        if (off >= fetch_head(f) && off - fetch_head(f) < STREAM_NEAR && !atomic_load(&f->op->hold))
            return f;
    }
    return NULL;
}

static int by_offset(const struct chunk *x, const struct chunk *y)
{
    return x->off < y->off ? -1 : x->off > y->off;
}

struct body_op {
    struct account *a;
    struct fetch *fetch;
    uint64_t number;
};

/* The literal is the truth about a size, RFC822.SIZE a promise (RFC 2683 section 3.4.5). A window
 * that comes short does not prove the end, since some servers cap windows; an empty one does.
 * Returns how far the size was wrong: > 0 when the message is longer than was said. */
static int learn_size(struct account *a, uint64_t n, uint64_t off, size_t got, size_t len)
{
    struct folder *folder;
    struct msg *m = msg_by_number(a, (uint32_t)(n >> 32), (uint32_t)n, &folder);
    if (!m)
        return 0;
    uint64_t was = m->size, end = off + got;
    if (got == 0 && off < was) {
        m->size = off;
    } else if (got && got < len && end >= was) {
        m->size = end;
        m->flags |= MSG_SIZED;
    } else if (got && end > was) {
        m->size = end + MSG_UNKNOWN_SIZE; /* there may be more: let readers ask */
    }
    if (m->size != was)
        log_debug("%s: UID %u does not have the %llu bytes that were announced", folder->wire,
                  m->uid, (unsigned long long)was);
    return m->size > was ? 1 : m->size < was ? -1 : 0;
}

static void keep_bytes(struct account *a, struct body *b, uint64_t off, struct blob *bytes)
{
    if (!bytes || !bytes->len || b->forgotten)
        return;
    struct chunk *c = mem_zalloc(sizeof *c);
    c->off = off;
    c->len = bytes->len;
    c->bytes = blob_ref(bytes);
    a->body_bytes += c->len;
    DL_INSERT_INORDER(b->chunks, c, by_offset);
}

void body_release(struct account *a, uint32_t gen, uint32_t uid)
{
    struct body *b = find_body(a, number(gen, uid));
    if (b && !b->fetches)
        drop_body(a, b);
}

void body_apart(struct account *a, uint32_t gen, uint32_t uid)
{
    use_body(a, number(gen, uid))->apart = true;
}

bool body_known(struct account *a, uint32_t gen, uint32_t uid)
{
    const struct body *b = find_body(a, number(gen, uid));
    return b && (b->fetches || (b->chunks && b->chunks->off == 0));
}

struct str body_begin(struct account *a, uint32_t gen, uint32_t uid)
{
    const struct body *b = find_body(a, number(gen, uid));
    const struct chunk *c = b ? b->chunks : NULL;
    return c && c->off == 0 ? (struct str){c->bytes->data, c->len} : (struct str){"", 0};
}

int body_take(struct account *a, const struct folder *f, uint32_t uid, struct blob *bytes,
              size_t len)
{
    struct body *b = use_body(a, number(f->gen, uid));
    int resized = learn_size(a, b->number, 0, bytes->len, len);
    if (!b->chunks || b->chunks->off >= bytes->len) {
        keep_bytes(a, b, 0, bytes);
        b->window = len;
        b->frontier = bytes->len; /* who reads on from there reads straight on */
    }
    evict(a, b, 0);
    if (resized > 0)
        a->hooks.msg_size(a->hooks.ctx, f->gen, uid);
    return resized;
}

/* How many of these bytes are here, up to the first that is not. */
static size_t present(const struct body *b, uint64_t off, size_t len)
{
    size_t have = 0;
    for (const struct chunk *c = b->chunks; c && have < len && c->off <= off + have; c = c->next)
        if (off + have < c->off + c->len)
            have = (size_t)(c->off + c->len - off);
    return have < len ? have : len;
}

/* ---- streams ---- */

/* So much may lie ahead of a reader; */
static size_t stream_limit(const struct account *a)
{
    size_t most = 2 * LIMIT_WINDOW;
    most = most < a->config->cache / 2 ? most : a->config->cache / 2;
    return most < a->config->prefetch ? most : a->config->prefetch;
}

/* ... while he has not come far, only as much as he has come twice over. */
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
    a->stream_ahead = stream_ahead(f);
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
    a->stream_ahead = stream_ahead(f);
    atomic_store(&f->op->used_at, clock_ms());
    if (atomic_load(&f->op->hold) && stream_ahead(f) <= stream_most(a, f) / 2)
        pool_resume(a->pool, f->op);
    while (b->chunks && b->chunks->off + b->chunks->len + STREAM_BEHIND < f->reader)
        drop_chunk(a, b, b->chunks);
}

/* The bytes that may be the message's last ones: kept only once it is known, or with it in one go,
 * whether they are, so that nobody is told of an end that is none. */
static void keep_last(struct account *a, struct body *b, struct fetch *f)
{
    if (f->last && present(b, f->last_off, f->last->len) < f->last->len)
        keep_bytes(a, b, f->last_off, f->last);
    blob_unref(f->last);
    f->last = NULL;
}

static void on_body_bytes(struct op *op, uint32_t uid, size_t at, struct blob *bytes)
{
    struct body_op *bo = op->ctx;
    struct account *a = bo->a;
    struct fetch *f = bo->fetch;
    struct folder *folder;
    struct waiter *woken = NULL;
    (void)uid;
    account_lock(a);
    struct body *b = find_body(a, bo->number);
    uint32_t gen = (uint32_t)(bo->number >> 32);
    if (f->last && at > 0) {
        /* There is more behind the announced end. */
        if (learn_size(a, bo->number, f->off, f->got, f->got) > 0)
            a->hooks.msg_size(a->hooks.ctx, gen, (uint32_t)bo->number);
        keep_last(a, b, f);
    }
    blob_unref(f->last); /* of an attempt whose connection was lost */
    f->last = bytes;
    f->last_off = f->off + at;
    f->no_memory = !bytes;
    f->got = at + (bytes ? bytes->len : 0);
    const struct msg *m = msg_by_number(a, gen, (uint32_t)bo->number, &folder);
    if (m && f->got < f->len && f->off + f->got < m->size) {
        keep_last(a, b, f);
        woken = waiters_take(&f->waiters);
    }
    if (op->pieces)
        a->pieces = PIECES_YES;
    if (f->op)
        stream_fill(a, f);
    evict(a, b, 0);
    account_unlock(a);
    wake_all(woken, 0);
}

/* OK without data: gone, moved by this mount meanwhile, or a server that cannot send this message.
 * The first time the readers wait until it is known which; 0 when they are taken care of. */
static int no_data(struct account *a, struct body *b, struct fetch *fetch)
{
    struct folder *f;
    const struct msg *m = msg_by_number(a, (uint32_t)(b->number >> 32), (uint32_t)b->number, &f);
    if (!m)
        return -ESTALE;
    if (number(f->gen, m->uid) != b->number)
        return 0; /* they ask again, in the new place */
    b->no_data = !b->no_data;
    if (!b->no_data)
        return -EIO;
    folder_recheck(a, f, m->uid, waiters_take(&fetch->waiters));
    return 0;
}

/* What of it is counted as under way. */
static size_t fetch_share(const struct account *a, const struct fetch *f)
{
    size_t limit = stream_limit(a);
    return f->op && f->len > limit ? limit : f->len;
}

static void stream_end(struct account *a, struct body *b, struct fetch *f)
{
    b->stream = NULL;
    /* One that ended early will again: nobody reads on, or the server sends no more at once. */
    b->left = f->got + 1 < f->len;
    if (b->left && b->frontier == f->off + f->len)
        b->frontier = fetch_head(f);
    a->streaming = false;
    a->stream_ahead = 0;
}

static void on_body_done(struct op *op)
{
    struct body_op *bo = op->ctx;
    struct account *a = bo->a;
    struct fetch *f = bo->fetch;
    account_lock(a);
    struct body *b = find_body(a, bo->number);
    int err = f->no_memory ? -ENOMEM : op->err;
    if (op->err == -ESTALE)
        folder_contradicted(a, op);
    if (err == -ENODATA)
        err = no_data(a, b, f);
    else if (!err)
        b->no_data = false;
    if (!op->err && !op->pieces && f->got >= TELLING)
        a->pieces = PIECES_NO;
    a->body_inflight -= fetch_share(a, f);
    DL_DELETE(b->fetches, f);
    if (f->op)
        stream_end(a, b, f);
    int resized = 0;
    if (err == -ECANCELED)
        err = 0; /* who waits for more asks again */
    else if (!err && !op->err) {
        resized = learn_size(a, bo->number, f->off, f->got, f->len);
        keep_last(a, b, f);
    } else {
        b->frontier = 0;
    }
    struct waiter *woken = waiters_take(&f->waiters);
    /* Before they are served, their bytes must not be evicted: what is evicted is of others. */
    if (b->forgotten && !b->fetches) {
        HASH_DEL(a->bodies, b);
        free(b);
    } else {
        evict(a, b, 0);
    }
    uint32_t gen = (uint32_t)(bo->number >> 32), uid = (uint32_t)bo->number;
    /* Of more bytes the kernel must know before the reader gets these, or he stops at what seemed
     * the end. Of fewer it learns by the reader's short read, unless it was told something newer
     * before: so that note comes second. */
    if (resized > 0)
        a->hooks.msg_size(a->hooks.ctx, gen, uid);
    account_unlock(a);
    wake_all(woken, err);
    if (resized < 0)
        a->hooks.msg_size(a->hooks.ctx, gen, uid);
    blob_unref(f->last);
    free(f);
    free(bo);
    op_free(op);
}

/* Asks for the bytes; as a stream or not. */
static struct fetch *submit_fetch(struct account *a, struct body *b, const struct folder *folder,
                                  uint32_t uid, uint64_t off, size_t len, bool stream)
{
    struct op *op = op_new(OP_BODY, folder->wire, folder->uidvalidity);
    struct fetch *f = mem_zalloc(sizeof *f);
    f->off = off;
    f->len = len;
    f->op = stream ? op : NULL;
    DL_APPEND(b->fetches, f);
    b->frontier = off + len;
    a->body_inflight += fetch_share(a, f);
    a->n_fetches++;

    struct body_op *bo = mem_alloc(sizeof *bo);
    *bo = (struct body_op){a, f, b->number};
    op->uid = uid;
    op->off = off;
    op->len = (uint32_t)len;
    op->stream = stream;
    op->mark_seen = a->config->mark_seen;
    op->on_bytes = on_body_bytes;
    op->done = on_body_done;
    op->ctx = bo;
    atomic_init(&op->used_at, clock_ms());
    pool_submit(a->pool, op);
    return f;
}

/* One byte more than ends where the message is said to end tells whether it does. */
static bool ends_there(const struct msg *m, uint64_t end)
{
    return m && !(m->flags & MSG_SIZED) && end == m->size;
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
    if (a->body_inflight > a->config->cache / 2)
        b->window = BODY_FIRST_WINDOW;
    size_t len = least > b->window ? least : b->window;
    len = len < LIMIT_WINDOW ? len : LIMIT_WINDOW;
    for (struct chunk *c = b->chunks; c; c = c->next)
        if (c->off > off && c->off - off < len)
            len = (size_t)(c->off - off); /* not what is there already */
    if (ends_there(msgtable_find(&folder->msgs, uid), off + len))
        len++;
    return submit_fetch(a, b, folder, uid, off, len, false);
}

/* May what is left behind the frontier be streamed, and is it worth it? One message at a time, so
 * that all but one connection are there for what somebody waits for. */
static bool stream_suits(struct account *a, const struct body *b, const struct msg *m)
{
    return m->size - b->frontier >= STREAM_LEAST && stream_limit(a) >= STREAM_LIMIT &&
           !a->streaming && !b->left && a->pieces != PIECES_NO && pool_may_stream(a->pool);
}

static void start_stream(struct account *a, struct body *b, const struct folder *folder,
                         const struct msg *m, uint64_t reader)
{
    uint64_t len = m->size - b->frontier;
    if (len > LIMIT_LITERAL - 1)
        len = LIMIT_LITERAL - 1;
    if (ends_there(m, b->frontier + len))
        len++;
    a->streaming = true;
    b->stream = submit_fetch(a, b, folder, m->uid, b->frontier, (size_t)len, true);
    b->stream->run = b->run;
    b->stream->reader = reader;
}

/* ---- reading ---- */

/* Adds what lies from `off` on without a gap, up to `len` bytes; returns how many. */
static size_t add_chunks(const struct body *b, uint64_t off, size_t len, struct slices *out)
{
    size_t copied = 0;
    for (const struct chunk *c = b->chunks; c && copied < len; c = c->next) {
        uint64_t at = off + copied;
        if (at < c->off)
            break;
        if (at >= c->off + c->len)
            continue;
        size_t skip = (size_t)(at - c->off), n = c->len - skip;
        n = n < len - copied ? n : len - copied;
        slices_add(out, c->bytes, skip, n);
        copied += n;
    }
    return copied;
}

/* Whether there is more than a size that learn_size() guessed, the reader is left to find out. An
 * answer that takes the guess back at once would reach the kernel while it asks for the size, and
 * then it goes by what it believed before: the reader stops too early. */
static bool is_guess(const struct body *b, const struct msg *m)
{
    return m->size == b->frontier + MSG_UNKNOWN_SIZE;
}

/* Someone reads straight on: have the next windows under way before he comes to them, as far as he
 * has come twice over. */
static void read_ahead(struct account *a, struct body *b, const struct folder *folder,
                       const struct msg *m, uint64_t reader)
{
    uint64_t come = reader > b->run ? reader - b->run : 0;
    uint64_t most = come < LIMIT_WINDOW ? 2 * come : 2 * LIMIT_WINDOW;
    while (come >= BODY_FIRST_WINDOW && b->frontier < m->size && !is_guess(b, m) &&
           reader <= b->frontier && b->frontier - reader < most &&
           a->body_inflight <= a->config->cache / 2) {
        bool stream = come >= STREAM_AFTER && stream_suits(a, b, m);
        if (stream && a->pieces == PIECES_UNKNOWN && b->fetches && b->window >= TELLING)
            break; /* what is under way tells whether they come in pieces */
        if (stream && a->pieces == PIECES_YES)
            start_stream(a, b, folder, m, reader);
        else
            start_fetch(a, b, folder, m->uid, b->frontier, 0);
    }
}

int account_read(struct account *a, uint32_t gen, uint32_t uid, uint64_t off, size_t len,
                 struct slices *out, struct waiter *w)
{
    int result = 0;
    struct folder *folder;
    account_lock(a);
    struct msg *m = msg_by_number(a, gen, uid, &folder);
    if (!m) {
        result = -ESTALE;
        goto out;
    }
    if (off >= m->size)
        goto out;
    if (len > m->size - off)
        len = (size_t)(m->size - off);
    struct walk_lead lead = prefetch_read(a, folder, m, off, len);
    struct body *b = use_body(a, number(folder->gen, m->uid));
    size_t have = add_chunks(b, off, len, out);
    a->n_reads++;
    stream_drain(a, b, off, off + have);
    if (have == len) {
        a->n_read_hits++;
        read_ahead(a, b, folder, m, off + len);
        evict(a, b, off);
        prefetch_more(a, folder, &lead);
        goto out;
    }
    slices_reset(out);
    result = -EINPROGRESS;
    if (!prefetch_await(a, folder, m, off + have, w) &&
        (off + have > 0 || b->fetches || b->apart || !prefetch_join(a, folder, m, w))) {
        struct fetch *f = fetch_at(b, off + have);
        if (!f)
            f = start_fetch(a, b, folder, m->uid, off + have, len - have);
        waiter_add(&f->waiters, w);
        read_ahead(a, b, folder, m, off + have);
    }
    prefetch_more(a, folder, &lead);
out:
    account_unlock(a);
    return result;
}
