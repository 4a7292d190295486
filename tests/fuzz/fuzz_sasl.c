/* A server's part of a login. The first line of the input is the mechanism, each of the others a
 * challenge: with "=" in front it is encoded in base64 first, and "$N" in it is SCRAM's nonce. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "imap/base/clock.h"
#include "imap/base/mem.h"
#include "imap/conn/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char password[] = "wonderland";

/* "n,,n=alice,r=NONCE" */
static void take_nonce(struct buf *response, struct buf *nonce)
{
    struct buf text = {0};
    if (sasl_decode(buf_str(response), &text) == 0) {
        const char *r = strstr(buf_str(&text), ",r=");
        buf_adds(nonce, r ? r + 3 : "");
    }
    buf_free(&text);
}

static void challenge(const char *line, struct buf *nonce, struct buf *out)
{
    struct buf text = {0};
    const char *n = strstr(line, "$N");
    if (n)
        buf_addf(&text, "%.*s%s%s", (int)(n - line), line, buf_str(nonce), n + 2);
    else
        buf_adds(&text, line);
    buf_reset(out);
    if (*line == '=')
        sasl_encode(buf_str(&text) + 1, text.len - 1, out);
    else
        buf_adds(out, buf_str(&text));
    buf_free(&text);
}

static void talk(struct sasl *s, char *lines)
{
    struct buf out = {0}, in = {0}, why = {0}, nonce = {0};
    int r = sasl_step(s, "", &out, &why);
    take_nonce(&out, &nonce);
    for (char *line = strtok(lines, "\n"); r >= 0 && line; line = strtok(NULL, "\n")) {
        buf_reset(&out);
        challenge(line, &nonce, &in);
        r = sasl_step(s, buf_str(&in), &out, &why);
        assert(r == 0 || r == 1 || r == -EPROTO || r == -EACCES);
    }
    assert((r < 0) == (why.len > 0));
    /* It never says more than one sentence, and none with the password. */
    assert(!why.len || !strstr(buf_str(&why), password));
    buf_free(&out);
    buf_free(&in);
    buf_free(&why);
    buf_free(&nonce);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *input = mem_strndup((const char *)data, size);
    char *rest = input + strcspn(input, "\n");
    if (*rest)
        *rest++ = '\0';
    struct buf why = {0};
    /* Kerberos goes through libraries that leak, and a ticket that is not here. */
    bool kerberos = strncasecmp(input, "GS", 2) == 0;
    /* A deadline that is over: SCRAM's rounds are few, or refused. */
    struct sasl *s =
        kerberos ? NULL : sasl_start(input, "alice", password, "localhost", clock_ms(), &why);
    assert(kerberos || !s == (why.len > 0));
    if (s)
        talk(s, rest);
    sasl_free(s);
    buf_free(&why);
    free(input);
    return 0;
}
