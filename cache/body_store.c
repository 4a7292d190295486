#include "cache/body_store.h"

#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "cache/messages.h"
#include "cache/state.h"
#include "imap/base/limits.h"
#include "imap/base/mem.h"

/* A body with what it is found by. */
struct kept {
    struct body body;  /* first, so that either pointer is the other */
    UT_hash_handle hh; /* in the order of use, oldest first */
};

static struct kept *kept_of(struct body *b)
{
    return (struct kept *)b;
}

struct body *body_find(struct account *a, uint64_t number)
{
    struct kept *k;
    HASH_FIND(hh, a->bodies.all, &number, sizeof number, k);
    return k ? &k->body : NULL;
}

struct body *body_use(struct account *a, uint64_t number)
{
    struct kept *k;
    HASH_FIND(hh, a->bodies.all, &number, sizeof number, k);
    if (k) {
        HASH_DEL(a->bodies.all, k);
    } else {
        k = mem_zalloc(sizeof *k);
        k->body.number = number;
    }
    HASH_ADD(hh, a->bodies.all, body.number, sizeof k->body.number, k);
    return &k->body;
}

static void drop_chunk(struct account *a, struct body *b, struct chunk *c)
{
    DL_DELETE(b->chunks, c);
    a->bodies.bytes -= c->len;
    a->bodies.n_chunks--;
    blob_unref(c->bytes);
    free(c);
}

void body_drop_chunks(struct account *a, struct body *b)
{
    while (b->chunks)
        drop_chunk(a, b, b->chunks);
}

void body_drop_behind(struct account *a, struct body *b, uint64_t reader, size_t most)
{
    while (b->chunks && b->chunks->off + b->chunks->len + most < reader)
        drop_chunk(a, b, b->chunks);
}

static void free_body(struct account *a, struct body *b)
{
    struct kept *k = kept_of(b);
    HASH_DEL(a->bodies.all, k);
    free(k);
}

static void drop_body(struct account *a, struct body *b)
{
    body_drop_chunks(a, b);
    if (b->fetches)
        b->forgotten = true;
    else
        free_body(a, b);
}

void body_forget(struct account *a, uint32_t gen, uint32_t uid)
{
    struct body *b = body_find(a, msg_number(gen, uid));
    if (b)
        drop_body(a, b);
}

void bodies_free(struct account *a)
{
    struct kept *k, *tmp;
    HASH_ITER (hh, a->bodies.all, k, tmp)
        drop_body(a, &k->body);
}

/* Is there more than may be kept? */
static bool too_much(const struct account *a)
{
    return a->bodies.bytes > a->config->cache || HASH_COUNT(a->bodies.all) > LIMIT_BODIES ||
           a->bodies.n_chunks > LIMIT_CHUNKS;
}

void bodies_evict(struct account *a, struct body *keep, uint64_t reader)
{
    struct kept *k, *tmp;
    HASH_ITER (hh, a->bodies.all, k, tmp) {
        struct body *b = &k->body;
        if (!too_much(a))
            return;
        if (b == keep)
            continue;
        body_drop_chunks(a, b);
        if (!b->fetches && !b->no_data && !b->extent.probes)
            free_body(a, b);
    }
    while (too_much(a) && keep && keep->chunks && keep->chunks->off + keep->chunks->len <= reader)
        drop_chunk(a, keep, keep->chunks);
}

void body_fetched(struct account *a, struct body *b)
{
    if (b->forgotten && !b->fetches)
        free_body(a, b);
    else
        bodies_evict(a, b, 0);
}

void bodies_drop_all(struct account *a)
{
    for (struct kept *k = a->bodies.all; k; k = k->hh.next)
        body_drop_chunks(a, &k->body);
}

static int by_offset(const struct chunk *x, const struct chunk *y)
{
    return x->off < y->off ? -1 : x->off > y->off;
}

void body_keep(struct account *a, struct body *b, uint64_t off, struct blob *bytes)
{
    if (!bytes || !bytes->len || b->forgotten)
        return;
    struct chunk *c = mem_zalloc(sizeof *c);
    c->off = off;
    c->len = bytes->len;
    c->bytes = blob_ref(bytes);
    a->bodies.bytes += c->len;
    a->bodies.n_chunks++;
    DL_INSERT_INORDER(b->chunks, c, by_offset);
}

void body_release(struct account *a, uint32_t gen, uint32_t uid)
{
    struct body *b = body_find(a, msg_number(gen, uid));
    if (b && !b->fetches)
        drop_body(a, b);
}

void body_apart(struct account *a, uint32_t gen, uint32_t uid)
{
    body_use(a, msg_number(gen, uid))->apart = true;
}

bool body_known(struct account *a, uint32_t gen, uint32_t uid)
{
    const struct body *b = body_find(a, msg_number(gen, uid));
    return b && (b->fetches || (b->chunks && b->chunks->off == 0));
}

struct str body_begin(struct account *a, uint32_t gen, uint32_t uid)
{
    const struct body *b = body_find(a, msg_number(gen, uid));
    const struct chunk *c = b ? b->chunks : NULL;
    return c && c->off == 0 ? (struct str){c->bytes->data, c->len} : (struct str){"", 0};
}

size_t body_present(const struct body *b, uint64_t off, size_t len)
{
    size_t have = 0;
    for (const struct chunk *c = b->chunks; c && have < len && c->off <= off + have; c = c->next)
        if (off + have < c->off + c->len)
            have = (size_t)(c->off + c->len - off);
    return have < len ? have : len;
}

size_t body_copy(const struct body *b, uint64_t off, size_t len, struct slices *out)
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
