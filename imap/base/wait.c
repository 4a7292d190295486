#include "imap/base/wait.h"

#include <errno.h>
#include <poll.h>

#include "imap/base/clock.h"

int wait_fd(int fd, short events, int stop, int64_t deadline)
{
    for (;;) {
        struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = stop, .events = POLLIN}};
        int64_t left = deadline - clock_ms();
        if (left < 0)
            left = 0;
        int n = poll(p, 2, left > 600000 ? 600000 : (int)left);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && p[1].revents)
            return -ECANCELED;
        if (n > 0 && p[0].revents)
            return 0;
        if (clock_ms() >= deadline)
            return -ETIMEDOUT;
    }
}
