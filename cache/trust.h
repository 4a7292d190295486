/* How old an answer may be: the one place that has it in milliseconds. */
#ifndef CACHE_TRUST_H
#define CACHE_TRUST_H

#include <stdint.h>

enum trust {
    TRUST_KNOWN,  /* whatever is known, however old */
    TRUST_LATELY, /* known to be true some seconds before the question */
    TRUST_RECENT, /* known to be true about when it was asked: what a user takes for now */
    TRUST_SERVER, /* what the server says after the question */
};

/* When (clock_ms()) what answers a question of the time `asked` must have been true, or later. The
 * question keeps that time while it waits, or an answer that took long would be too old when it
 * comes. */
int64_t trust_since(enum trust trust, int64_t asked);

#endif
