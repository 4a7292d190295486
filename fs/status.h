/* .imapfs/status: what the mount is doing. A kernel that does without open and close asks for a
 * size before it reads, so the text is kept as it was when the name was last looked up, which is
 * when the file is opened. */
#ifndef FS_STATUS_H
#define FS_STATUS_H

#include "fs/fs.h"

struct request;

/* Makes the text anew, for `reader`, or, if that is long ago, for someone who has it open. */
void status_refresh(struct fs *fs, const struct request *reader);
void status_refresh_old(struct fs *fs);

#endif
