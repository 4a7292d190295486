/* The compressed layer of a connection (COMPRESS=DEFLATE, RFC 4978): bytes in, bytes out, no
 * sockets. The one place that knows zlib.
 *
 * Both directions are raw deflate (RFC 1951) without a header, each one stream from the first byte
 * to the last. Memory is what was put in and not yet read, and zlib's own state (about 300 KiB):
 * what comes out is made while it is read, so how far it was compressed does not matter. One thread
 * uses a struct deflate at a time. */
#ifndef IMAP_CONN_DEFLATE_H
#define IMAP_CONN_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "imap/base/buf.h"

struct deflate;

/* Never fails; free with deflate_free() (NULL is allowed). */
struct deflate *deflate_new(void);
void deflate_free(struct deflate *d);

/* ---- receiving ---- */

/* Room for `len` compressed bytes from the peer, valid until the next call. deflate_filled() says
 * how many of them came. */
char *deflate_room(struct deflate *d, size_t len);
void deflate_filled(struct deflate *d, size_t n);

/* Decompresses at most `len` bytes (more than 0) into `data`. > 0: so many; -EAGAIN: the peer has
 * to send more first; 0: the peer ended its stream; -EPROTO: what it sent is not deflate, and
 * nothing more can be read. */
ssize_t deflate_read(struct deflate *d, void *data, size_t len);

/* May deflate_read() give something without another byte from the peer? */
bool deflate_pending(const struct deflate *d);

/* ---- sending ---- */

/* Compresses `len` bytes and appends the result to `out`. With `flush` the peer can decompress all
 * that was put in so far from what was given out; without it some is held back for later. */
void deflate_write(struct deflate *d, const void *data, size_t len, bool flush, struct buf *out);

#endif
