#include "imap/wire/msgid.h"

enum { LONGEST = 500 }; /* bytes; a longer Message-ID is none */

/* "<" and ">" and between them what a quoted string may carry (RFC 5322 section 3.6.4, leniently).
 */
static bool take_id(const char *p, const char *end, struct buf *id)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    const char *close = p < end && *p == '<' ? memchr(p, '>', (size_t)(end - p)) : NULL;
    if (!close || close - p < 2 || close - p > LONGEST)
        return false;
    for (const char *q = p; q <= close; q++)
        if (*q <= ' ' || *q >= 0x7f)
            return false;
    buf_add(id, p, (size_t)(close + 1 - p));
    return true;
}

bool msgid_find(struct str message, struct buf *id)
{
    static const char name[] = "message-id:";
    const char *p = message.p, *end = message.p + message.n;
    while (p < end && *p != '\r' && *p != '\n') {
        const char *line = p;
        do { /* the field with the lines it goes on in */
            const char *nl = memchr(p, '\n', (size_t)(end - p));
            p = nl ? nl + 1 : end;
        } while (p < end && (*p == ' ' || *p == '\t'));
        size_t n = sizeof name - 1;
        if ((size_t)(p - line) > n && strncasecmp(line, name, n) == 0)
            return take_id(line + n, p, id);
    }
    return false;
}
