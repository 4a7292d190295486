/* What of the lines on the wire a human gets to see: no message bytes and no secrets. */
#include <string.h>

#include "imap/base/log.h"
#include "imap/conn/conn.h"
#include "imap/conn/trace.h"

enum {
    SHOWN = 600,       /* bytes of a line in the debug log */
    PASSED = 80,       /* of one that was not understood */
    SPARE = 64 * 1024, /* more than a secret has: what begins before the cut is seen whole */
};

/* How many bytes of the name of a FETCH item that stands for message bytes are at `p` (RFC 3501
 * section 7.4.2, RFC 3516); 0 when none is. */
static size_t body_item(const char *p, size_t len)
{
    static const char *const names[] = {"BODY[", "BINARY[", "RFC822"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (len < n || strncasecmp(p, names[i], n) != 0)
            continue;
        if (names[i][n - 1] != '[') {
            while (n < len && p[n] != ' ')
                n++;
            return n == strlen("RFC822.SIZE") && strncasecmp(p, "RFC822.SIZE", n) == 0 ? 0 : n;
        }
        const char *end = memchr(p + n, ']', len - n);
        n = end ? (size_t)(end + 1 - p) : n;
        while (end && n < len && p[n] != ' ')
            n++; /* <0> */
        return n;
    }
    return 0;
}

/* How much of a line there is before message bytes begin, also where a server sends them as a
 * quoted string. A literal begins behind the line. */
static size_t before_body(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        size_t n =
            i && (line[i - 1] == ' ' || line[i - 1] == '(') ? body_item(line + i, len - i) : 0;
        if (!n)
            continue;
        i += n;
        while (i < len && line[i] == ' ')
            i++;
        bool nil = len - i >= 3 && strncasecmp(line + i, "NIL", 3) == 0;
        if (i < len && line[i] != '{' && !nil)
            return i;
        i--;
    }
    return len;
}

/* Appends the first line of what was sent or received, made fit to be seen; returns how many bytes
 * are kept back: those of a message, and what is behind the line. */
static size_t show(const struct conn *c, bool received, const char *data, size_t len, size_t max,
                   struct buf *out)
{
    const char *nl = memchr(data, '\n', len);
    size_t line = nl ? (size_t)(nl - data) : len;
    size_t rest = len - line - (nl ? 1 : 0);
    if (line && data[line - 1] == '\r')
        line--;
    /* No more of it is looked at, however long it is. */
    size_t begin = line < max + SPARE ? line : max + SPARE;
    size_t head = received ? before_body(data, begin) : begin;
    struct buf text = {0};
    buf_add(&text, data, head);
    if (received)
        secrets_hide(&c->session.secrets, &text);
    log_escape(out, text.data, text.len, max);
    buf_wipe_free(&text);
    return rest + (head < begin ? line - head : 0);
}

void conn_debug(const struct conn *c, const char *dir, const char *data, size_t len)
{
    if (!log_debugging())
        return;
    struct buf text = {0};
    size_t rest = show(c, *dir == '<', data, len, SHOWN, &text);
    if (rest)
        log_debug("imap[%u] %s %s (+%zu bytes)", c->index, dir, buf_str(&text), rest);
    else
        log_debug("imap[%u] %s %s", c->index, dir, buf_str(&text));
    buf_free(&text);
}

void conn_debug_state(const struct conn *c, const char *what, const char *from, const char *to)
{
    log_debug("imap[%u] %s: %s -> %s", c->index, what, from, to);
}

void conn_passed_over(const struct conn *c, const char *data, size_t len)
{
    static struct log_limit limit = LOG_LIMIT("lines that cannot be understood");
    struct buf text = {0};
    if (!log_may(&limit))
        return;
    show(c, true, data, len, PASSED, &text);
    log_warn("passing over what cannot be understood: %s", buf_str(&text));
    buf_free(&text);
}

struct str conn_words(struct conn *c, struct str text)
{
    if (!text.n || !c->session.secrets.n)
        return text;
    buf_reset(&c->session.words);
    buf_add(&c->session.words, text.p, text.n);
    if (!secrets_hide(&c->session.secrets, &c->session.words))
        return text;
    return (struct str){c->session.words.data, c->session.words.len};
}
