/* Changes made through this mount: one operation each, and what its success means for what is
 * known. Nothing known changes before the server has confirmed it. Of messages: change.c; of
 * folders: change_folder.c. They are declared in account.h; here is what the rest of the cache has
 * to know of them. */
#ifndef CACHE_CHANGE_H
#define CACHE_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

struct account;
struct pending;

struct changes {
    struct pending *pending; /* messages being moved or deleted: a hash table */
};

/* Is the message, which has vanished, being moved or deleted by this mount? */
bool change_vanished(struct account *a, uint32_t gen, uint32_t uid);

/* Is there a folder for deleted mail, if one is asked for? */
bool account_has_trash(struct account *a);

#endif
