/* A set keeps its shape, comes back from its text, and maps as its text says. A NUL parts the two
 * sets of a COPYUID. */
#include <assert.h>
#include <stdint.h>

#include "imap/wire/uidset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct uidset *s)
{
    for (size_t i = 0; i < s->n; i++) {
        assert(s->r[i].lo >= 1 && s->r[i].lo <= s->r[i].hi);
        assert(i == 0 || (uint64_t)s->r[i - 1].hi + 1 < s->r[i].lo);
        assert(uidset_has(s, s->r[i].lo) && uidset_has(s, s->r[i].hi));
        assert(!uidset_has(s, s->r[i].lo - 1));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *in = (const char *)data;
    const char *nul = size ? memchr(in, '\0', size) : NULL;
    size_t n = nul ? (size_t)(nul - in) : size;
    struct uidset a = {0}, b = {0}, c = {0};
    struct buf text = {0};

    bool good = uidset_parse(&a, in, n) == 0;
    check(&a);
    assert(good == (a.n > 0));
    if (good) {
        uidset_text(&a, &text);
        assert(uidset_parse(&b, text.data, text.len) == 0);
        assert(b.n == a.n && memcmp(a.r, b.r, a.n * sizeof(*a.r)) == 0);
        for (size_t i = a.n; i-- > 0;) /* backwards, the hard way */
            uidset_add(&c, a.r[i].hi, a.r[i].lo);
        assert(c.n == a.n && uidset_count(&c) == uidset_count(&a));
    }
    if (nul) {
        uint32_t mapped = 0, uid = a.n ? a.r[a.n / 2].lo : 1;
        int rc = uidset_map(in, n, nul + 1, size - n - 1, uid, &mapped);
        assert((rc == 0) == (mapped > 0) && (rc != 0 || good));
        bool good_b = uidset_parse(&b, nul + 1, size - n - 1) == 0;
        check(&b);
        assert(rc != 0 || (good_b && uidset_has(&b, mapped)));
    }
    uidset_free(&a);
    uidset_free(&b);
    uidset_free(&c);
    buf_free(&text);
    return 0;
}
