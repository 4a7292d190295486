/* What a human gets to see of a session. Internal to imap/. */
#ifndef IMAP_CONN_TRACE_H
#define IMAP_CONN_TRACE_H

#include <stddef.h>

#include "imap/base/str.h"

struct conn;

/* Writes the first line of what was sent (dir ">") or received ("<") to the debug log. */
void conn_debug(const struct conn *c, const char *dir, const char *data, size_t len);

/* One line in the debug log: of what the state was `from` and is `to` now. */
void conn_debug_state(const struct conn *c, const char *what, const char *from, const char *to);

/* Says in the log that a response makes no sense. */
void conn_passed_over(const struct conn *c, const char *data, size_t len);

/* The human text of a status response, without the secrets that the server repeats in it. Valid
 * until it is called again. Every such text passes through here before anything is done with it. */
struct str conn_words(struct conn *c, struct str text);

#endif
