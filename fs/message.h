/* From the name of a message to the message, and back. */
#ifndef FS_MESSAGE_H
#define FS_MESSAGE_H

#include "fs/lookup.h"

/* The name under which the message is listed in its folder; returns its length. */
size_t message_name(const struct fs *fs, const struct msg_info *m, char out[static 256]);

/* The message of the folder that is called `name`: its own name, else one that it was given when it
 * was moved here. In this order: a name that is listed must never stand for another message. As
 * lookup_name(). */
int message_find(struct request *r, uint32_t folder, const char *name, struct found *out);

#endif
