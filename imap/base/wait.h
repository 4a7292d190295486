/* Waiting for a descriptor, with a deadline and another descriptor that ends the wait. */
#ifndef IMAP_BASE_WAIT_H
#define IMAP_BASE_WAIT_H

#include <stdint.h>

/* Until one of the poll(2) events is there: 0; -ECANCELED once `stop` is readable, -ETIMEDOUT after
 * `deadline` (clock_ms()), or -errno. */
int wait_fd(int fd, short events, int stop, int64_t deadline);

#endif
