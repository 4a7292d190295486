/* What operations that change mailboxes are told untagged. Internal to imap/. */
#ifndef IMAP_EXEC_EXEC_MAILBOX_H
#define IMAP_EXEC_EXEC_MAILBOX_H

#include "imap/exec/exec.h"

/* Is it the name of this mailbox? */
bool mailbox_is(struct str name, const char *mailbox);

/* LIST has named a mailbox. One that is neither of the two asked for is something below. Only a
 * name with a wildcard in it brings strangers along. */
void mailbox_listed(struct op *op, struct str name, bool exists, bool holds_mail);

/* STATUS has told how many messages there are. */
void mailbox_counted(struct op *op, uint32_t messages);

/* The mailbox is being opened, under this UIDVALIDITY. */
void mailbox_opened(struct op *op, uint32_t uidvalidity);

#endif
