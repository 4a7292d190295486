/* Where the password comes from: a file, a command, ~/.netrc, or the terminal. */
#ifndef FS_SECRET_H
#define FS_SECRET_H

#include "fs/options.h"

/* Finds the user name and the password; both are the caller's, the password to be given to
 * mem_wipe_free(). The terminal is asked without echo, and only when nothing else is given. 0, or
 * -errno with one sentence in `why`. */
int secret_find(const struct options *o, char **user, char **password, struct buf *why);

#endif
