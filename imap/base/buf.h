/* A growable run of bytes. Not thread-safe; zero-initialise ({0}) before first use. */
#ifndef IMAP_BASE_BUF_H
#define IMAP_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct buf {
    char *data; /* NULL until something was added; owned by the buf */
    size_t len; /* bytes in use */
    size_t cap; /* bytes allocated */
};

/* Makes room for `more` bytes behind the end and returns a pointer to that room, valid until the
 * next call that adds to `b`. Grows by doubling. */
char *buf_reserve(struct buf *b, size_t more);

/* The same without doubling: for what has a known size. */
char *buf_room(struct buf *b, size_t more);

/* Make room as buf_reserve() and buf_room() do, for what a server can size: false, and NULL, when
 * there is no memory. */
bool buf_try(struct buf *b, size_t more);
char *buf_try_room(struct buf *b, size_t more);

void buf_add(struct buf *b, const void *data, size_t len);
void buf_addc(struct buf *b, char c);
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Drops `n` bytes from the front (n <= len). */
void buf_shift(struct buf *b, size_t n);

/* The contents as a C string: a NUL is kept behind the end, not counted in len. Valid until the
 * next change of `b`. */
const char *buf_str(struct buf *b);

/* Hands the contents to the caller as a C string to free(); leaves `b` empty. */
char *buf_steal(struct buf *b);

/* Frees the bytes and empties `b`. */
void buf_free(struct buf *b);

/* As buf_free(), but overwrites the bytes first: for buffers that held a secret. */
void buf_wipe_free(struct buf *b);

static inline void buf_reset(struct buf *b)
{
    b->len = 0;
}

#endif
