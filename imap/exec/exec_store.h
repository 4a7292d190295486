/* Changing the flags of messages, for untagged_fetch.c. Internal to imap/. */
#ifndef IMAP_EXEC_EXEC_STORE_H
#define IMAP_EXEC_EXEC_STORE_H

#include "imap/exec/exec.h"

struct fetch_row;

/* The row of a STORE is what proves it; each belongs to the oldest one that is not answered. */
void store_row(const struct conn *c, const struct fetch_row *row);

#endif
