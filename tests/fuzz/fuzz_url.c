/* A SOURCE is taken or refused, and a refusal repeats nothing of it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "imap/base/utf8.h"
#include "imap/wire/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s)
{
    size_t len = s ? strlen(s) : 0;
    assert(!s || len > 0);
    assert(utf8_valid(s, len));
    for (size_t i = 0; i < len; i++)
        assert((unsigned char)s[i] >= ' ' && s[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text = {0}, why = {0};
    struct url u;

    buf_add(&text, data, size);
    if (url_parse(buf_str(&text), &u, &why) == 0) {
        assert(why.len == 0 && u.host && u.port);
        assert(u.host[0] != '-' && !strpbrk(u.host, "/@ []"));
        int port = atoi(u.port);
        assert(port > 0 && port < 65536 && u.port[0] != '0' &&
               u.port[strspn(u.port, "0123456789")] == 0);
        assert(!u.mailbox || (u.mailbox[0] != '/' && u.mailbox[strlen(u.mailbox) - 1] != '/'));
        check_text(u.user);
        check_text(u.host);
        check_text(u.mailbox);
    } else {
        assert(why.len > 0 && !u.host && !u.user && !u.port && !u.mailbox);
        check_text(buf_str(&why));
    }
    url_free(&u);
    buf_free(&text);
    buf_free(&why);
    return 0;
}
