#include "fs/header.h"

#include <gmime/gmime.h>
#include <string.h>

/* The value of the first field of that name with its folds, or NULL. */
static const char *find_field(const char *hdr, size_t len, const char *name, size_t *value_len)
{
    size_t n = strlen(name);
    const char *p = hdr, *end = hdr + len;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        eol = eol ? eol + 1 : end;
        while (eol < end && (*eol == ' ' || *eol == '\t')) {
            const char *more = memchr(eol, '\n', (size_t)(end - eol));
            eol = more ? more + 1 : end;
        }
        if ((size_t)(eol - p) > n && p[n] == ':' && g_ascii_strncasecmp(p, name, n) == 0) {
            *value_len = (size_t)(eol - p) - n - 1;
            return p + n + 1;
        }
        p = eol;
    }
    return NULL;
}

void header_text(const char *hdr, size_t len, const char *name, struct buf *out)
{
    size_t n;
    const char *value = find_field(hdr, len, name, &n);
    if (!value)
        return;
    struct buf raw = {0};
    for (size_t i = 0; i < n; i++)
        if (value[i] != '\r' && value[i] != '\n' && value[i] != '\0')
            buf_addc(&raw, value[i] == '\t' ? ' ' : value[i]);
    char *text = g_mime_utils_header_decode_text(NULL, buf_str(&raw));
    char *clean = g_utf8_make_valid(text, -1);
    g_strstrip(clean);
    for (const char *p = clean; *p; p++)
        buf_addc(out, *p == '\n' || *p == '\r' ? ' ' : *p);
    g_free(clean);
    g_free(text);
    buf_free(&raw);
}
