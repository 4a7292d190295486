/* What is sent to log in, to be kept out of what a server says: some repeat a line that they do not
 * understand, and their words end up in errors, in the log and in the status. */
#ifndef IMAP_CONN_SECRETS_H
#define IMAP_CONN_SECRETS_H

#include <stddef.h>

#include "imap/base/buf.h"

/* Zero-initialise ({0}) before first use. Belongs to one thread. */
struct secrets {
    struct buf *list;
    size_t n;
};

/* Remembers a copy; nothing when `len` is 0 or it is known already. */
void secrets_add(struct secrets *s, const char *data, size_t len);

/* Remembers the password in each form that a login sends it in: as it is, with what a quoted string
 * escapes, and in base64, alone and in the message of PLAIN. */
void secrets_add_password(struct secrets *s, const char *user, const char *password);

/* Puts "[secret]" in the place of each that occurs in `text`, and of the beginning of one with
 * which it ends: texts are cut. A secret of less than four bytes counts only where it is a word by
 * itself, or half of the text would go. True if anything was replaced. */
bool secrets_hide(const struct secrets *s, struct buf *text);

/* Overwrites, frees and forgets them. */
void secrets_free(struct secrets *s);

#endif
