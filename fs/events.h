/* .imapfs/events: what changed in the folders that are known, one JSON object a line, as it becomes
 * known; a regular file that grows, for `tail -f`. When it has become large it begins anew, empty.
 */
#ifndef FS_EVENTS_H
#define FS_EVENTS_H

#include "fs/fs.h"

/* As account_hooks.event: may be called with any lock held but its own. `flags` is "" unless the
 * event is about them. */
void events_add(struct fs *fs, const char *folder, const struct msg_info *m,
                enum account_event what, const char *flags);

/* Length and time of the last line. */
void events_stat(struct fs *fs, struct stat *st);

#endif
