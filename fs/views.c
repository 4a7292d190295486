#include "fs/view.h"

#include <errno.h>
#include <string.h>

#include "fs/message.h"

/* All views, in their places; the folder's own directory is the first. */
#define VIEWS(X)                                                                                   \
    X(view_folder)                                                                                 \
    X(view_unread)                                                                                 \
    X(view_flagged)

#define DECLARE(v) extern const struct view v;
#define PLACE(v)   &(v),
#define INDEX(v)   INDEX_OF_##v,

VIEWS(DECLARE)

enum { VIEWS(INDEX) COUNT };

static const struct view *const views[COUNT] = {VIEWS(PLACE)};

_Static_assert((int)COUNT <= (int)NODE_VIEWS, "a node has room for the place of each view");

const struct view *view_of(struct node n)
{
    if (n.kind == NODE_FOLDER)
        return views[0];
    return n.kind == NODE_VIEW && n.view < COUNT ? views[n.view] : NULL;
}

uint8_t view_named(const char *name)
{
    /* Hardly any name is one, and this is asked of each that is looked up. */
    for (uint8_t i = 1; *name == '.' && i < COUNT; i++)
        if (strcmp(name, views[i]->dirname) == 0)
            return i;
    return 0;
}

/* Flags change: a folder that is known is looked at first, as when it is listed; of one that is
 * not, the message alone is. */
int view_find_shown(struct request *r, const struct view *v, uint32_t folder, const char *name,
                    struct found *out)
{
    struct account *a = r->fs->account;
    struct folder_info info;
    int err = account_folder(a, folder, &info);
    if (!err && info.loaded)
        err = account_sync(a, folder, TRUST_RECENT, r->began, &r->w);
    if (!err)
        err = message_find(r, folder, name, out);
    if (!err && !v->shows(&out->msg))
        err = -ENOENT;
    return err;
}
