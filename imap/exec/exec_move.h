/* Moving and copying messages, for untagged_code.c. Internal to imap/. */
#ifndef IMAP_EXEC_EXEC_MOVE_H
#define IMAP_EXEC_EXEC_MOVE_H

#include "imap/conn/op.h"
#include "imap/wire/uidmap.h"

/* Where OP_MOVE and OP_COPY note which UIDs the copies have, and under which UIDVALIDITY. */
struct uidmap *move_copies(const struct op *op, uint32_t **validity);

#endif
