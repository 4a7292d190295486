/* One operation or several through a pool of one connection, against a server that plays a script.
 * Include cmocka.h first. */
#ifndef TESTS_UNIT_SCENE_H
#define TESTS_UNIT_SCENE_H

#include "imap/base/mem.h"
#include "imap/pool/pool.h"
#include "imap/wire/flags.h"
#include "tests/unit/script.h"

enum { MAX_OPS = 4 };

struct want {
    enum op_kind kind;
    const char *mailbox; /* NULL: A, where the kind needs one */
    const char *dest, *text, *spare;
    uint32_t uid; /* 0: 5 */
    uint64_t off;
    uint32_t len;
    uint32_t uidvalidity;
    uint64_t modseq; /* OP_CHECK: known under UIDVALIDITY 7 */
    char delim;
    bool mark_seen;
    bool refresh, thorough, changed;
    bool whole;       /* OP_BODY */
    const char *uids; /* OP_BODIES, OP_HEADER */
    uint32_t uidnext; /* OP_MOVE: known of `dest`, under UIDVALIDITY 7 */
    bool patient;
    bool hurried;       /* somebody waits for it when the script says "GO" once more */
    bool late;          /* submitted when the script says "GO" once more */
    const char *append; /* the message of OP_APPEND */
    size_t append_more; /* so many bytes more of it */

    int err; /* positive */
    uint32_t new_uid;
    bool expunged;
    const char *bytes; /* of on_bytes; NULL: it is not called. Of a set: "5:abc 7:def " */
    size_t pattern;    /* ... instead: so many bytes of the script's pattern, from `off` on, */
    bool pieces;       /* ... in more than one piece */
    const char *left;  /* OP_BODIES, OP_HEADER: what did not come */
    const char *found; /* of a search */
    const char *list;  /* of on_list; "*": whatever */
    bool resynced;     /* OP_CHECK */
};

struct scene {
    const char *name;
    struct want ops[MAX_OPS]; /* up to the first of kind OP_LIST without `list` */
    int timeout, settle;
    bool read_only;
    enum compress_mode compress;
    const char *events; /* what the cache hears; NULL: whatever */
    const char *const steps[96];
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

static inline void on_bytes(struct op *op, uint32_t uid, size_t at, struct blob *bytes)
{
    struct result *r = op->ctx;
    r->calls++;
    if (is_set(op->kind)) {
        assert_int_equal(at, 0); /* each comes whole */
        buf_addf(&r->bytes, "%u:", uid);
        at = r->bytes.len;
    }
    assert_true(at <= r->bytes.len); /* from the start again, or behind what came */
    r->bytes.len = at;
    buf_add(&r->bytes, bytes->data, bytes->len);
    if (is_set(op->kind))
        buf_addc(&r->bytes, ' ');
    blob_unref(bytes);
}

static inline bool on_list(struct op *op, struct str name, char delim, const struct arg *attrs)
{
    struct result *r = op->ctx;
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

static inline void on_row(void *ctx, const char *mailbox, uint32_t uidvalidity,
                          const struct fetch_row *row)
{
    struct run *run = ctx;
    struct buf flags = {0};
    flags_text(row->flags, &flags);
    pthread_mutex_lock(&run->lock);
    buf_addf(&run->events, "%s/%u row %u %s; ", mailbox, uidvalidity, row->uid, buf_str(&flags));
    pthread_mutex_unlock(&run->lock);
    buf_free(&flags);
}

static inline void on_change(void *ctx, const char *mailbox, uint32_t uidvalidity, unsigned what)
{
    struct run *run = ctx;
    pthread_mutex_lock(&run->lock);
    buf_addf(&run->events, "%s/%u change %u; ", mailbox, uidvalidity, what);
    pthread_mutex_unlock(&run->lock);
}

static inline void on_vanished(void *ctx, const char *mailbox, uint32_t uidvalidity,
                               const struct uidset *uids)
{
    struct run *run = ctx;
    struct buf set = {0};
    uidset_text(uids, &set);
    pthread_mutex_lock(&run->lock);
    buf_addf(&run->events, "%s/%u vanished %s; ", mailbox, uidvalidity, buf_str(&set));
    pthread_mutex_unlock(&run->lock);
    buf_free(&set);
}

static inline void on_status(void *ctx, struct str mailbox, const struct mailbox_state *now)
{
    struct run *run = ctx;
    pthread_mutex_lock(&run->lock);
    buf_addf(&run->events, STR_FMT " has %u; ", STR_ARG(mailbox), now->exists);
    pthread_mutex_unlock(&run->lock);
}

static inline void note(void *ctx, const char *what)
{
    struct run *run = ctx;
    pthread_mutex_lock(&run->lock);
    buf_adds(&run->events, what);
    pthread_mutex_unlock(&run->lock);
}

static inline void on_folders(void *ctx)
{
    note(ctx, "folders; ");
}

static inline void on_deaf(void *ctx)
{
    note(ctx, "deaf; ");
}

static inline void on_batch(void *ctx)
{
    (void)ctx;
}

static const struct pool_events events = {.row = on_row,
                                          .changed = on_change,
                                          .vanished = on_vanished,
                                          .status = on_status,
                                          .folders = on_folders,
                                          .deaf = on_deaf,
                                          .batch = on_batch};

static inline bool is_used(const struct want *w)
{
    return w->kind != OP_LIST || w->list;
}

static inline struct op *make_op(const struct want *w, struct result *r)
{
    struct op *op = op_new(w->kind,
                           w->kind == OP_LIST ? NULL
                           : w->mailbox       ? w->mailbox
                                              : "A",
                           w->uidvalidity);
    op->dest = w->dest ? mem_strdup(w->dest) : NULL;
    op->text = w->text ? mem_strdup(w->text) : NULL;
    op->uid = w->uid ? w->uid : 5;
    op->off = w->off;
    op->len = w->len;
    op->modseq = w->modseq;
    op->modseq_validity = w->modseq ? 7 : 0;
    op->delim = w->delim;
    op->mark_seen = w->mark_seen;
    op->whole = w->whole;
    op->refresh = w->refresh;
    op->thorough = w->thorough;
    op->changed = w->changed;
    op->patient = w->patient;
    op->dest_uidnext = w->uidnext;
    op->dest_uidvalidity = w->uidnext ? 7 : 0;
    if (w->uids)
        assert_int_equal(uidset_parse(&op->uids, w->uids, strlen(w->uids)), 0);
    if (w->append) {
        struct buf bytes = {0};
        buf_adds(&bytes, w->append);
        memset(buf_reserve(&bytes, w->append_more), 'x', w->append_more);
        op->bytes = blob_copy(bytes.data, bytes.len + w->append_more);
        buf_free(&bytes);
    }
    if (w->spare)
        assert_int_equal(uidset_parse(&op->spare, w->spare, strlen(w->spare)), 0);
    op->on_list = on_list;
    op->on_bytes = on_bytes;
    op->done = on_done;
    op->ctx = r;
    return op;
}

static inline void check_bytes(const char *name, const struct want *w, struct result *r)
{
    if (w->pattern) {
        size_t same = 0;
        while (same < r->bytes.len && r->bytes.data[same] == script_pattern((size_t)w->off + same))
            same++;
        if (same != w->pattern || r->bytes.len != same)
            fail_msg("%s: %zu bytes, of which the first %zu are right", name, r->bytes.len, same);
    } else if (w->bytes && strcmp(buf_str(&r->bytes), w->bytes) != 0) {
        fail_msg("%s: bytes %s", name, buf_str(&r->bytes));
    }
    bool any = w->bytes && (*w->bytes || !is_set(w->kind));
    if (w->pieces ? r->calls < 2 : !is_set(w->kind) && r->calls != (any || w->pattern ? 1 : 0))
        fail_msg("%s: %u times bytes", name, r->calls);
    if (!any && !w->pattern && r->calls)
        fail_msg("%s: bytes out of nowhere: %s", name, buf_str(&r->bytes));
}

static inline void check_left(const char *name, const struct want *w, const struct op *op)
{
    struct buf left = {0};
    uidset_text(&op->uids, &left);
    if (w->left && strcmp(buf_str(&left), w->left) != 0)
        fail_msg("%s: left is %s", name, buf_str(&left));
    buf_free(&left);
}

static inline void check(const char *name, const struct want *w, struct result *r)
{
    struct op *op = r->op;
    if (!op) {
        fail_msg("%s: an operation is not done", name);
        return;
    }
    struct buf found = {0};
    uidset_text(&op->found, &found);
    if (op->err != -w->err)
        fail_msg("%s: error %d instead of %d", name, -op->err, w->err);
    if (op->new_uid != w->new_uid || op->expunged != w->expunged)
        fail_msg("%s: new UID %u, expunged %d", name, op->new_uid, op->expunged);
    if (op->state.resynced != w->resynced)
        fail_msg("%s: resynced %d", name, op->state.resynced);
    check_bytes(name, w, r);
    check_left(name, w, op);
    if (w->found && strcmp(buf_str(&found), w->found) != 0)
        fail_msg("%s: found %s", name, buf_str(&found));
    if (w->list && strcmp(w->list, "*") != 0 && strcmp(buf_str(&r->list), w->list) != 0)
        fail_msg("%s: listed %s", name, buf_str(&r->list));
    buf_free(&found);
}

static inline void wait_done(struct run *run, unsigned n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SCRIPT_PATIENCE / 1000;
    pthread_mutex_lock(&run->lock);
    while (run->done < n && pthread_cond_timedwait(&run->cond, &run->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&run->lock);
}

static inline void play(const struct scene *s)
{
    struct script server;
    struct buf why = {0};
    struct run run = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct result results[MAX_OPS] = {0};
    assert_true(script_start(&server, s->steps));
    struct pool_config config = {
        .host = "127.0.0.1",
        .port = server.port,
        .tls_mode = TLS_NONE,
        .user = "user",
        .password = "pass",
        .timeout = s->timeout ? s->timeout : SCRIPT_PATIENCE,
        .settle = s->settle,
        .connections = 1,
        .read_only = s->read_only,
        .compress = s->compress,
    };
    struct pool *pool = pool_open(&config, &events, &run, &why);
    unsigned n = 0, late = 0;
    for (; pool && n < MAX_OPS && is_used(&s->ops[n]); n++) {
        results[n].run = &run;
        if (s->ops[n].late)
            script_wait_go(&server, ++late);
        struct op *op = make_op(&s->ops[n], &results[n]);
        pool_submit(pool, op);
        if (!s->ops[n].hurried)
            continue;
        script_wait_go(&server, ++late);
        pool_hurry(pool, op);
    }
    wait_done(&run, n);
    if (pool)
        pool_stop(pool);
    pool_free(pool);
    script_end(&server);

    if (server.error[0])
        fail_msg("%s: %s", s->name, server.error);
    if (!pool)
        fail_msg("%s: %s", s->name, buf_str(&why));
    for (unsigned i = 0; i < n; i++) {
        check(s->name, &s->ops[i], &results[i]);
        op_free(results[i].op);
        buf_free(&results[i].bytes);
        buf_free(&results[i].list);
    }
    if (s->events && strcmp(buf_str(&run.events), s->events) != 0)
        fail_msg("%s: events %s", s->name, buf_str(&run.events));
    buf_free(&run.events);
    buf_free(&why);
}

/* The test of a table of scenes. */
#define TEST(table)                                                                                \
    static void test_##table(void **state)                                                         \
    {                                                                                              \
        (void)state;                                                                               \
        for (size_t i = 0; i < sizeof(table) / sizeof *(table); i++)                               \
            play(&(table)[i]);                                                                     \
    }

#endif
