#include "fs/message.h"

#include <errno.h>
#include <string.h>

#include "fs/name.h"

size_t message_name(const struct fs *fs, const struct msg_info *m, char out[static 256])
{
    if (fs->opt->names_uid || !m->named)
        return name_uid_only(out, m->uid);
    return name_compose(out, m->date, m->label, m->uid);
}

/* Is `name` what the message is called, or its UID alone? */
static bool is_name_of(const struct fs *fs, const char *name, struct found *out)
{
    char full[256];
    message_name(fs, &out->msg, full);
    out->listed = strcmp(name, full) == 0;
    if (out->listed)
        return true;
    name_uid_only(full, out->msg.uid);
    if (strcmp(name, full) == 0)
        return true;
    if (!out->msg.named)
        return false;
    name_compose(full, out->msg.date, out->msg.label, out->msg.uid);
    return strcmp(name, full) == 0;
}

static int find_uid(struct request *r, uint32_t folder, uint32_t uid, struct found *out)
{
    out->kind = NODE_MESSAGE;
    out->listed = out->given = false;
    return account_find(r->fs->account, folder, uid, TRUST_RECENT, r->began, &out->msg, &r->w);
}

int message_find(struct request *r, uint32_t folder, const char *name, struct found *out)
{
    uint32_t uid;
    if (name_parse_uid(name, &uid)) {
        int err = find_uid(r, folder, uid, out);
        if (!err && is_name_of(r->fs, name, out))
            return 0;
        if (err && err != -ENOENT)
            return err;
    }
    uid = account_alias(r->fs->account, folder, name);
    int err = uid ? find_uid(r, folder, uid, out) : -ENOENT;
    out->given = true;
    return err;
}
