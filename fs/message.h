/* What a message is called in its folder. */
#ifndef FS_MESSAGE_H
#define FS_MESSAGE_H

#include "fs/fs.h"

/* The name under which the message is listed; returns its length. */
size_t message_name(const struct fs *fs, const struct msg_info *m, char out[static 256]);

#endif
