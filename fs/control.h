/* .imapfs in the mount's top, and the files in it. */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/node.h"

#define CONTROL_NAME ".imapfs"

/* A file in it, in the order of a listing; NULL behind the last one. */
struct control_file {
    const char *name;
    enum node_kind kind;
};
const struct control_file *control_file(size_t i);

/* Does `name` in the directory `parent` stand for any of it? Then *kind says for what. */
bool control_find(struct node parent, const char *name, enum node_kind *kind);

#endif
