/* One level of a mailbox name as a file name, and back: nothing a server calls a mailbox can leave
 * its directory, hide or forge a line, and what was escaped can be typed back. */
#ifndef CACHE_MBOXNAME_H
#define CACHE_MBOXNAME_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/base/buf.h"

/* The longest file name, in bytes (NAME_MAX). */
#define MBOXNAME_MAX 255

/* Appends the file name of one hierarchy component, `len` bytes as on the wire. `utf8`: the wire
 * has UTF-8 (UTF8=ACCEPT, RFC 6855 §3; IMAP4rev2); else modified UTF-7 (RFC 3501 §5.1.3), where raw
 * UTF-8 is shown as what it means.
 *
 * Shown as %XX (upper case), byte by byte: control and bidi characters, line separators, '/',
 * bytes that are not UTF-8, the '&' of broken UTF-7, '%' before two hex digits, the dots of "." and
 * "..", the dot of a hidden directory's name (.search .parts .imapfs). The empty component is
 * "%20". A result over MBOXNAME_MAX bytes is cut at a character and ends in "~" and eight hex
 * digits that depend on the whole wire name.
 *
 * Two components of one folder show alike only if the server encodes one of them against the RFC
 * (raw UTF-8, or ASCII inside base64); the caller keeps wire names and tells such twins apart. */
void mboxname_show(const char *wire, size_t len, bool utf8, struct buf *out);

/* Appends the wire form of a component that a user typed (mkdir, rename) and returns 0. %XX is
 * decoded where mboxname_show() would write just that name; any other '%' is itself. So
 * wire(show(x)) is x, except for names that had to be cut, that hold control characters or that the
 * server encodes against the RFC. `delim` is the hierarchy delimiter, 0 for NIL.
 *
 * On an error `out` is unchanged. -EINVAL: empty, '/' or the delimiter inside, a control character,
 * also as %XX. -EILSEQ: not UTF-8. */
int mboxname_wire(const char *shown, char delim, bool utf8, struct buf *out);

#endif
