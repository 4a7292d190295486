/* Servers that deal with no more than so many messages a command (MESSAGELIMIT, RFC 9738): they
 * take those with the highest UIDs, say OK, and tell the lowest UID they took in a response code.
 * What is below that is asked for by another command. Internal to imap/. */
#ifndef IMAP_EXEC_MSGLIMIT_H
#define IMAP_EXEC_MSGLIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/base/buf.h"
#include "imap/wire/response.h"

/* How far a question got that is asked in parts. Zero-initialise, also to ask anew. */
struct msglimit {
    uint32_t below; /* UIDs from here on were dealt with; 0: none */
    unsigned parts; /* answers after which some were left */
};

/* Appends what is left of `uids` ("5:*", or a set), as a command takes it. */
void msglimit_uids(const struct msglimit *m, const char *uids, struct buf *out);

/* Appends the search keys, of the messages that are left (RFC 3501 section 6.4.4). */
void msglimit_keys(const struct msglimit *m, const char *keys, struct buf *out);

/* Does the tagged answer say that some of `uids` are left (NULL: of whatever is searched)? Then the
 * command is to be sent again: each time for lower ones, and at most LIMIT_PARTS times. */
bool msglimit_more(struct msglimit *m, const char *uids, const struct response *r);

/* Is the tagged answer about a part of the messages only? Where nothing asks for the rest, what the
 * server did not tell proves nothing. */
bool msglimit_partial(const struct response *r);

#endif
