/* Whatever decodes can be encoded and means the same again. */
#include <assert.h>
#include <stdint.h>

#include "imap/wire/utf7.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *in = (const char *)data;
    struct buf text = {0}, wire = {0}, again = {0};

    if (utf7_decode(in, size, &text) == 0) {
        assert(utf8_valid(text.data, text.len));
        assert(utf7_encode(text.data, text.len, &wire) == 0);
        assert(utf7_decode(wire.data, wire.len, &again) == 0);
        assert(again.len == text.len);
        assert(text.len == 0 || memcmp(again.data, text.data, text.len) == 0);
    } else {
        assert(text.len == 0);
    }
    buf_reset(&wire);
    buf_reset(&again);
    int rc = utf7_encode(in, size, &wire);
    assert((rc == 0) <= utf8_valid(in, size));
    if (rc == 0) {
        assert(utf7_decode(wire.data, wire.len, &again) == 0);
        assert(again.len == size && (size == 0 || memcmp(again.data, in, size) == 0));
        for (size_t i = 0; i < wire.len; i++)
            assert(wire.data[i] >= ' ' && wire.data[i] <= '~');
    }
    buf_free(&text);
    buf_free(&wire);
    buf_free(&again);
    return 0;
}
