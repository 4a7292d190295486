/* The bytes of a connection, in both directions. Internal to imap/; only the connection's own
 * thread touches them. */
#ifndef IMAP_CONN_WIRE_H
#define IMAP_CONN_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/base/arena.h"
#include "imap/base/blob.h"
#include "imap/base/buf.h"
#include "imap/conn/stream.h"
#include "imap/wire/frame.h"

/* A literal being sent: it goes out behind the first `pos` bytes of wire.out. */
struct outgoing {
    struct blob *bytes; /* NULL: none; a reference */
    size_t pos, at;     /* at: bytes of it already sent */
};

struct wire {
    struct stream *stream; /* NULL: not connected */

    struct buf in;
    size_t in_at; /* start of the first response not yet handled */
    struct blob
        *in_blob; /* shares the memory of `in` since conn_blob(), while a response is handled */
    struct frame frame;
    struct arena arena; /* of the response that is handled */
    bool hold;          /* after the awaited answer, if it is OK, not one byte more is looked at */

    struct buf out;
    size_t out_at;    /* start of what is not yet sent */
    size_t cmd_start; /* in `out`, of the command being built */
    struct outgoing literal;
    size_t unsent; /* what the kernel had not sent when it was last looked at */
};

#endif
