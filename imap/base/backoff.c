#include "imap/base/backoff.h"

#include <sys/random.h>

int64_t backoff_next(int64_t pause, int64_t last)
{
    pause = pause ? pause * 2 : BACKOFF_FIRST;
    return pause < last ? pause : last;
}

int64_t backoff_jitter(int64_t pause)
{
    uint32_t dice = 0;
    if (getrandom(&dice, sizeof dice, GRND_NONBLOCK) != sizeof dice)
        dice = UINT32_MAX / 2;
    return pause - pause / 4 + (int64_t)((uint64_t)pause / 2 * dice / UINT32_MAX);
}
