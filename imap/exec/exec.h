/* What each kind of operation sends, and what its answers mean. Internal to imap/. */
#ifndef IMAP_EXEC_EXEC_H
#define IMAP_EXEC_EXEC_H

#include "imap/conn/conn.h"

/* exec_list and the others, each beside what it is made of. */
#define EXEC_CLASS(kind, name) extern const struct op_class exec_##name;
OP_KINDS_OF(EXEC_CLASS)
#undef EXEC_CLASS

/* True the first time, with *again of the operation's progress. A connection may not have heard yet
 * of a message that just arrived; servers then say OK and do nothing, and with that very answer
 * they learn of it. */
bool exec_once_more(bool *again);

/* The connection that a change was sent on was lost so short a time ago that its session on the
 * server may still be at work on it: that it cannot be seen yet means little. Sent again now, it
 * might be done twice; Dovecot 2.3 makes two of a message that two sessions MOVE at once. */
bool exec_too_early(const struct conn *c, const struct op *op);

/* When that time is over, its start() settles it once more. */
void exec_later(struct conn *c, struct op *op);

#endif
