/* What a user writes into user.imap.flags is refused or makes one STORE, and nothing beside it. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>

#include "imap/base/limits.h"
#include "imap/wire/flags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* [+-]FLAGS (flag flag) */
static void check(const char *text)
{
    text += *text == '+' || *text == '-';
    assert(strncmp(text, "FLAGS (", 7) == 0);
    text += 7;
    while (*text != ')') {
        struct str flag = {text, strcspn(text, " )")};
        assert(flag_valid(flag) && flag.n <= LIMIT_KEYWORD && !str_is(flag, "\\Recent"));
        assert(*flag.p != '\\' || flag_from_name(flag));
        text += flag.n;
        assert(*text == ')' || (text[0] == ' ' && text[1] != ')'));
        text += *text == ' ';
    }
    assert(text[1] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = {0};
    struct flag_change change = {0};
    int err = flag_change_read(&change, (const char *)data, size);
    assert(err == 0 || err == -EINVAL || err == -E2BIG);
    if (!err) {
        flag_change_text(&change, &out);
        assert(out.len < LIMIT_COMMAND && strlen(buf_str(&out)) == out.len);
        check(buf_str(&out));
    }
    buf_free(&out);
    flag_change_free(&change);
    return 0;
}
