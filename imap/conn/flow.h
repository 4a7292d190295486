/* A large literal that is handed on while it comes, instead of when it is whole. Internal to
 * imap/. */
#ifndef IMAP_CONN_FLOW_H
#define IMAP_CONN_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/base/buf.h"

struct blob;
struct conn;
struct op;

/* A literal being handed on while it comes (flow.c). */
struct flow {
    struct op *op;      /* NULL: none */
    struct blob *piece; /* being filled; NULL: none */
    size_t skip;        /* bytes of the literal in front of those that were asked for */
    size_t at, left;    /* where the piece begins; bytes asked for that are not yet in a piece */
    size_t rest;        /* bytes of the literal behind those */
    struct buf head;    /* the response in front of it */
    bool passed;        /* the response being read is what is left of one whose literal passed */
};

/* After PARSE_MORE: does a large literal begin whose owner is clear? Then flow_feed() takes it. */
bool flow_begin(struct conn *c);

/* While c->flow.op: takes from c->in what is the literal's. */
void flow_feed(struct conn *c);

/* While c->flow.op, once c->in is empty: where the next bytes go, and at most how many; then, that
 * so many are there. */
char *flow_room(struct conn *c, size_t *want);
void flow_filled(struct conn *c, size_t n);

/* Does whoever gets the bytes want no more of them for now? */
bool flow_held(const struct conn *c);

/* Until when (clock_ms()) that is put up with. Then the stream is ended, and with it, since the
 * rest of the literal can only be read, the connection. */
int64_t flow_patience(const struct conn *c);
void flow_give_up(struct conn *c);

/* The connection is lost. */
void flow_drop(struct conn *c);

#endif
