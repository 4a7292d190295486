/* What one "* n FETCH (...)" row says, whatever the order of its items (RFC 3501 section 7.4.2). */
#ifndef IMAP_WIRE_FETCH_H
#define IMAP_WIRE_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/wire/fetch.h"
#include "imap/wire/response.h"

enum {
    FETCH_FLAGS = 1 << 0,
    FETCH_DATE = 1 << 1,
    FETCH_SIZE = 1 << 2,
    FETCH_HEADER = 1 << 3, /* BODY[HEADER...] */
    FETCH_BODY = 1 << 4,   /* BODY[] or a window of it */
    FETCH_MODSEQ = 1 << 5,
};

struct fetch_row {
    unsigned has;                /* FETCH_... bits */
    uint32_t seq;                /* message sequence number; 0 from Courier means nothing */
    uint32_t uid;                /* 0: the row does not say whose it is */
    uint32_t flags;              /* FLAG_... bits */
    const struct arg *flag_list; /* the same as sent, with keywords */
    int64_t date;                /* INTERNALDATE, seconds since the epoch */
    uint64_t size;               /* RFC822.SIZE, which may lie */
    uint64_t modseq;             /* RFC 7162 */
    struct str header;
    struct str body;
    bool body_nil;     /* NIL instead of a string */
    bool body_window;  /* has <n>: a window; without it, the whole message */
    uint64_t body_off; /* that n */
};

/* Reads the arguments of a FETCH response. Items that make no sense are left out, unknown ones
 * passed over; strings are borrowed from `r`. Returns 0, or -EPROTO when there is no item list. */
int fetch_decode(const struct response *r, struct fetch_row *row);

#endif
