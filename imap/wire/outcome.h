/* How a command ended, and the one place where that becomes an errno value. */
#ifndef IMAP_WIRE_OUTCOME_H
#define IMAP_WIRE_OUTCOME_H

#include "imap/wire/response.h"

/* Response codes that change what the client does (RFC 3501 section 7.1, RFC 5530 and others). */
enum resp_code {
    CODE_NONE,
    CODE_ALERT,
    CODE_ALREADYEXISTS,
    CODE_APPENDUID,
    CODE_AUTHENTICATIONFAILED,
    CODE_AUTHORIZATIONFAILED,
    CODE_CANNOT,
    CODE_CAPABILITY,
    CODE_CLIENTBUG,
    CODE_CLOSED,
    CODE_COPYUID,
    CODE_EXPIRED,
    CODE_EXPUNGEISSUED,
    CODE_HASCHILDREN,
    CODE_HIGHESTMODSEQ,
    CODE_INUSE,
    CODE_LIMIT,
    CODE_MESSAGELIMIT,
    CODE_NOMODSEQ,
    CODE_NONEXISTENT,
    CODE_NOPERM,
    CODE_OVERQUOTA,
    CODE_PERMANENTFLAGS,
    CODE_READ_ONLY,
    CODE_READ_WRITE,
    CODE_SERVERBUG,
    CODE_THROTTLED,
    CODE_TOOBIG,
    CODE_TRYCREATE,
    CODE_UIDNEXT,
    CODE_UIDVALIDITY,
    CODE_UNAVAILABLE,
    CODE_UNSEEN,
};

enum resp_code code_from_name(struct str name);

/* Does the tagged answer to `command` ("UID FETCH") ask for a pause, whatever the way in which it
 * says so? Then it is made the NO [THROTTLED] that it means, and *wait is how long that should be,
 * in ms; 0: it does not say. */
bool outcome_throttled(struct response *r, const char *command, int64_t *wait);

/* A tagged answer as an errno value: 0 for OK, else negative (the table of the man page's section
 * ERRORS). */
int outcome_errno(const struct response *r);

#endif
