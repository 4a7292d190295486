/* The text of header fields as a person would read it (RFC 5322 section 2.2, RFC 2047), by GMime.
 */
#ifndef FS_HEADER_H
#define FS_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/base/buf.h"

/* Appends the first field called `name` (any case) of the header block, unfolded and with encoded
 * words decoded, as UTF-8 without line breaks. Nothing when there is none. Thread-safe, as all of
 * these, after name_init(). */
void header_text(const char *hdr, size_t len, const char *name, struct buf *out);

/* Decodes the encoded words of an unfolded field into UTF-8 for the caller to free(). NULL when it
 * must be left as it is. */
char *header_decode(const char *text);

/* Every other use of GMime on text from mail stands between these two. False, and nothing to end,
 * when GMime must not see this text. Not to be nested. */
bool header_gmime_begin(const char *text);
void header_gmime_end(void);

#endif
