#include "fs/header.h"

#include <gmime/gmime.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "imap/base/mem.h"

/* GMime remembers every charset name that it meets, known or not, for as long as the process lives.
 * Strangers choose these names, so only so many are let through, the usual ones in any case. */
#define CHARSETS_MAX 128
#define CHARSET_LEN  40

/* The lock is held during calls of GMime: these take microseconds, and the C library loads and
 * unloads converters behind them. */
static pthread_mutex_t gmime_lock = PTHREAD_MUTEX_INITIALIZER;
static char charsets[CHARSETS_MAX][CHARSET_LEN] = {
    "utf-8",        "iso-8859-1", "us-ascii",     "windows-1252", "iso-8859-15",
    "iso-8859-2",   "gb2312",     "gbk",          "gb18030",      "big5",
    "iso-2022-jp",  "shift_jis",  "euc-jp",       "euc-kr",       "ks_c_5601-1987",
    "koi8-r",       "koi8-u",     "windows-1250", "windows-1251", "windows-1253",
    "windows-1254", "iso-8859-7", "windows-1255", "windows-1256", "iso-8859-9",
}; /* gmime_lock; in use up to the first empty one */

static bool charset_admit_locked(const char *name, size_t len)
{
    if (len == 0 || len >= CHARSET_LEN)
        return false;
    for (size_t i = 0; i < CHARSETS_MAX; i++) {
        if (charsets[i][0] == '\0')
            memcpy(charsets[i], name, len);
        if (g_ascii_strncasecmp(charsets[i], name, len) == 0 && charsets[i][len] == '\0')
            return true;
    }
    return false;
}

/* Whether GMime may see all the charsets that are named in `s`. */
static bool charsets_admit_locked(const char *s)
{
    while ((s = strstr(s, "=?"))) {
        s += 2;
        size_t len = strcspn(s, "?");
        const char *p = s + len;
        bool is_word = p[0] && p[1] && strchr("bBqQ", p[1]) && p[2] == '?';
        const char *language = memchr(s, '*', len); /* RFC 2231 §5 */
        if (is_word && !charset_admit_locked(s, language ? (size_t)(language - s) : len))
            return false;
    }
    return true;
}

bool header_gmime_begin(const char *text)
{
    pthread_mutex_lock(&gmime_lock);
    if (charsets_admit_locked(text))
        return true;
    pthread_mutex_unlock(&gmime_lock);
    return false;
}

void header_gmime_end(void)
{
    pthread_mutex_unlock(&gmime_lock);
}

char *header_decode(const char *text)
{
    if (!header_gmime_begin(text))
        return NULL;
    char *decoded = g_mime_utils_header_decode_text(NULL, text);
    header_gmime_end();
    char *copy = decoded ? mem_strdup(decoded) : NULL;
    g_free(decoded);
    return copy;
}

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
    char *text = header_decode(buf_str(&raw));
    char *clean = g_utf8_make_valid(text ? text : buf_str(&raw), -1);
    g_strstrip(clean);
    for (const char *p = clean; *p; p++)
        buf_addc(out, *p == '\n' || *p == '\r' ? ' ' : *p);
    g_free(clean);
    free(text);
    buf_free(&raw);
}
