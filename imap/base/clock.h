/* The clock that deadlines are made of, and whether the machine slept. */
#ifndef IMAP_BASE_CLOCK_H
#define IMAP_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Milliseconds of a clock that never jumps and counts suspended time too, so that a deadline set
 * before a laptop slept has passed when it wakes. */
static inline int64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

enum { CLOCK_SLEEP = 5000 }; /* ms; who slept no longer was hardly gone */

/* For how long (ms) the machine has been suspended since it was started: what CLOCK_BOOTTIME counts
 * and CLOCK_MONOTONIC does not. */
int64_t clock_slept_ms(void);

/* Was it suspended for more than CLOCK_SLEEP since *mark, an earlier clock_slept_ms()? Then *mark
 * becomes what it is now. */
bool clock_slept_since(int64_t *mark);

/* For tests: as if it had been suspended for so long. Thread-safe. */
void clock_pretend_sleep(int64_t ms);

#endif
