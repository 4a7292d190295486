/* Bytes of messages, for untagged_fetch.c. Internal to imap/. */
#ifndef IMAP_EXEC_EXEC_BODY_H
#define IMAP_EXEC_EXEC_BODY_H

#include "imap/exec/exec.h"

struct fetch_row;

/* Hands on the bytes of a row to the operation that asked for them. */
void body_row(struct conn *c, const struct fetch_row *row);

/* The same of header fields: did an operation ask for them? Rows of a listing have a header, too,
 * but of fewer fields, and a date beside it. */
bool header_row(struct conn *c, const struct fetch_row *row);

#endif
