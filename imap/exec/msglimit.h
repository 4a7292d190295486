/* Servers that deal with no more than so many messages a command (MESSAGELIMIT, RFC 9738): they
 * take those with the highest UIDs, say OK, and tell the lowest UID they took in a response code.
 * What is below that is asked for by another command. Internal to imap/. */
#ifndef IMAP_EXEC_MSGLIMIT_H
#define IMAP_EXEC_MSGLIMIT_H

#include "imap/conn/op.h"

/* Asked anew: nothing was dealt with yet. */
void msglimit_begin(struct op *op);

/* Appends what is left of the UIDs in op->text ("5:*", or a set), as a command takes it. */
void msglimit_uids(const struct op *op, struct buf *out);

/* Appends the search keys in op->text, of the messages that are left (RFC 3501 section 6.4.4). */
void msglimit_keys(const struct op *op, struct buf *out);

/* Does the tagged answer say that messages are left? Then op->below is where they end, and the
 * command is to be sent again: each time for lower ones, and at most LIMIT_PARTS times. */
bool msglimit_more(struct op *op, const struct response *r);

/* Is the tagged answer about a part of the messages only? Where nothing asks for the rest, what the
 * server did not tell proves nothing. */
bool msglimit_partial(const struct response *r);

#endif
