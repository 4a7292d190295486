#include "fs/node.h"

#include <assert.h>

#include "cache/account.h"

enum { KIND = 60, ACCOUNT = 56, ID = 32, VIEW = 24 }; /* the lowest bit of each */
enum { ACCOUNT_MAX = 0xf, ID_MAX = 0xffffff };
enum { ONCE, DIRECTORY, MESSAGE }; /* kinds */

_Static_assert(sizeof(fuse_ino_t) == 8, "an inode number has 64 bits");

/* What there is once, at its number. */
static const struct node once[] = {
    [FUSE_ROOT_ID] = {.kind = NODE_FOLDER, .id = ACCOUNT_ROOT},
    {.kind = NODE_CONTROL},
    {.kind = NODE_STATUS},
    {.kind = NODE_EVENTS},
};

enum { ONCE_COUNT = sizeof once / sizeof *once };

struct node node_of(fuse_ino_t ino)
{
    struct node n = {.account = ino >> ACCOUNT & ACCOUNT_MAX, .id = ino >> ID & ID_MAX};
    uint32_t low = (uint32_t)ino;
    switch (ino >> KIND) {
    case ONCE:
        return ino < ONCE_COUNT ? once[ino] : (struct node){.kind = NODE_NONE};
    case DIRECTORY:
        n.view = (uint8_t)(low >> VIEW);
        n.kind = n.view ? NODE_VIEW : NODE_FOLDER;
        return n;
    case MESSAGE:
        n.kind = NODE_MESSAGE;
        n.uid = low;
        return n;
    default:
        return (struct node){.kind = NODE_NONE};
    }
}

static fuse_ino_t number(unsigned kind, struct node n, uint32_t low)
{
    if (n.account > ACCOUNT_MAX || n.id > ID_MAX)
        return 0;
    return (fuse_ino_t)kind << KIND | (fuse_ino_t)n.account << ACCOUNT | (fuse_ino_t)n.id << ID |
           low;
}

fuse_ino_t ino_of(struct node n)
{
    switch (n.kind) {
    case NODE_FOLDER:
        return n.id == ACCOUNT_ROOT && !n.account ? FUSE_ROOT_ID : number(DIRECTORY, n, 0);
    case NODE_VIEW:
        assert(n.view > 0);
        return number(DIRECTORY, n, (uint32_t)n.view << VIEW);
    case NODE_MESSAGE:
        return number(MESSAGE, n, n.uid);
    default:
        break;
    }
    for (fuse_ino_t ino = 1; ino < ONCE_COUNT; ino++)
        if (once[ino].kind == n.kind)
            return ino;
    return 0;
}
