/* Untagged responses, the parts of it: untagged.c has the table, untagged_fetch.c what is said of
 * messages, untagged_code.c response codes. Internal to imap/. */
#ifndef IMAP_EXEC_UNTAGGED_H
#define IMAP_EXEC_UNTAGGED_H

#include "imap/conn/conn.h"

/* ---- untagged_fetch.c ---- */

int untagged_fetch(struct conn *c, const struct response *r);
int untagged_exists(struct conn *c, const struct response *r);
int untagged_expunge(struct conn *c, const struct response *r);
int untagged_vanished(struct conn *c, const struct response *r);

/* ---- untagged_code.c ---- */

/* What the server can do. An operation decides at several of its steps by that, and they must
 * agree: so nothing about it is learnt while one is under way. */
void untagged_caps(struct conn *c, const struct arg *args);

/* An untagged NO or BAD. */
void untagged_trouble(struct conn *c, const struct response *r);

#endif
