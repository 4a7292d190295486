/* The folders of an account as a tree of file names, each with its wire name beside it, and how one
 * is found. What is in the tree comes from LIST (listing.h) and from this mount's own changes. */
#ifndef CACHE_TREE_H
#define CACHE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/base/buf.h"

struct account;
struct folder;
struct node;

struct tree {
    struct folder *root; /* the account's top, which is no mailbox */
    struct folder *top;  /* what the mount shows as its root; NULL once that is gone */
    struct node *by_id, *by_gen, *by_wire, *by_name; /* hash tables */
    size_t n;
    uint32_t next_id;
};

int tree_init(struct account *a);
void tree_free(struct account *a);

/* The id by which the folder is known outside; and the folder by its id, by the number of its
 * generation, by its wire name: NULL when there is none. */
uint32_t folder_id(const struct account *a, const struct folder *f);
struct folder *folder_by_id(struct account *a, uint32_t id);
struct folder *folder_by_gen(struct account *a, uint32_t gen);
struct folder *folder_by_wire(struct account *a, const char *wire);

/* All folders, the oldest first; NULL at the end. */
struct folder *tree_first(const struct account *a);
struct folder *tree_next(const struct folder *f);

/* Looks up a path of file names from the top of the account ("Archive/2025"). */
struct folder *tree_path(struct account *a, const char *path);

/* Makes the folder at that path what the mount shows as its root: true, if there is one. */
bool tree_choose_top(struct account *a, const char *path);

/* The child of that name; INBOX in whatever case. */
struct folder *tree_child(struct account *a, const struct folder *parent, const char *name);

/* The wire name that a child `name` of `parent` would have; -EINVAL and others. */
int tree_child_wire(struct account *a, const struct folder *parent, const char *name,
                    struct buf *wire);

/* Finds or makes the folder of a wire name, and those above it that LIST may not have named: 0;
 * -E2BIG when there are LIMIT_MAILBOXES, or -ENOMEM. */
int tree_plant(struct account *a, const char *wire, char delim, struct folder **planted);

/* Inserts a folder that was just created as `wire` below `parent`. NULL when there is no memory:
 * LIST is to tell of it. */
struct folder *tree_insert(struct account *a, struct folder *parent, const char *wire, char delim);
void tree_remove(struct account *a, struct folder *f);

/* The folder was renamed on the server: it and all below it get their new wire names. */
void tree_rename(struct account *a, struct folder *f, struct folder *parent, const char *wire);

/* The folder is only a level above others, or a mailbox. Which of both changes when others delete
 * or create the mailbox. */
void tree_noselect(struct account *a, struct folder *f, bool noselect);

/* A new generation: the folder's messages are numbered anew, the old numbers are stale. */
void folder_renumber(struct account *a, struct folder *f);

#endif
