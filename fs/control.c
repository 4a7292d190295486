#include "fs/control.h"

#include <string.h>

#include "cache/account.h"

static const struct control_file files[] = {
    {"events", NODE_EVENTS},
    {"status", NODE_STATUS},
};

const struct control_file *control_file(size_t i)
{
    return i < sizeof files / sizeof *files ? &files[i] : NULL;
}

bool control_find(struct node parent, const char *name, enum node_kind *kind)
{
    const struct control_file *f;
    *kind = NODE_CONTROL;
    if (parent.kind == NODE_FOLDER)
        return parent.id == ACCOUNT_ROOT && strcmp(name, CONTROL_NAME) == 0;
    for (size_t i = 0; parent.kind == NODE_CONTROL && (f = control_file(i)) != NULL; i++)
        if (strcmp(name, f->name) == 0) {
            *kind = f->kind;
            return true;
        }
    return false;
}
