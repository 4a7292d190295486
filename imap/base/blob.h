/* Bytes that came from the server, shared by reference until the last one who needs them is done.
 * Reference counts are atomic; the bytes do not change. */
#ifndef IMAP_BASE_BLOB_H
#define IMAP_BASE_BLOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "imap/base/buf.h"

struct blob {
    const char *data;
    size_t len;
    atomic_uint refs;
    char *owned; /* what data points into, to free(); NULL: own[] */
    bool piece;  /* made by blob_piece() */
    char own[];
};

/* Both return one reference, or NULL when memory is gone. blob_adopt() takes over the memory of
 * `from`, of which the blob is the `len` bytes at `data`; on failure `from` stays as it is. */
struct blob *blob_copy(const char *data, size_t len);
struct blob *blob_adopt(struct buf *from, const char *data, size_t len);

/* A blob of no bytes with room for BLOB_PIECE in own[], or NULL when memory is gone: who made it
 * fills that and sets `len`, before anybody else sees it. The last few that were given back are
 * kept, since memory that was just in use is a good deal faster to fill than memory the kernel has
 * to provide. */
enum { BLOB_PIECE = 256 * 1024 };
struct blob *blob_piece(void);

struct blob *blob_ref(struct blob *b);

/* NULL is allowed. */
void blob_unref(struct blob *b);

/* Bytes in several pieces, each of which keeps a reference to its blob. Zero-initialise. */
struct slices {
    struct slice {
        struct blob *blob;
        size_t off, len;
    } * v;
    size_t n, cap;
    size_t len; /* of all */
};

void slices_add(struct slices *s, struct blob *b, size_t off, size_t len);

/* Gives the references back; `s` is empty then, and keeps its room until slices_free(). */
void slices_reset(struct slices *s);
void slices_free(struct slices *s);

#endif
