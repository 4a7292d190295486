/* What a scene asks for and wants to see, and what an operation brings. For scene.h. */
#ifndef TESTS_UNIT_SCENE_WANT_H
#define TESTS_UNIT_SCENE_WANT_H

#include "imap/base/mem.h"
#include "imap/pool/pool.h"
#include "imap/wire/flags.h"
#include "tests/unit/script.h"

struct want {
    enum op_kind kind;
    const char *mailbox; /* NULL: A, where the kind needs one */
    const char *dest, *text, *spare;
    uint32_t uid; /* 0: 5; of those that change messages, unless `uids` is given */
    uint64_t off;
    uint32_t len;
    uint32_t uidvalidity;
    uint64_t modseq; /* OP_CHECK: known under UIDVALIDITY 7 */
    char delim;
    bool mark_seen;
    bool refresh, thorough, changed;
    bool whole;       /* OP_BODY */
    const char *uids; /* OP_BODIES, OP_HEADER; or what is to be changed */
    uint32_t uidnext; /* OP_MOVE: known of `dest`, under UIDVALIDITY 7 */
    bool patient;
    bool hurried;       /* somebody waits for it when the script says "GO" once more */
    bool late;          /* submitted when the script says "GO" once more */
    const char *append; /* the message of OP_APPEND */
    size_t append_more; /* so many bytes more of it */

    int err;                    /* positive */
    uint32_t new_uid;           /* of `uid`, unless `copies` is given */
    bool expunged;              /* `uid` is, unless `gone` is given */
    const char *copies;         /* OP_MOVE, OP_COPY: "5=9 6=10 " */
    const char *gone, *flagged; /* OP_MOVE, OP_DELETE */
    const char *did;            /* OP_COPY: what is copied; OP_STORE: what is stored */
    const char *bytes;          /* of on_bytes; NULL: it is not called. Of a set: "5:abc 7:def " */
    size_t pattern;    /* ... instead: so many bytes of the script's pattern, from `off` on, */
    bool pieces;       /* ... in more than one piece */
    const char *left;  /* OP_BODIES, OP_HEADER: what did not come */
    const char *found; /* of a search */
    const char *list;  /* of on_list; "*": whatever */
    bool resynced;     /* OP_CHECK */
};

struct run {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned done;
    struct buf events; /* under lock */
};

/* What one operation brought. */
struct result {
    struct run *run;
    struct op *op; /* once it is done */
    struct buf bytes, list;
    unsigned calls; /* of on_bytes */
};

static inline void on_done(struct op *op)
{
    struct result *r = op->ctx;
    pthread_mutex_lock(&r->run->lock);
    assert_null(r->op);
    r->op = op;
    r->run->done++;
    pthread_cond_signal(&r->run->cond);
    pthread_mutex_unlock(&r->run->lock);
}

static inline bool is_set(enum op_kind kind)
{
    return kind == OP_BODIES || kind == OP_HEADER;
}

static inline void on_body(struct op_body *op, size_t at, struct blob *bytes)
{
    struct result *r = op->op.ctx;
    r->calls++;
    assert_true(at <= r->bytes.len); /* from the start again, or behind what came */
    r->bytes.len = at;
    buf_add(&r->bytes, bytes->data, bytes->len);
    blob_unref(bytes);
}

static inline void on_one_of_set(struct result *r, uint32_t uid, struct blob *bytes)
{
    r->calls++;
    buf_addf(&r->bytes, "%u:", uid);
    buf_add(&r->bytes, bytes->data, bytes->len);
    buf_addc(&r->bytes, ' ');
    blob_unref(bytes);
}

static inline void on_bodies(struct op_bodies *op, uint32_t uid, struct blob *bytes)
{
    on_one_of_set(op->op.ctx, uid, bytes);
}

static inline void on_header(struct op_header *op, uint32_t uid, struct blob *bytes)
{
    on_one_of_set(op->op.ctx, uid, bytes);
}

static inline bool on_list(struct op_list *op, struct str name, char delim, const struct arg *attrs)
{
    struct result *r = op->op.ctx;
    struct buf row = {0};
    (void)attrs;
    buf_addf(&row, STR_FMT "%c ", STR_ARG(name), delim ? delim : '-');
    /* Long lists are looked at by none of the tests. */
    bool known = r->list.len > 65536 || strstr(buf_str(&r->list), buf_str(&row));
    if (r->list.len <= 65536)
        buf_addf(&r->list, "%s", buf_str(&row));
    buf_free(&row);
    return !known;
}

#endif
