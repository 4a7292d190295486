/* Whatever a peer sends decompresses to the same in one piece and in many, and whatever is sent can
 * be decompressed. The first three bytes say where to cut and how much is read at once. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>

#include "imap/conn/deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENOUGH = 1 << 18 }; /* bytes of output, of which there may be a thousand times as many */

static void put(struct deflate *d, const uint8_t *data, size_t len)
{
    if (len)
        memcpy(deflate_room(d, len), data, len);
    deflate_filled(d, len);
}

/* Appends what can be read now; what the last read said, or 1 when that is enough. */
static ssize_t drain(struct deflate *d, size_t piece, struct buf *out)
{
    ssize_t n = 1;
    while (out->len < ENOUGH && n > 0) {
        bool pending = deflate_pending(d);
        n = deflate_read(d, buf_reserve(out, piece), piece);
        assert(n <= (ssize_t)piece && (n >= 0 || n == -EAGAIN || n == -EPROTO));
        assert(pending || n == -EAGAIN); /* nobody would have asked */
        assert(deflate_pending(d) || n == -EAGAIN || (n > 0 && n < (ssize_t)piece));
        out->len += n > 0 ? (size_t)n : 0;
    }
    return n;
}

static void same(const struct buf *a, const struct buf *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    assert(a->len == b->len || (a->len >= ENOUGH && b->len >= ENOUGH));
    assert(n == 0 || memcmp(a->data, b->data, n) == 0);
}

static void receive(const uint8_t *data, size_t len, size_t cut, size_t piece)
{
    struct buf whole = {0}, pieces = {0};
    struct deflate *a = deflate_new(), *b = deflate_new();
    put(a, data, len);
    ssize_t all = drain(a, 65536, &whole);
    put(b, data, cut);
    ssize_t end = drain(b, piece, &pieces);
    put(b, data + cut, len - cut);
    if (end == -EAGAIN)
        end = drain(b, piece, &pieces);
    assert(all == end || whole.len >= ENOUGH || pieces.len >= ENOUGH);
    same(&whole, &pieces);
    deflate_free(a);
    deflate_free(b);
    buf_free(&whole);
    buf_free(&pieces);
}

static void send(const uint8_t *data, size_t len, size_t cut, size_t piece)
{
    struct buf plain = {0}, wire = {0}, got = {0};
    struct deflate *a = deflate_new(), *b = deflate_new();
    deflate_write(a, data, cut, piece & 1, &wire);
    deflate_write(a, data + cut, len - cut, true, &wire);
    put(b, (const uint8_t *)wire.data, wire.len);
    assert(drain(b, piece, &got) == -EAGAIN || len >= ENOUGH);
    buf_add(&plain, data, len);
    same(&got, &plain);
    deflate_free(a);
    deflate_free(b);
    buf_free(&plain);
    buf_free(&wire);
    buf_free(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t len = size - 3;
    size_t cut = (data[0] * 256u + data[1]) % (len + 1);
    size_t piece = data[2] + 1u;
    receive(data + 3, len, cut, piece);
    send(data + 3, len, cut, piece);
    return 0;
}
