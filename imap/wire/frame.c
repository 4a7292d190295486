#include "imap/wire/frame.h"

#include <stdint.h>
#include <string.h>

#include "imap/base/limits.h"
#include "imap/base/str.h"

enum literal { LITERAL_NONE, LITERAL_FOUND, LITERAL_BAD };

/* A status response ends in free text, and "+" too: a literal cannot be in either. */
static bool is_status(const char *line, size_t len)
{
    const char *end = line + len;
    if (*line == '+')
        return true;
    const char *p = memchr(line, ' ', len);
    if (!p)
        return true;
    while (p < end && *p == ' ')
        p++;
    const char *word = p;
    while (p < end && *p != ' ' && *p != '\r' && *p != '\n')
        p++;
    struct str w = {word, (size_t)(p - word)};
    return str_is(w, "OK") || str_is(w, "NO") || str_is(w, "BAD") || str_is(w, "BYE") ||
           str_is(w, "PREAUTH");
}

/* With the same idea of where a string ends as response.c has, or the two would disagree about what
 * is structure and what is content. */
static bool inside_quotes(const char *line, const char *at)
{
    bool quoted = false;
    for (const char *p = line; p < at; p++) {
        if (!quoted)
            quoted = *p == '"' && (p == line || strchr(" ([", p[-1]));
        else if (*p == '\\')
            p++;
        else if (*p == '"' && strchr(" )]\r\n", p[1]))
            quoted = false;
    }
    return quoted;
}

/* Does the line (line end included) announce a literal as its last token? */
static enum literal literal_at_end(const char *line, size_t len, size_t *size)
{
    const char *p = line + len - 1; /* the LF */
    if (p > line && p[-1] == '\r')
        p--;
    if (p == line || *--p != '}')
        return LITERAL_NONE;
    const char *digits_end = p;
    if (p > line && p[-1] == '+')
        digits_end = --p;
    while (p > line && p[-1] >= '0' && p[-1] <= '9')
        p--;
    if (p > line && p[-1] == '-' && p < digits_end)
        return LITERAL_BAD;
    if (p == digits_end || p == line || p[-1] != '{' || inside_quotes(line, p - 1))
        return LITERAL_NONE;
    uint64_t n = 0;
    for (; p < digits_end; p++) {
        n = n * 10 + (uint64_t)(*p - '0');
        if (n > LIMIT_LITERAL)
            return LITERAL_BAD;
    }
    *size = (size_t)n;
    return LITERAL_FOUND;
}

enum parse_result frame_scan(struct frame *f, const char *data, size_t len, size_t *end,
                             const char **why)
{
    while (f->pos <= len) {
        const char *nl = f->pos < len ? memchr(data + f->pos, '\n', len - f->pos) : NULL;
        size_t stop = nl ? (size_t)(nl - data) + 1 : len;
        if (stop - f->literals > f->max_line) {
            *why = "a response line without end";
            return PARSE_BAD;
        }
        if (!nl) {
            f->pos = len;
            return PARSE_MORE;
        }
        if (!f->begun) {
            f->begun = true;
            f->text = is_status(data, stop);
        }
        size_t n = 0;
        enum literal literal =
            f->text ? LITERAL_NONE : literal_at_end(data + f->line, stop - f->line, &n);
        if (literal == LITERAL_NONE) {
            *end = stop;
            *f = (struct frame){.max_line = f->max_line};
            return PARSE_DONE;
        }
        if (literal == LITERAL_BAD || stop + n > LIMIT_RESPONSE) {
            *why = "a literal of an impossible size";
            return PARSE_BAD;
        }
        f->literals += n;
        f->pos = f->line = stop + n;
    }
    return PARSE_MORE;
}
