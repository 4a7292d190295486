/* Mailbox names on the wire: modified UTF-7 to UTF-8 and back (RFC 3501 §5.1.3). */
#ifndef IMAP_WIRE_UTF7_H
#define IMAP_WIRE_UTF7_H

#include <stddef.h>

#include "imap/base/buf.h"
#include "imap/base/utf8.h"

/* Appends the UTF-8 form of `len` bytes of modified UTF-7 to `out` and returns 0.
 *
 * -EILSEQ, with `out` unchanged: bytes from 0x80, control characters (bare or encoded), base64 that
 * is malformed or not closed by '-', padding bits that are set, unpaired surrogates. Printable
 * ASCII inside base64 and base64 split where it need not be are against the RFC but are accepted,
 * as servers send them; utf7_encode() then gives another wire name, so the caller keeps the
 * original. */
int utf7_decode(const char *in, size_t len, struct buf *out);

/* Appends the modified UTF-7 form of `len` bytes of UTF-8 to `out` and returns 0: the one form that
 * the RFC allows. On an error `out` is unchanged: -EILSEQ for invalid UTF-8, -EINVAL for a control
 * character (NUL, CR and LF among them), which must never be sent. */
int utf7_encode(const char *in, size_t len, struct buf *out);

#endif
