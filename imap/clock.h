/* The clock that deadlines are made of. */
#ifndef IMAP_CLOCK_H
#define IMAP_CLOCK_H

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

#endif
