/* Pauses between attempts, so that a server in trouble is not hammered, nor by all its clients at
 * the same moment. In milliseconds. */
#ifndef IMAP_BASE_BACKOFF_H
#define IMAP_BASE_BACKOFF_H

#include <stdint.h>

enum { BACKOFF_FIRST = 250, BACKOFF_LAST = 4000, BACKOFF_LONGEST = 60000 };

/* The pause after `pause` (0: the first): twice as long, at most `last`. */
int64_t backoff_next(int64_t pause, int64_t last);

/* `pause`, and up to a quarter of it more or less. Thread-safe. */
int64_t backoff_jitter(int64_t pause);

#endif
