#include <errno.h>
#include <stdint.h>

#include "imap/wire/utf7.h"

/* Base64 with ',' in the place of '/', which would read as a hierarchy delimiter. */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == ',' ? 63 : -1;
}

/* One UTF-16 unit behind the other; `high` is a first surrogate waiting for its second, or 0. */
static bool take_unit(uint32_t unit, uint32_t *high, struct buf *out)
{
    bool second = unit >= 0xdc00 && unit <= 0xdfff;
    if (second != (*high != 0))
        return false;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        *high = unit;
        return true;
    }
    uint32_t cp = second ? 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00) : unit;
    *high = 0;
    if (utf8_is_control(cp))
        return false;
    char utf8[4];
    buf_add(out, utf8, utf8_put(cp, utf8));
    return true;
}

/* Decodes from behind '&' to the '-', both ends of a non-empty run of base64. Returns the number of
 * bytes read with the '-', or 0 if they are malformed. */
static size_t decode_run(const char *in, size_t len, struct buf *out)
{
    uint32_t bits = 0, high = 0;
    unsigned have = 0;
    size_t i;
    for (i = 0; i < len && in[i] != '-'; i++) {
        int d = digit(in[i]);
        if (d < 0)
            return 0;
        bits = (bits << 6 | (uint32_t)d) & 0x3fffff;
        have += 6;
        if (have >= 16) {
            have -= 16;
            if (!take_unit(bits >> have & 0xffff, &high, out))
                return 0;
        }
    }
    bool padded = have < 6 && (bits & ((1u << have) - 1)) == 0;
    return i < len && i > 0 && padded && high == 0 ? i + 1 : 0;
}

int utf7_decode(const char *in, size_t len, struct buf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)in[i++];
        if (c < 0x20 || c >= 0x7f)
            goto bad;
        if (c != '&') {
            buf_addc(out, (char)c);
        } else if (i < len && in[i] == '-') {
            buf_addc(out, '&');
            i++;
        } else {
            size_t n = decode_run(in + i, len - i, out);
            if (n == 0)
                goto bad;
            i += n;
        }
    }
    return 0;
bad:
    out->len = before;
    return -EILSEQ;
}

/* The base64 being written: `have` bits wait in `bits`. */
struct run {
    uint32_t bits;
    unsigned have;
    bool open;
};

static void run_put(struct run *run, uint32_t unit, struct buf *out)
{
    if (!run->open)
        buf_addc(out, '&');
    run->open = true;
    run->bits = run->bits << 16 | unit;
    run->have += 16;
    for (; run->have >= 6; run->have -= 6)
        buf_addc(out, alphabet[run->bits >> (run->have - 6) & 0x3f]);
    run->bits &= (1u << run->have) - 1;
}

static void run_close(struct run *run, struct buf *out)
{
    if (!run->open)
        return;
    if (run->have > 0)
        buf_addc(out, alphabet[run->bits << (6 - run->have) & 0x3f]);
    buf_addc(out, '-');
    *run = (struct run){0};
}

int utf7_encode(const char *in, size_t len, struct buf *out)
{
    size_t before = out->len;
    struct run run = {0};
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t n = utf8_next(in + i, len - i, &cp);
        if (n == 0 || utf8_is_control(cp)) {
            out->len = before;
            return n == 0 ? -EILSEQ : -EINVAL;
        }
        i += n;
        if (cp < 0x80) {
            run_close(&run, out);
            buf_addc(out, (char)cp);
            if (cp == '&')
                buf_addc(out, '-');
        } else if (cp < 0x10000) {
            run_put(&run, cp, out);
        } else {
            run_put(&run, 0xd800 + ((cp - 0x10000) >> 10), out);
            run_put(&run, 0xdc00 + ((cp - 0x10000) & 0x3ff), out);
        }
    }
    run_close(&run, out);
    return 0;
}
