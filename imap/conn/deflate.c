#define ZLIB_CONST /* zlib takes what it only reads as const */
#include "imap/conn/deflate.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "imap/base/mem.h"

enum {
    RAW = -15,        /* zlib: no header, and the largest window, as the peer may use that */
    MEMORY = 8,       /* zlib's default */
    OUT_CHUNK = 4096, /* of compressed bytes, most of which are a command or two */
};

struct deflate {
    z_stream in; /* from the peer */
    struct buf wire;
    size_t wire_at; /* start of what is not yet decompressed */
    bool full;      /* the last read filled its buffer: there may be more */
    bool ended;     /* the peer said that this was all */
    bool broken;
    z_stream out; /* to the peer */
};

/* zlib's few blocks of known size, so that it never runs out of memory half way. */
static void *get_memory(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    return mem_zalloc((size_t)items * size);
}

static void give_memory(void *opaque, void *p)
{
    (void)opaque;
    free(p);
}

struct deflate *deflate_new(void)
{
    struct deflate *d = mem_zalloc(sizeof *d);
    d->in.zalloc = d->out.zalloc = get_memory;
    d->in.zfree = d->out.zfree = give_memory;
    /* They fail for want of memory or for arguments that zlib does not know. */
    if (inflateInit2(&d->in, RAW) != Z_OK ||
        deflateInit2(&d->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, RAW, MEMORY, Z_DEFAULT_STRATEGY) !=
            Z_OK)
        abort();
    return d;
}

void deflate_free(struct deflate *d)
{
    if (!d)
        return;
    inflateEnd(&d->in);
    deflateEnd(&d->out);
    buf_free(&d->wire);
    free(d);
}

/* ---- receiving ---- */

char *deflate_room(struct deflate *d, size_t len)
{
    if (d->wire_at) {
        buf_shift(&d->wire, d->wire_at);
        d->wire_at = 0;
    }
    return buf_room(&d->wire, len);
}

void deflate_filled(struct deflate *d, size_t n)
{
    d->wire.len += n;
}

/* As much as zlib, which counts in unsigned int, can be shown at once. */
static unsigned part(size_t len)
{
    return len < INT_MAX ? (unsigned)len : INT_MAX;
}

ssize_t deflate_read(struct deflate *d, void *data, size_t len)
{
    if (d->broken)
        return -EPROTO;
    if (d->ended)
        return 0;
    unsigned given = part(d->wire.len - d->wire_at), room = part(len);
    d->in.next_in = given ? (const unsigned char *)d->wire.data + d->wire_at : (const void *)"";
    d->in.avail_in = given;
    d->in.next_out = data;
    d->in.avail_out = room;
    int result = inflate(&d->in, Z_SYNC_FLUSH);
    d->wire_at += given - d->in.avail_in;
    unsigned made = room - d->in.avail_out;
    d->full = made == room;
    d->ended = result == Z_STREAM_END;
    /* Z_BUF_ERROR: there was nothing to go on with. */
    d->broken = !d->ended && result != Z_OK && result != Z_BUF_ERROR;
    if (made)
        return (ssize_t)made; /* also what came before an error */
    return d->broken ? -EPROTO : d->ended ? 0 : -EAGAIN;
}

bool deflate_pending(const struct deflate *d)
{
    return d->full || d->ended || d->broken || d->wire_at < d->wire.len;
}

/* ---- sending ---- */

void deflate_write(struct deflate *d, const void *data, size_t len, bool flush, struct buf *out)
{
    assert(len <= UINT_MAX);
    d->out.next_in = data;
    d->out.avail_in = (unsigned)len;
    do {
        d->out.next_out = (unsigned char *)buf_reserve(out, OUT_CHUNK);
        d->out.avail_out = OUT_CHUNK;
        /* It can only say that there was nothing left to do. */
        deflate(&d->out, flush ? Z_SYNC_FLUSH : Z_NO_FLUSH);
        out->len += OUT_CHUNK - d->out.avail_out;
    } while (d->out.avail_out == 0);
}
