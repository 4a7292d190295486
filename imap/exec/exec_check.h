/* What is new in a mailbox, for untagged.c. Internal to imap/. */
#ifndef IMAP_EXEC_EXEC_CHECK_H
#define IMAP_EXEC_EXEC_CHECK_H

#include "imap/conn/op.h"

/* STATUS has said this of the mailbox of an OP_CHECK; what it left out is 0, and `exists`
 * UINT32_MAX. */
void check_status(struct op *op, const struct mailbox_state *said);

#endif
