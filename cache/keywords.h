/* The keywords (flags that are not the system's) of a folder's messages. A message has the number
 * of its set of them; each set is kept once, however many messages have it. Not thread-safe. */
#ifndef CACHE_KEYWORDS_H
#define CACHE_KEYWORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/base/str.h"

enum { KEYWORDS_BITS = 20 }; /* of the number of a set */

struct keyword_set;

/* Zero-initialise; keywords_clear() frees. A number means its set until then. */
struct keywords {
    struct keyword_set *by_text; /* uthash */
    struct keyword_set **sets;   /* number n is sets[n - 1]; 0 is the empty set */
    uint32_t n, cap;
    size_t bytes; /* of all sets */
    bool full;    /* there were too many, so messages are shown without the others */
    bool failed;  /* there was no memory for one; cleared by whoever deals with that */
};

/* The number of the set of these names, in whatever order they come. The names are sorted in
 * place; one that comes twice, in whatever case, counts once. 0 for no names, and when there are
 * too many sets (LIMIT_KEYWORD_SETS) or there is no memory for another. */
uint32_t keywords_number(struct keywords *k, struct str *names, size_t n);

/* The number of the set with that keywords_text(), of this folder or another one. */
uint32_t keywords_number_of_text(struct keywords *k, const char *text);

/* The names, a space between two; "" for 0. Lives until keywords_clear(). */
const char *keywords_text(const struct keywords *k, uint32_t number);

void keywords_clear(struct keywords *k);

#endif
