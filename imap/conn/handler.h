/* What a connection asks of those who know the operations, which exec/ defines: what each kind of
 * them is like, and what untagged responses mean to them. Internal to imap/. */
#ifndef IMAP_CONN_HANDLER_H
#define IMAP_CONN_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arrival;
struct blob;
struct conn;
struct deletion;
struct fetch_row;
struct flow;
struct look;
struct op;
struct response;
struct search;
struct uidset;

/* Handles an untagged response. 0, or -errno to drop the connection. */
int untagged_handle(struct conn *c, const struct response *r);

/* Acts on the response code of a status response; `op`: whose tagged answer it is, or NULL. */
void untagged_code(struct conn *c, struct op *op, const struct response *r);

/* A response came that cannot be understood: it may have been an answer to what is in flight. */
void untagged_passed_over(struct conn *c);

/* What may be done with an operation whose connection was lost under it. */
enum op_retry {
    RETRY_REPEAT, /* ask again: it changes nothing, or the same change twice is one */
    RETRY_SETTLE, /* look first what happened, then answer or repeat: its start() sees `resumed` */
    RETRY_NEVER,  /* answer that it failed: nobody can tell whether it was done */
};

struct op_class {
    enum op_retry retry;
    bool select; /* needs its mailbox selected */
    bool write;  /* needs it selected by SELECT, not EXAMINE */
    bool lists;  /* opens it for writing where it is to be opened: what is listed is changed next */
    bool body;   /* moves message bytes: kept off the connection that lists */
    bool searches; /* may send SEARCH, whose answers do not say whom they are for: one at a time */
    bool alone;    /* nothing else is under way on its connection meanwhile */
    void (*start)(struct conn *c, struct op *op);
    void (*answered)(struct conn *c, struct op *op, int step, const struct response *r);
    void (*go_on)(struct conn *c, struct op *op); /* of WANT_GO_ON; NULL: it has none */
    void (*end)(struct op *op); /* hands over and frees what its progress holds; NULL: nothing */

    /* Where in its progress exec/ notes what untagged responses tell; NULL: nowhere. */
    struct search *(*search)(const struct op *op);
    struct look *(*look)(const struct op *op);
    struct deletion *(*deletion)(const struct op *op);
    struct arrival *(*arrival)(const struct op *op);
    const struct uidset *(*uids)(const struct op *op); /* that are to be changed */
};

const struct op_class *op_class(const struct op *op);

/* Does it change nothing, so that it can be asked twice, and broken off before an unmount? */
bool op_only_asks(const struct op *op);

/* Does it need its mailbox opened for writing? */
bool op_writes(const struct op *op);

/* Is it a stream, which has its connection for itself? */
bool op_streams(const struct op *op);

/* Has anything of its answer been handed on? */
bool op_handed_on(const struct op *op);

/* Is it a set of which some may be left out? */
bool op_may_end(const struct op *op);

/* The highest UID that it is about; 0: none. */
uint32_t op_highest_uid(const struct op *op);

/* Does a SELECT for it ask what has changed since? */
bool op_resyncs(const struct op *op, uint64_t *modseq, uint32_t *modseq_validity);

/* Before done(): its answer is whole. */
void op_end(struct op *op);

/* ---- bytes that are handed on while they come (flow.h) ---- */

/* Do `literal` bytes of a message, announced by `row`, belong to an operation without a doubt? Then
 * `flow` is how, and its operation hears of them by body_piece(). */
bool body_flows(struct conn *c, const struct fetch_row *row, size_t literal, struct flow *flow);

/* Bytes, which begin at `at`, and the reference to them; NULL: there is no memory for them. */
void body_piece(struct op *op, size_t at, struct blob *bytes);

/* Is it a stream whose reader wants no more for now? When the reader last came on (clock_ms()). */
bool body_held(const struct op *op);
int64_t body_used_at(const struct op *op);

#endif
