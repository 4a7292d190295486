#include "fs/message.h"

#include "fs/name.h"

size_t message_name(const struct fs *fs, const struct msg_info *m, char out[static 256])
{
    if (fs->opt->names_uid || !m->named)
        return name_uid_only(out, m->uid);
    return name_compose(out, m->date, m->label, m->uid);
}
