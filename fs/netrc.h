/* The login for a host in a netrc file, as curl(1) and ftp(1) read it. */
#ifndef FS_NETRC_H
#define FS_NETRC_H

#include <stdbool.h>

/* Takes the first entry for `host`, or the default, whose login is `user`, or whichever when `user`
 * is NULL. `text` is changed. True: `login` (NULL when the entry has none) and `password` are the
 * caller's, the password to be given to mem_wipe_free(). */
bool netrc_find(char *text, const char *host, const char *user, char **login, char **password);

#endif
