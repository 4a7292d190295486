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

static inline char *text_of(const struct want *w)
{
    return w->text ? mem_strdup(w->text) : NULL;
}

static inline void parse_set(struct uidset *set, const char *text)
{
    if (text && *text)
        assert_int_equal(uidset_parse(set, text, strlen(text)), 0);
}

/* The UIDs that are to be changed. */
static inline void uids_of(const struct want *w, struct uidset *set)
{
    uint32_t uid = w->uid ? w->uid : 5;
    if (w->uids)
        parse_set(set, w->uids);
    else
        uidset_add(set, uid, uid);
}

/* "+FLAGS (\\Seen $Junk)" */
static inline void read_change(struct flag_change *change, const char *text)
{
    change->how = *text == '+' ? FLAGS_ADD : *text == '-' ? FLAGS_REMOVE : FLAGS_REPLACE;
    text += strcspn(text, "(") + 1;
    while (*text != ')') {
        size_t n = strcspn(text, " )");
        assert_int_equal(flag_change_add(change, (struct str){text, n}), 0);
        text += n + strspn(text + n, " ");
    }
}

static inline struct op *make_read(const struct want *w, const char *mailbox)
{
    switch (w->kind) {
    case OP_LIST: {
        struct op_list *o = op_list_new();
        o->on_list = on_list;
        return &o->op;
    }
    case OP_CHECK: {
        struct op_check *o = op_check_new(mailbox);
        o->op.uidvalidity = w->uidvalidity;
        o->modseq = w->modseq;
        o->modseq_validity = w->modseq ? 7 : 0;
        o->thorough = w->thorough;
        o->changed = w->changed;
        return &o->op;
    }
    case OP_META: {
        struct op_meta *o = op_meta_new(mailbox, w->uidvalidity, text_of(w));
        o->refresh = w->refresh;
        return &o->op;
    }
    case OP_FLAGS: {
        struct op_flags *o = op_flags_new(mailbox, w->uidvalidity, text_of(w));
        o->modseq = w->modseq;
        return &o->op;
    }
    case OP_SEARCH: {
        struct op_search *o = op_search_new(mailbox, w->uidvalidity, text_of(w));
        o->refresh = w->refresh;
        return &o->op;
    }
    case OP_BODY: {
        struct op_body *o = op_body_new(mailbox, w->uidvalidity);
        o->uid = w->uid ? w->uid : 5;
        o->off = w->off;
        o->len = w->len;
        o->whole = w->whole;
        o->mark_seen = w->mark_seen;
        o->on_bytes = on_body;
        return &o->op;
    }
    case OP_BODIES: {
        struct op_bodies *o = op_bodies_new(mailbox, w->uidvalidity);
        parse_set(&o->uids, w->uids);
        o->len = w->len;
        o->on_bytes = on_bodies;
        return &o->op;
    }
    case OP_HEADER: {
        struct op_header *o = op_header_new(mailbox, w->uidvalidity, text_of(w));
        parse_set(&o->uids, w->uids);
        o->on_bytes = on_header;
        return &o->op;
    }
    default:
        return &op_quota_new(mailbox)->op;
    }
}

static inline struct op *make_append(const struct want *w, const char *mailbox)
{
    struct buf bytes = {0};
    buf_adds(&bytes, w->append);
    memset(buf_reserve(&bytes, w->append_more), 'x', w->append_more);
    struct op_append *o = op_append_new(mailbox, blob_copy(bytes.data, bytes.len + w->append_more));
    buf_free(&bytes);
    o->flags = text_of(w);
    return &o->op;
}

static inline struct op *make_change(const struct want *w, const char *mailbox)
{
    switch (w->kind) {
    case OP_MOVE: {
        struct op_move *o = op_move_new(mailbox, w->uidvalidity, w->dest);
        uids_of(w, &o->uids);
        parse_set(&o->spare, w->spare);
        o->dest_uidnext = w->uidnext;
        o->dest_uidvalidity = w->uidnext ? 7 : 0;
        return &o->op;
    }
    case OP_COPY: {
        struct op_copy *o = op_copy_new(mailbox, w->uidvalidity, w->dest);
        uids_of(w, &o->uids);
        return &o->op;
    }
    case OP_DELETE: {
        struct op_delete *o = op_delete_new(mailbox, w->uidvalidity);
        uids_of(w, &o->uids);
        parse_set(&o->spare, w->spare);
        return &o->op;
    }
    case OP_STORE: {
        struct op_store *o = op_store_new(mailbox, w->uidvalidity);
        uids_of(w, &o->uids);
        read_change(&o->change, w->text);
        return &o->op;
    }
    case OP_APPEND:
        return make_append(w, mailbox);
    case OP_CREATE:
        return &op_create_new(mailbox)->op;
    case OP_REMOVE: {
        struct op_remove *o = op_remove_new(mailbox, w->uidvalidity, w->delim);
        parse_set(&o->spare, w->spare);
        return &o->op;
    }
    case OP_RENAME:
        return &op_rename_new(mailbox, w->dest, w->delim)->op;
    default:
        return NULL;
    }
}

static inline struct op *make_op(const struct want *w, struct result *r)
{
    const char *mailbox = w->mailbox ? w->mailbox : "A";
    struct op *op = make_change(w, mailbox);
    op = op ? op : make_read(w, mailbox);
    op->patient = w->patient;
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

/* NULL: whatever. */
static inline void check_set(const char *name, const char *what, const struct uidset *set,
                             const char *want)
{
    struct buf text = {0};
    uidset_text(set, &text);
    if (want && strcmp(buf_str(&text), want) != 0)
        fail_msg("%s: %s %s", name, what, buf_str(&text));
    buf_free(&text);
}

static inline void check_gone(const char *name, const struct want *w, const struct uidset *gone,
                              const struct uidset *flagged)
{
    check_set(name, "gone", gone, w->gone);
    check_set(name, "flagged", flagged, w->flagged);
    if (!w->gone && uidset_has(gone, w->uid ? w->uid : 5) != w->expunged)
        fail_msg("%s: expunged %d", name, !w->expunged);
}

static inline void check_copies(const char *name, const struct want *w, const struct uidmap *copies)
{
    struct buf text = {0};
    for (size_t i = 0; i < copies->n; i++)
        buf_addf(&text, "%u=%u ", copies->pairs[i].from, copies->pairs[i].to);
    if (w->copies && strcmp(w->copies, buf_str(&text)) != 0)
        fail_msg("%s: copies %s", name, buf_str(&text));
    buf_free(&text);
    uint32_t new_uid = uidmap_get(copies, w->uid ? w->uid : 5);
    if (!w->copies && new_uid != w->new_uid)
        fail_msg("%s: new UID %u", name, new_uid);
}

static inline void check_answer(const char *name, const struct want *w, const struct op *op)
{
    switch (op->kind) {
    case OP_CHECK:
        if (op_as_check(op)->state.resynced != w->resynced)
            fail_msg("%s: resynced %d", name, !w->resynced);
        return;
    case OP_SEARCH:
        check_set(name, "found", &op_as_search(op)->found, w->found);
        return;
    case OP_BODIES:
        check_set(name, "left is", &op_as_bodies(op)->uids, w->left);
        return;
    case OP_HEADER:
        check_set(name, "left is", &op_as_header(op)->uids, w->left);
        return;
    case OP_MOVE:
        check_gone(name, w, &op_as_move(op)->gone, &op_as_move(op)->flagged);
        check_copies(name, w, &op_as_move(op)->copies);
        return;
    case OP_COPY:
        check_set(name, "copied", &op_as_copy(op)->copied, w->did);
        check_copies(name, w, &op_as_copy(op)->copies);
        return;
    case OP_DELETE:
        check_gone(name, w, &op_as_delete(op)->gone, &op_as_delete(op)->flagged);
        return;
    case OP_STORE:
        check_set(name, "stored", &op_as_store(op)->stored, w->did);
        return;
    case OP_APPEND:
        if (op_as_append(op)->new_uid != w->new_uid)
            fail_msg("%s: new UID %u", name, op_as_append(op)->new_uid);
        return;
    default:
        return;
    }
}

static inline void check(const char *name, const struct want *w, struct result *r)
{
    const struct op *op = r->op;
    if (!op) {
        fail_msg("%s: an operation is not done", name);
        return;
    }
    if (op->err != -w->err)
        fail_msg("%s: error %d instead of %d", name, -op->err, w->err);
    check_answer(name, w, op);
    check_bytes(name, w, r);
    if (w->list && strcmp(w->list, "*") != 0 && strcmp(buf_str(&r->list), w->list) != 0)
        fail_msg("%s: listed %s", name, buf_str(&r->list));
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
