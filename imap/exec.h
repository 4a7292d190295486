/* What each kind of operation sends, and what its answers mean. Internal to imap/. */
#ifndef IMAP_EXEC_H
#define IMAP_EXEC_H

#include "imap/conn.h"

extern const struct op_class exec_list, exec_check, exec_meta, exec_flags, exec_search, exec_body,
    exec_header, exec_quota;
extern const struct op_class exec_move, exec_copy, exec_delete, exec_store;
extern const struct op_class exec_create, exec_remove, exec_rename;

#endif
