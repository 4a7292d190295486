#include "imap/base/clock.h"

#include <stdatomic.h>

static atomic_llong pretended;

static int64_t read_ms(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_slept_ms(void)
{
    /* A moment passes between the two: the later one first, so that it is never too much. */
    int64_t with = read_ms(CLOCK_BOOTTIME);
    return with - read_ms(CLOCK_MONOTONIC) + pretended;
}

bool clock_slept_since(int64_t *mark)
{
    int64_t slept = clock_slept_ms();
    bool long_enough = slept - *mark > CLOCK_SLEEP;
    if (long_enough)
        *mark = slept;
    return long_enough;
}

void clock_pretend_sleep(int64_t ms)
{
    pretended += ms;
}
