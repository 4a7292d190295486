/* The Message-ID of a message (RFC 5322 section 3.6.4), as far as one can search for it. */
#ifndef IMAP_WIRE_MSGID_H
#define IMAP_WIRE_MSGID_H

#include "imap/base/buf.h"
#include "imap/base/str.h"

/* Appends the value of the first Message-ID field, with its angle brackets, of a header or a whole
 * message. False, with nothing appended, when there is none, or none that is printable ASCII
 * without spaces and of reasonable length. */
bool msgid_find(struct str message, struct buf *id);

#endif
