/* What the server says of messages, unasked or in answer to whomever: taken in here, and what
 * changed is told upward. Of struct pool_events. */
#ifndef CACHE_ROWS_H
#define CACHE_ROWS_H

#include <stdint.h>

struct fetch_row;
struct uidset;

void rows_on_row(void *account, const char *mailbox, uint32_t uidvalidity,
                 const struct fetch_row *row);
void rows_on_change(void *account, const char *mailbox, uint32_t uidvalidity, unsigned what);
void rows_on_vanished(void *account, const char *mailbox, uint32_t uidvalidity,
                      const struct uidset *uids);

#endif
