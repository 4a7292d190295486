/* SOURCE on the command line: imaps://[USER@]HOST[:PORT][/MAILBOX] (the shape of RFC 5092). */
#ifndef IMAP_WIRE_URL_H
#define IMAP_WIRE_URL_H

#include <stdbool.h>

#include "imap/base/buf.h"

struct url {
    bool tls;      /* imaps: TLS from the first byte; else imap: STARTTLS */
    char *user;    /* UTF-8, NULL if absent */
    char *host;    /* name or address, an IPv6 address without its brackets */
    char *port;    /* decimal, 1 to 65535; "993" (imaps) or "143" (imap) if the URL has none */
    char *mailbox; /* UTF-8, no leading or trailing '/', NULL if absent */
};

/* Reads `text` into `out`, whose strings the caller gives back with url_free(). %XX is decoded in
 * the user name and the mailbox; a raw '@' in the user name is allowed, the last one before the
 * path ends it. -EINVAL: `out` is all zero and `why` (emptied first) holds one sentence for a
 * human, without a full stop, which never repeats any of `text`, since a password may be in it. A
 * URL with a password is refused. */
int url_parse(const char *text, struct url *out, struct buf *why);

/* Frees the strings and zeroes the struct. */
void url_free(struct url *u);

#endif
