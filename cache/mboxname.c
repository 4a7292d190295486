#include <errno.h>
#include <stdint.h>

#include "cache/mboxname.h"
#include "imap/wire/utf7.h"

/* What stands for a component without characters; a space is otherwise never escaped. */
#define EMPTY "%20"

/* "~" and eight digits. */
#define SUFFIX_LEN 9

static const char *const hidden[] = {".search", ".parts", ".imapfs"};

static bool equal(const char *s, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(s, word, len) == 0;
}

static bool is_dots(const char *s, size_t len)
{
    return equal(s, len, ".") || equal(s, len, "..");
}

static bool is_hidden(const char *s, size_t len)
{
    for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
        if (equal(s, len, hidden[i]))
            return true;
    return false;
}

/* The value of two hex digits, upper case only unless `any_case`; -1 if they are not. */
static int hex_byte(const char *s, const char *end, bool any_case)
{
    int value = 0;
    if (end - s < 2)
        return -1;
    for (int i = 0; i < 2; i++) {
        char c = s[i];
        if (c >= '0' && c <= '9')
            value = value << 4 | (c - '0');
        else if (c >= 'A' && c <= 'F')
            value = value << 4 | (c - 'A' + 10);
        else if (any_case && c >= 'a' && c <= 'f')
            value = value << 4 | (c - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* FNV-1a, folded. Twins by hash are no danger: they merely look alike. */
static uint32_t hash(const char *s, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)s[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32);
}

/* Whether the character `cp` at `s` has to be escaped in any name. */
static bool is_unsafe(uint32_t cp, const char *s, const char *end)
{
    if (cp == '%')
        return hex_byte(s + 1, end, true) >= 0;
    return cp == '/' || cp == 0x2028 || cp == 0x2029 || utf8_is_control(cp) || utf8_is_bidi(cp);
}

/* Appends `text` escaped. `broken`: it is what came instead of modified UTF-7, so '&' is not an
 * ampersand. Stops behind the first byte that cannot be in a file name any more and says where it
 * would be cut: returns the length to keep, or SIZE_MAX if all of it fits. */
static size_t escape(const char *text, size_t len, bool broken, struct buf *out)
{
    const char *end = text + len;
    size_t start = out->len, cut = start;
    bool dots = is_dots(text, len);

    for (const char *s = text; s < end;) {
        uint32_t cp;
        size_t n = utf8_next(s, (size_t)(end - s), &cp);
        bool plain = n > 0 && !is_unsafe(cp, s, end) && !(broken && cp == '&') &&
                     !(cp == '.' && (dots || (s == text && is_hidden(text, len))));
        if (n == 0)
            n = 1;
        if (plain)
            buf_add(out, s, n);
        for (size_t i = 0; !plain && i < n; i++)
            buf_addf(out, "%%%02X", (unsigned)(unsigned char)s[i]);
        s += n;
        if (out->len - start <= MBOXNAME_MAX - SUFFIX_LEN)
            cut = out->len;
        if (out->len - start > MBOXNAME_MAX)
            return cut;
    }
    return SIZE_MAX;
}

void mboxname_show(const char *wire, size_t len, bool utf8, struct buf *out)
{
    struct buf decoded = {0};
    size_t cut;

    if (len == 0) {
        buf_adds(out, EMPTY);
        return;
    }
    if (utf8)
        cut = escape(wire, len, false, out);
    else if (utf7_decode(wire, len, &decoded) == 0)
        cut = escape(decoded.data, decoded.len, false, out);
    else
        cut = escape(wire, len, true, out);
    if (cut != SIZE_MAX) {
        out->len = cut;
        buf_addf(out, "~%08x", (unsigned)hash(wire, len));
    }
    buf_free(&decoded);
}

/* Undoes %XX; -EINVAL if that (or %xx, to be on the safe side) makes a control character. */
static int unescape(const char *s, size_t len, struct buf *out)
{
    const char *end = s + len;
    while (s < end) {
        int any = *s == '%' ? hex_byte(s + 1, end, true) : -1;
        if (any >= 0 && (any < 0x20 || any == 0x7f))
            return -EINVAL;
        int byte = *s == '%' ? hex_byte(s + 1, end, false) : -1;
        buf_addc(out, (char)(byte >= 0 ? byte : *s));
        s += byte >= 0 ? 3 : 1;
    }
    return 0;
}

/* 0 if `s` may be a name: no control character; invalid UTF-8 only if `any_bytes`. */
static int check(const char *s, size_t len, bool any_bytes)
{
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t n = utf8_next(s + i, len - i, &cp);
        if (n == 0 && !any_bytes)
            return -EILSEQ;
        if (n > 0 && utf8_is_control(cp))
            return -EINVAL;
        i += n > 0 ? n : 1;
    }
    return 0;
}

static bool shows_as(const struct buf *wire, bool utf8, const char *shown, size_t len)
{
    struct buf again = {0};
    mboxname_show(wire->data, wire->len, utf8, &again);
    bool same = again.len == len && memcmp(again.data, shown, len) == 0;
    buf_free(&again);
    return same;
}

static int encode(const char *s, size_t len, bool utf8, struct buf *out)
{
    if (!utf8)
        return utf7_encode(s, len, out);
    buf_add(out, s, len);
    return 0;
}

/* The wire form of a name that passed check(). Instead of judging each %XX by itself this asks
 * whether mboxname_show() would have written the name: for what the escapes mean as text, then for
 * what they mean as bytes (broken UTF-7); if neither, they are not escapes. */
static int derive(const char *shown, size_t len, const struct buf *text, bool utf8,
                  struct buf *wire)
{
    if (encode(text->data, text->len, utf8, wire) == 0 && shows_as(wire, utf8, shown, len))
        return 0;
    buf_reset(wire);
    buf_add(wire, text->data, text->len);
    if (shows_as(wire, utf8, shown, len))
        return 0;
    buf_reset(wire);
    return encode(shown, len, utf8, wire);
}

int mboxname_wire(const char *shown, char delim, bool utf8, struct buf *out)
{
    size_t len = strlen(shown);
    struct buf text = {0}, wire = {0};
    int rc = check(shown, len, false);

    if (rc < 0)
        goto out;
    rc = -EINVAL;
    if (len == 0 || is_dots(shown, len) || strchr(shown, '/') || equal(shown, len, EMPTY))
        goto out;
    rc = unescape(shown, len, &text);
    if (rc == 0)
        rc = check(text.data, text.len, true);
    if (rc == 0)
        rc = derive(shown, len, &text, utf8, &wire);
    if (rc == 0 && delim && memchr(wire.data, delim, wire.len))
        rc = -EINVAL;
    if (rc == 0)
        buf_add(out, wire.data, wire.len);
out:
    buf_free(&text);
    buf_free(&wire);
    return rc;
}
