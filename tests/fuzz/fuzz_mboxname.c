/* A folder's name is fit for a file name, and typing it back gives the folder. The first byte says
 * whether the wire has UTF-8. */
#include <assert.h>
#include <stdint.h>

#include "cache/mboxname.h"
#include "imap/wire/utf7.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file_name(const char *s, size_t len)
{
    assert(len > 0 && len <= MBOXNAME_MAX && utf8_valid(s, len));
    assert(s[0] != '.' || (len > 1 && (s[1] != '.' || len > 2)));
    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        i += utf8_next(s + i, len - i, &cp);
        assert(cp != '/' && !utf8_is_control(cp) && !utf8_is_bidi(cp));
    }
}

static bool has_control(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t cp = ' ';
        size_t n = utf8_next(s + i, len - i, &cp);
        if (n > 0 && utf8_is_control(cp))
            return true;
        i += n ? n : 1;
    }
    return false;
}

/* Whether a server that keeps to the RFC could have sent it, or something so broken that it is
 * shown byte by byte; not what is legible but spelt in another way than ours. */
static bool is_canonical(const char *wire, size_t len, bool utf8)
{
    struct buf text = {0}, again = {0};
    bool same = true;
    if (!utf8 && utf7_decode(wire, len, &text) == 0)
        same = utf7_encode(text.data, text.len, &again) == 0 && again.len == len &&
               memcmp(again.data, wire, len) == 0;
    else if (!utf8 && utf8_valid(wire, len))
        same = memchr(wire, '&', len) != NULL;
    buf_free(&text);
    buf_free(&again);
    return same;
}

static void check_typed(const char *s, size_t len, bool utf8)
{
    struct buf name = {0}, wire = {0};
    buf_add(&name, s, len);
    if (mboxname_wire(buf_str(&name), '/', utf8, &wire) == 0) {
        assert(wire.len > 0 && !memchr(wire.data, '/', wire.len));
        assert(!has_control(wire.data, wire.len));
    } else {
        assert(wire.len == 0);
    }
    buf_free(&name);
    buf_free(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool utf8 = data[0] & 1;
    const char *wire = (const char *)data + 1;
    size_t len = size - 1;
    struct buf shown = {0}, back = {0};

    mboxname_show(wire, len, utf8, &shown);
    check_file_name(shown.data, shown.len);
    bool cut = shown.len > MBOXNAME_MAX - 15 && shown.data[shown.len - 9] == '~';
    if (len > 0 && !cut && !has_control(wire, len) && is_canonical(wire, len, utf8)) {
        assert(mboxname_wire(buf_str(&shown), 0, utf8, &back) == 0);
        assert(back.len == len && memcmp(back.data, wire, len) == 0);
    }
    check_typed(wire, len, utf8);
    buf_free(&shown);
    buf_free(&back);
    return 0;
}
