/* FOLDER/.unread and FOLDER/.flagged: the messages of the folder with or without a flag, under the
 * names that they have there. */
#include "fs/message.h"
#include "fs/view.h"
#include "imap/wire/flags.h"

static bool is_unread(const struct msg_info *m)
{
    return !(m->flags & FLAG_SEEN);
}

static bool is_flagged(const struct msg_info *m)
{
    return m->flags & FLAG_FLAGGED;
}

const struct view view_unread = {
    .dirname = ".unread",
    .shows = is_unread,
    .name = message_name,
    .find = view_find_shown,
};

const struct view view_flagged = {
    .dirname = ".flagged",
    .shows = is_flagged,
    .name = message_name,
    .find = view_find_shown,
};
