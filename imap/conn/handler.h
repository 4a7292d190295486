/* What a connection asks of those who know the operations, which exec/ defines: what each kind of
 * them is like, and what untagged responses mean to them. Internal to imap/. */
#ifndef IMAP_CONN_HANDLER_H
#define IMAP_CONN_HANDLER_H

#include <stdbool.h>
#include <stddef.h>

struct conn;
struct fetch_row;
struct op;
struct response;

/* Are `literal` bytes of a message, announced by `row`, what the operation asked for? Then it is
 * those behind the first *skip, at most as many as it still wants: more than zero are skipped where
 * the server ignored the window. */
enum body_fit {
    BODY_FITS,
    BODY_OTHER, /* they are from elsewhere in the message */
    BODY_DOUBT, /* nobody can tell from where */
};
enum body_fit conn_body_fit(struct conn *c, const struct op *op, const struct fetch_row *row,
                            size_t literal, size_t *skip);

/* Handles an untagged response. 0, or -errno to drop the connection. */
int untagged_handle(struct conn *c, const struct response *r);

/* Acts on the response code of a status response; `op`: whose tagged answer it is, or NULL. */
void untagged_code(struct conn *c, struct op *op, const struct response *r);

/* What may be done with an operation whose connection was lost under it. */
enum op_retry {
    RETRY_REPEAT, /* ask again: it changes nothing, or the same change twice is one */
    RETRY_SETTLE, /* look first what happened, then answer or repeat: its start() sees `resumed` */
    RETRY_NEVER,  /* answer that it failed: nobody can tell whether it was done */
};

struct op_class {
    enum op_retry retry;
    bool select; /* needs its mailbox selected */
    bool write;  /* ... with SELECT */
    bool lists;  /* opens it for writing where it is to be opened: what is listed is changed next */
    bool body;   /* moves message bytes: kept off the connection that lists */
    bool searches; /* may send SEARCH, whose answers do not say whom they are for: one at a time */
    bool alone;    /* nothing else is under way on its connection meanwhile */
    void (*start)(struct conn *c, struct op *op);
    void (*answered)(struct conn *c, struct op *op, int step, const struct response *r);
    void (*go_on)(struct conn *c, struct op *op); /* of WANT_GO_ON; NULL: it has none */
};

const struct op_class *op_class(const struct op *op);

/* Does it change nothing, so that it can be asked twice, and broken off before an unmount? */
bool op_only_asks(const struct op *op);

#endif
