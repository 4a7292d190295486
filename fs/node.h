/* What an inode number stands for.
 *
 * The number says it all, so no table of them is needed and a forget is nothing. From above:
 *
 *   bit  63     0, since there are programs that take inode numbers for signed
 *   bits 60-62  the kind
 *   bits 56-59  the account; 0 as long as a mount shows one
 *   bits 32-55  the id of a folder, or the generation of a message
 *   bits 0-31   depend on the kind
 *
 *   kind 0  what there is once in a mount, by a small number: FUSE wants its top to be 1
 *   kind 1  a directory that shows a folder: bits 24-31 say which view (view.h), 0 the folder
 *           itself; bits 0-23 are free for what a view is about, as which query
 *   kind 2  a message: its UID
 *   3 to 7  are free. What takes more bits than there are, as a part of a message or a draft, is to
 *           be numbered in bits 0-55 as it is met, in a table of the file that knows the kind.
 *
 * Neither ids nor generations nor UIDs are used twice while a mount lives, and so no inode number
 * is. Only node_of() and ino_of() know where the bits are. */
#ifndef FS_NODE_H
#define FS_NODE_H

#include <fuse_lowlevel.h>
#include <stdint.h>

enum node_kind {
    NODE_NONE, /* a number that was never given out */
    NODE_FOLDER,
    NODE_VIEW, /* a hidden directory that shows messages of a folder */
    NODE_MESSAGE,
    NODE_CONTROL, /* .imapfs, and what is in it */
    NODE_STATUS,
    NODE_EVENTS,
};

struct node {
    enum node_kind kind;
    uint8_t account;
    uint8_t view; /* of NODE_VIEW: its place in the table of views (views.c), from 1 on */
    uint32_t id;  /* of a folder, also of the one that a view shows; the generation of a message */
    uint32_t uid; /* of a message */
};

/* So many views there may be, with the folder itself. */
enum { NODE_VIEWS = 256 };

struct node node_of(fuse_ino_t ino);

/* 0, which the kernel takes for no file at all, for what does not fit: a mount has used up sixteen
 * million ids and generations. */
fuse_ino_t ino_of(struct node n);

static inline fuse_ino_t ino_folder(uint32_t id)
{
    return ino_of((struct node){.kind = NODE_FOLDER, .id = id});
}

static inline fuse_ino_t ino_message(uint32_t gen, uint32_t uid)
{
    return ino_of((struct node){.kind = NODE_MESSAGE, .id = gen, .uid = uid});
}

#endif
