/* What a server says it can do (CAPABILITY, RFC 3501 section 7.2.1), as bits. */
#ifndef IMAP_WIRE_CAPS_H
#define IMAP_WIRE_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/base/buf.h"
#include "imap/wire/response.h"

enum cap {
    CAP_IMAP4REV1,
    CAP_IMAP4REV2,
    CAP_STARTTLS,
    CAP_LOGINDISABLED,
    CAP_SASL_IR,
    CAP_LITERAL_PLUS,
    CAP_LITERAL_MINUS,
    CAP_ID,
    CAP_NAMESPACE,
    CAP_UIDPLUS,
    CAP_MOVE,
    CAP_ESEARCH,
    CAP_CONDSTORE,
    CAP_QRESYNC,
    CAP_ENABLE,
    CAP_IDLE,
    CAP_NOTIFY,
    CAP_UNSELECT,
    CAP_QUOTA,
    CAP_LIST_EXTENDED,
    CAP_SPECIAL_USE,
    CAP_COMPRESS_DEFLATE,
    CAP_COUNT,
};

struct caps {
    uint32_t bits;   /* 1 << enum cap */
    char mechs[256]; /* " PLAIN SCRAM-SHA-256 ": the AUTH= names, upper case */
    char text[1024]; /* as sent, cut at this size: for humans */
    bool known;      /* a CAPABILITY was seen */
};

/* Replaces `c` by what the atoms of `args` say. */
void caps_read(struct caps *c, const struct arg *args);

static inline bool caps_has(const struct caps *c, enum cap cap)
{
    return c->bits >> cap & 1;
}

/* Is AUTH=`mech` (any case) offered? */
bool caps_auth(const struct caps *c, const char *mech);

#endif
