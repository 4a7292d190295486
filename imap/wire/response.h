/* One server response, taken apart: RFC 3501 section 7 and the grammar of section 9, leniently. */
#ifndef IMAP_WIRE_RESPONSE_H
#define IMAP_WIRE_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/base/arena.h"
#include "imap/base/str.h"

enum arg_type {
    ARG_NIL,
    ARG_ATOM,   /* also numbers, flags and BODY[...] with what is in the brackets */
    ARG_STRING, /* quoted, unescaped; or a literal */
    ARG_LIST,
};

/* A node of the argument tree. Bytes point into the response's own buffer. */
struct arg {
    enum arg_type type;
    struct str s;      /* of ATOM and STRING */
    struct arg *child; /* of LIST: its first element */
    struct arg *next;  /* the next on the same level */
};

enum resp_kind { RESP_CONTINUE, RESP_TAGGED, RESP_UNTAGGED };

enum resp_cond { COND_NONE, COND_OK, COND_NO, COND_BAD, COND_BYE, COND_PREAUTH };

struct response {
    enum resp_kind kind;
    struct str tag;        /* of TAGGED */
    enum resp_cond cond;   /* of TAGGED always; of UNTAGGED when it is a status response */
    bool has_number;       /* "* 23 EXISTS" */
    uint32_t number;       /* its 23 */
    struct str name;       /* the keyword: FETCH, LIST, OK, ... */
    struct arg *args;      /* behind the keyword; NULL for a status response */
    struct str code;       /* the keyword of a bracketed response code, else empty */
    struct arg *code_args; /* behind that keyword */
    struct str text;       /* the human text of a status response or a continuation */
};

/* Takes apart the complete response of `len` bytes that frame_scan() found. Quoted strings are
 * unescaped in place, so `data` changes; tree and strings live until `a` is reset and `data` moves.
 * Returns 0, or -EPROTO for a line that makes no sense: the stream itself is still in step, so the
 * caller may pass over an untagged one; or -ENOMEM: what it says is not known. */
int response_parse(struct arena *a, char *data, size_t len, struct response *out);

/* The number that `arg` is: digits only, at most `max`. False for everything else (-1, 9.3e+06). */
bool arg_number(const struct arg *arg, uint64_t max, uint64_t *n);

static inline bool arg_is(const struct arg *arg, const char *word)
{
    return arg && arg->type == ARG_ATOM && str_is(arg->s, word);
}

#endif
