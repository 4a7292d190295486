/* A borrowed run of bytes: no NUL at its end, no ownership. */
#ifndef IMAP_BASE_STR_H
#define IMAP_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct str {
    const char *p;
    size_t n;
};

#define STR_FMT    "%.*s"
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

/* Equal without regard to ASCII case: how IMAP compares its keywords. */
static inline bool str_is(struct str s, const char *word)
{
    size_t n = strlen(word);
    return s.n == n && (n == 0 || strncasecmp(s.p, word, n) == 0);
}

static inline bool str_starts(struct str s, const char *word)
{
    size_t n = strlen(word);
    return s.n >= n && (n == 0 || strncasecmp(s.p, word, n) == 0);
}

#endif
