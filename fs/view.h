/* A view is how a directory shows the messages of a folder: which of them, under what names, and
 * what can be done there. The folder's own directory is one; the others are hidden directories in
 * it, which resolve by name in every folder that can hold messages and are not listed.
 *
 * A message in any of them is the same file. A new view is a table in a file of its own and a line
 * in views.c. */
#ifndef FS_VIEW_H
#define FS_VIEW_H

#include "fs/lookup.h"

struct view {
    /* What its directory is called in the folder's; NULL: it is that itself. */
    const char *dirname;

    /* The folders below are in it, too. */
    bool folders;

    /* The kernel is told of each name that goes from it, and so may believe in names for a while.
     * Without that it asks each time. */
    bool announced;

    /* Is the message in it? NULL: each one of the folder. */
    bool (*shows)(const struct msg_info *m);

    /* The name under which it is listed; returns its length. */
    size_t (*name)(const struct fs *fs, const struct msg_info *m, char out[static 256]);

    /* What `name` stands for in it, as lookup_name(). view_find_shown() does for most. */
    int (*find)(struct request *r, const struct view *v, uint32_t folder, const char *name,
                struct found *out);

    /* What rename(2) brings here: the folder r->id, or else the message r->msg, by the name that is
     * asked for (`name`) or, if that is NULL, by its own alone. As account_move(). NULL: EPERM. */
    int (*take)(struct request *r, uint32_t folder, const char *name);

    /* What mkdir(2) asks for; as account_mkdir(). NULL: EPERM. */
    int (*mkdir)(struct request *r, uint32_t folder);

    /* What a file that is to be made here meets: -errno; 0: EPERM. */
    int create;
};

/* How the directory shows messages; NULL for what does not show any. */
const struct view *view_of(struct node n);

/* The hidden directory of that name: its place in the table, as a node has it; 0: there is none. */
uint8_t view_named(const char *name);

/* The message of the folder that is called `name`, if it is in the view by flags as recent as those
 * of a listing. */
int view_find_shown(struct request *r, const struct view *v, uint32_t folder, const char *name,
                    struct found *out);

#endif
