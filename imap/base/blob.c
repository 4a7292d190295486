#include "imap/base/blob.h"

#include <pthread.h>
#include <stdlib.h>

#include "imap/base/mem.h"

/* Pieces that nobody needs at the moment. */
enum { SPARE = 8 };
static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static struct blob *spare[SPARE];
static size_t nspare;

struct blob *blob_copy(const char *data, size_t len)
{
    struct blob *b = len < 4096 ? malloc(sizeof *b + len) : mem_try(NULL, sizeof *b + len);
    if (!b)
        return NULL;
    *b = (struct blob){.data = b->own, .len = len};
    atomic_init(&b->refs, 1);
    memcpy(b->own, data, len);
    return b;
}

struct blob *blob_adopt(struct buf *from, const char *data, size_t len)
{
    struct blob *b = malloc(sizeof *b);
    if (!b)
        return NULL;
    *b = (struct blob){.data = data, .len = len, .owned = from->data};
    atomic_init(&b->refs, 1);
    *from = (struct buf){0};
    return b;
}

struct blob *blob_piece(void)
{
    pthread_mutex_lock(&spare_lock);
    struct blob *b = nspare ? spare[--nspare] : NULL;
    pthread_mutex_unlock(&spare_lock);
    if (!b)
        b = mem_try(NULL, sizeof *b + BLOB_PIECE);
    if (!b)
        return NULL;
    *b = (struct blob){.data = b->own, .piece = true};
    atomic_init(&b->refs, 1);
    return b;
}

/* Is it kept for the next one? */
static bool spared(struct blob *b)
{
    pthread_mutex_lock(&spare_lock);
    bool kept = nspare < SPARE;
    if (kept)
        spare[nspare++] = b;
    pthread_mutex_unlock(&spare_lock);
    return kept;
}

struct blob *blob_ref(struct blob *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void blob_unref(struct blob *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (b->piece && spared(b))
        return;
    free(b->owned);
    free(b);
}

void slices_add(struct slices *s, struct blob *b, size_t off, size_t len)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4;
        s->v = mem_realloc(s->v, s->cap * sizeof *s->v);
    }
    s->v[s->n++] = (struct slice){blob_ref(b), off, len};
    s->len += len;
}

void slices_reset(struct slices *s)
{
    for (size_t i = 0; i < s->n; i++)
        blob_unref(s->v[i].blob);
    s->n = s->len = 0;
}

void slices_free(struct slices *s)
{
    slices_reset(s);
    free(s->v);
    *s = (struct slices){0};
}
