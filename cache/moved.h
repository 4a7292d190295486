/* Where messages went that this mount moved. */
#ifndef CACHE_MOVED_H
#define CACHE_MOVED_H

#include <stdbool.h>
#include <stdint.h>

struct account;
struct alias;
struct folder;
struct moved;

struct moves {
    struct moved *moved;   /* by the number a message had: a hash table */
    struct alias *aliases; /* by the name that the user gave: a hash table */
};

/* The message was moved to `dest`, where it has the UID `new_uid` (COPYUID; 0: that is not known)
 * under this UIDVALIDITY (0: likewise), and is to be found by `name` (NULL: by none that was given)
 * until there is or was another message with the UID `name_of`. */
void moved_note(struct account *a, uint32_t gen, uint32_t uid, const struct folder *dest,
                uint32_t new_uid, uint32_t new_uidvalidity, const char *name, uint32_t name_of);

/* Was the message with this number moved? Then the number becomes the one that it has there. */
bool moved_follow(struct account *a, uint32_t *gen, uint32_t *uid);

/* The UID of the message that was moved into the folder under this name; else 0. */
uint32_t moved_alias(struct account *a, const struct folder *f, const char *name);

void moved_free(struct account *a);

#endif
