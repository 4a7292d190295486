/* Attributes of what is mounted, and for how long the kernel may believe what it was told. */
#ifndef FS_ATTR_H
#define FS_ATTR_H

#include <sys/stat.h>

#include "fs/fs.h"

/* In seconds. Mail does not change under its number, so its attributes stay, unless its size is in
 * doubt: then each read(2) asks for them first. Of two that do so at once, while the size becomes
 * known, the kernel would else let one go on with the old one, since it takes attributes for new
 * before all of them are. A name stays as long as it is promised that its going will be told
 * (account_promise()). The rest is asked again. */
#define TIMEOUT_MESSAGE 86400.0
#define TIMEOUT_NAME    ((double)ACCOUNT_PROMISE)
#define TIMEOUT_FOLDER  1.0
#define TIMEOUT_OTHER   1.0

/* st_ino is the caller's if it has one already (0: take the natural one). */
void attr_folder(const struct fs *fs, const struct folder_info *f, struct stat *st);
void attr_view(const struct fs *fs, const struct folder_info *f, uint8_t view, struct stat *st);
void attr_message(const struct fs *fs, const struct msg_info *m, fuse_ino_t ino, struct stat *st);
void attr_control(struct fs *fs, struct node n, struct stat *st);

/* For how many seconds the kernel may believe those of a message. */
double attr_timeout(const struct msg_info *m);

/* The attributes of whatever `ino` stands for, as far as is known, to be told to the thread `tid`
 * right afterwards: 0 or -ESTALE. */
int attr_now(struct fs *fs, fuse_ino_t ino, pid_t tid, struct stat *st, double *timeout);

#endif
