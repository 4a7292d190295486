/* The text of one header field, as a person would read it (RFC 5322 section 2.2, RFC 2047). */
#ifndef FS_HEADER_H
#define FS_HEADER_H

#include <stddef.h>

#include "imap/buf.h"

/* Appends the first field called `name` (any case) of the header block, unfolded and with encoded
 * words decoded, as UTF-8 without line breaks. Nothing when there is none. Thread-safe after
 * name_init(). */
void header_text(const char *hdr, size_t len, const char *name, struct buf *out);

#endif
