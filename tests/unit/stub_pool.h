/* An account over a pool that is none: what cache/ asks of the server waits in a queue until the
 * test answers it, in any order, and the test says what a server says unasked. It defines every
 * pool_...() that cache/ calls, so that imap/pool/pool.c stays out of the link. Include cmocka.h
 * first.
 */
#ifndef TESTS_UNIT_STUB_POOL_H
#define TESTS_UNIT_STUB_POOL_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/account.h"
#include "imap/base/clock.h"
#include "imap/base/mem.h"
#include "imap/wire/fetch.h"

enum { STUB_PATIENCE = 30000 }; /* ms that any wait may take, also on a slow machine */

/* ---- the pool ---- */

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct op *queue; /* under lock; the oldest first, by `next` */
    int64_t hears;    /* what pool_hears() says, of any mailbox; atomic by the lock */
    bool tells_all;   /* what pool_tells_all() says; likewise */
    bool late;        /* what pool_tells_at_once() denies; likewise */
    const struct pool_events *events;
    void *ctx;
};

/* As the tests open one account at a time, there is one pool. */
static struct pool stub_pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .hears = INT64_MAX};

struct pool *pool_open(const struct pool_config *config, const struct pool_events *events,
                       void *ctx, struct buf *why)
{
    (void)config, (void)why;
    stub_pool.events = events;
    stub_pool.ctx = ctx;
    stub_pool.hears = INT64_MAX;
    stub_pool.tells_all = stub_pool.late = false;
    return &stub_pool;
}

void pool_submit(struct pool *p, struct op *op)
{
    op->submitted = clock_ms();
    pthread_mutex_lock(&p->lock);
    struct op **end = &p->queue;
    while (*end)
        end = &(*end)->next;
    *end = op;
    pthread_cond_broadcast(&p->cond);
    pthread_mutex_unlock(&p->lock);
}

void pool_hurry(struct pool *p, struct op *op)
{
    pthread_mutex_lock(&p->lock);
    op->patient = false;
    pthread_mutex_unlock(&p->lock);
}

/* Takes the oldest one of this kind (OP_KINDS: of any), or NULL. */
static inline struct op *stub_find_locked(enum op_kind kind)
{
    struct op **at = &stub_pool.queue;
    while (*at && kind != OP_KINDS && (*at)->kind != kind)
        at = &(*at)->next;
    struct op *op = *at;
    if (op) {
        *at = op->next;
        op->next = NULL;
    }
    return op;
}

void pool_stop(struct pool *p)
{
    for (;;) {
        pthread_mutex_lock(&p->lock);
        struct op *op = stub_find_locked(OP_KINDS);
        pthread_mutex_unlock(&p->lock);
        if (!op)
            return;
        op->err = -ENOTCONN;
        op->done(op);
    }
}

void pool_free(struct pool *p)
{
    (void)p;
}

bool pool_amend(struct pool *p, struct op_bodies *b, uint32_t uid, bool in)
{
    pthread_mutex_lock(&p->lock);
    const struct op *at = p->queue;
    while (at && at != &b->op)
        at = at->next;
    if (at && in)
        uidset_add(&b->uids, uid, uid);
    else if (at)
        uidset_remove(&b->uids, uid);
    pthread_mutex_unlock(&p->lock);
    return at;
}

bool pool_body_lane(struct pool *p)
{
    (void)p;
    return true;
}

bool pool_ignores_windows(const struct pool *p)
{
    (void)p;
    return false;
}

bool pool_may_stream(struct pool *p)
{
    (void)p;
    return true;
}

void pool_resume(struct pool *p, struct op_body *b)
{
    (void)p, (void)b;
}

int64_t pool_hears(struct pool *p, const char *mailbox)
{
    (void)mailbox;
    pthread_mutex_lock(&p->lock);
    int64_t since = p->hears;
    pthread_mutex_unlock(&p->lock);
    return since;
}

bool pool_tells_at_once(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    bool late = p->late;
    pthread_mutex_unlock(&p->lock);
    return !late;
}

bool pool_tells_all(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    bool all = p->tells_all;
    pthread_mutex_unlock(&p->lock);
    return all;
}

void pool_warm(struct pool *p)
{
    (void)p;
}

void pool_status(struct pool *p, struct buf *out)
{
    (void)p, (void)out;
}

const char *pool_namespace(struct pool *p)
{
    (void)p;
    return "";
}

/* ---- the test as the server ---- */

static inline struct timespec stub_until(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STUB_PATIENCE / 1000;
    return until;
}

/* Waits for an operation of this kind; it is the caller's to answer. */
static inline struct op *stub_take(enum op_kind kind)
{
    struct timespec until = stub_until();
    struct op *op;
    int err = 0;
    pthread_mutex_lock(&stub_pool.lock);
    while (!(op = stub_find_locked(kind)) && !err)
        err = pthread_cond_timedwait(&stub_pool.cond, &stub_pool.lock, &until);
    pthread_mutex_unlock(&stub_pool.lock);
    if (!op)
        fail_msg("nobody asks for operation %d", (int)kind);
    return op;
}

/* Is nothing asked at this moment? */
static inline bool stub_quiet(void)
{
    pthread_mutex_lock(&stub_pool.lock);
    bool quiet = !stub_pool.queue;
    pthread_mutex_unlock(&stub_pool.lock);
    return quiet;
}

static inline void stub_answer(struct op *op, int err)
{
    op->err = err;
    op->done(op);
}

/* Answers a look (OP_CHECK), as by SELECT. */
static inline void stub_answer_look(struct op *op, uint32_t uidvalidity, uint32_t uidnext,
                                    uint32_t exists, uint64_t modseq)
{
    op_as_check(op)->state = (struct mailbox_state){.uidvalidity = uidvalidity,
                                                    .uidnext = uidnext,
                                                    .exists = exists,
                                                    .modseq = modseq,
                                                    .current = true,
                                                    .fresh = true};
    stub_answer(op, 0);
}

static inline void stub_answer_search(struct op *op, const char *uids)
{
    assert_int_equal(uidset_parse(&op_as_search(op)->found, uids, strlen(uids)), 0);
    stub_answer(op, 0);
}

/* Answers a move of one message, which is `to` there. */
static inline void stub_answer_move(struct op *op, uint32_t uidvalidity, uint32_t to)
{
    struct op_move *o = op_as_move(op);
    uint32_t uid = o->uids.r[0].lo;
    uidset_add(&o->gone, uid, uid);
    uidmap_put(&o->copies, uid, to);
    o->copies_validity = uidvalidity;
    stub_answer(op, 0);
}

/* What OP_META or OP_FLAGS asks for. */
static inline const char *stub_uids(const struct op *op)
{
    return op->kind == OP_META ? op_as_meta(op)->uids : op_as_flags(op)->uids;
}

/* The server says "* SEQ FETCH (ITEMS)". */
static inline void stub_row(const char *mailbox, uint32_t uidvalidity, uint32_t seq,
                            const char *items)
{
    struct arena arena = {0};
    struct buf line = {0};
    struct response r;
    struct fetch_row row;
    buf_addf(&line, "* %u FETCH (%s)\r\n", seq, items);
    assert_int_equal(response_parse(&arena, line.data, line.len, &r), 0);
    assert_int_equal(fetch_decode(&r, &row), 0);
    stub_pool.events->row(stub_pool.ctx, mailbox, uidvalidity, &row);
    arena_free(&arena);
    buf_free(&line);
}

/* The row that answers OP_META; the message's label is "mUID". */
static inline void stub_meta(const char *mailbox, uint32_t uidvalidity, uint32_t seq, uint32_t uid,
                             const char *flags)
{
    char items[300];
    snprintf(items, sizeof items,
             "UID %u FLAGS (%s) INTERNALDATE \"01-Nov-2026 10:00:00 +0000\" RFC822.SIZE %u "
             "BODY[HEADER.FIELDS (FROM SUBJECT)] \"m%u\"",
             uid, flags, 1000 + uid, uid);
    stub_row(mailbox, uidvalidity, seq, items);
}

static inline void stub_vanished(const char *mailbox, uint32_t uidvalidity, const char *uids)
{
    struct uidset set = {0};
    assert_int_equal(uidset_parse(&set, uids, strlen(uids)), 0);
    stub_pool.events->vanished(stub_pool.ctx, mailbox, uidvalidity, &set);
    uidset_free(&set);
}

static inline void stub_changed(const char *mailbox, uint32_t uidvalidity, unsigned what)
{
    stub_pool.events->changed(stub_pool.ctx, mailbox, uidvalidity, what);
}

static inline void stub_hears(int64_t since)
{
    pthread_mutex_lock(&stub_pool.lock);
    stub_pool.hears = since;
    pthread_mutex_unlock(&stub_pool.lock);
}

static inline void stub_tells_late(bool late)
{
    pthread_mutex_lock(&stub_pool.lock);
    stub_pool.late = late;
    pthread_mutex_unlock(&stub_pool.lock);
}

static inline void stub_tells_all(bool all)
{
    pthread_mutex_lock(&stub_pool.lock);
    stub_pool.tells_all = all;
    pthread_mutex_unlock(&stub_pool.lock);
}

/* ---- who asks ---- */

struct asker {
    struct waiter w;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned woken; /* under lock, as `err` */
    int err;
};

static inline void asker_wake(struct waiter *w, int err)
{
    struct asker *q = (struct asker *)w;
    pthread_mutex_lock(&q->lock);
    q->woken++;
    q->err = err;
    pthread_cond_signal(&q->cond);
    pthread_mutex_unlock(&q->lock);
}

#define ASKER                                                                                      \
    (struct asker)                                                                                 \
    {                                                                                              \
        .w.wake = asker_wake, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER  \
    }

static inline bool asker_woken(struct asker *q)
{
    pthread_mutex_lock(&q->lock);
    bool woken = q->woken;
    pthread_mutex_unlock(&q->lock);
    return woken;
}

/* Waits until it is woken, once, and returns with what; it can then be used again. */
static inline int asker_wait(struct asker *q)
{
    struct timespec until = stub_until();
    int late = 0;
    pthread_mutex_lock(&q->lock);
    while (!q->woken && !late)
        late = pthread_cond_timedwait(&q->cond, &q->lock, &until);
    unsigned woken = q->woken;
    int err = q->err;
    q->woken = 0;
    pthread_mutex_unlock(&q->lock);
    assert_int_equal(woken, 1);
    return err;
}

/* ---- the account ---- */

struct stub {
    struct account_config config;
    struct account *account;
    pthread_mutex_t lock;
    struct buf told;   /* under lock: the events, "new INBOX/5; " */
    struct buf kernel; /* under lock: what the kernel is to forget, "gone 5; stale a.eml; " */
};

static inline size_t stub_label(const char *header, size_t len, char *out, size_t cap)
{
    return (size_t)snprintf(out, cap, "%.*s", (int)len, header);
}

static inline void stub_on_event(void *ctx, const char *folder, const struct msg_info *m,
                                 enum account_event what, const char *flags)
{
    static const char *const names[] = {"new", "expunged", "flags"};
    struct stub *s = ctx;
    pthread_mutex_lock(&s->lock);
    buf_addf(&s->told, "%s %s/%u%s%s; ", names[what], folder, m->uid, *flags ? " " : "", flags);
    pthread_mutex_unlock(&s->lock);
}

static inline void stub_on_gone(void *ctx, const struct msg_info *m)
{
    struct stub *s = ctx;
    pthread_mutex_lock(&s->lock);
    buf_addf(&s->kernel, "gone %u; ", m->uid);
    pthread_mutex_unlock(&s->lock);
}

static inline void stub_on_folder_changed(void *ctx, uint32_t id)
{
    (void)ctx, (void)id;
}

static inline void stub_on_size(void *ctx, uint32_t gen, uint32_t uid)
{
    struct stub *s = ctx;
    (void)gen;
    pthread_mutex_lock(&s->lock);
    buf_addf(&s->kernel, "size %u; ", uid);
    pthread_mutex_unlock(&s->lock);
}

static inline void stub_on_came(void *ctx, uint32_t folder, uint32_t uid)
{
    struct stub *s = ctx;
    (void)folder;
    pthread_mutex_lock(&s->lock);
    buf_addf(&s->kernel, "came %u; ", uid);
    pthread_mutex_unlock(&s->lock);
}

static inline void stub_on_unsure(void *ctx, const struct msg_info *m)
{
    struct stub *s = ctx;
    pthread_mutex_lock(&s->lock);
    buf_addf(&s->kernel, "unsure %u; ", m->uid);
    pthread_mutex_unlock(&s->lock);
}

static inline void stub_on_stale(void *ctx, uint32_t parent, const char *name)
{
    struct stub *s = ctx;
    (void)parent;
    pthread_mutex_lock(&s->lock);
    buf_addf(&s->kernel, "stale %s; ", name);
    pthread_mutex_unlock(&s->lock);
}

static inline void *stub_open_main(void *ctx)
{
    struct stub *s = ctx;
    struct buf why = {0};
    const struct account_hooks hooks = {.label = stub_label,
                                        .msg_gone = stub_on_gone,
                                        .event = stub_on_event,
                                        .folder_changed = stub_on_folder_changed,
                                        .msg_size = stub_on_size,
                                        .msg_came = stub_on_came,
                                        .msg_unsure = stub_on_unsure,
                                        .entry_stale = stub_on_stale,
                                        .ctx = s};
    s->account = account_open(&s->config, &hooks, &why);
    buf_free(&why);
    return NULL;
}

/* Answers LIST with these mailboxes, one word each; '/' is the delimiter. */
static inline void stub_answer_list(struct op *op, const char *mailboxes)
{
    while (*mailboxes) {
        size_t n = strcspn(mailboxes, " ");
        op_as_list(op)->on_list(op_as_list(op), (struct str){mailboxes, n}, '/', NULL);
        mailboxes += n + strspn(mailboxes + n, " ");
    }
    stub_answer(op, 0);
}

/* Zero-initialise `s`; what of `config` is set stays. */
static inline void stub_open(struct stub *s, const char *mailboxes)
{
    pthread_t opener;
    pthread_mutex_init(&s->lock, NULL);
    s->config.cache = s->config.cache ? s->config.cache : 32 * 1024 * 1024;
    assert_int_equal(pthread_create(&opener, NULL, stub_open_main, s), 0);
    stub_answer_list(stub_take(OP_LIST), mailboxes);
    pthread_join(opener, NULL);
    assert_non_null(s->account);
}

static inline void stub_close(struct stub *s)
{
    account_stop(s->account);
    account_free(s->account);
    buf_free(&s->told);
    buf_free(&s->kernel);
    pthread_mutex_destroy(&s->lock);
}

static inline uint32_t stub_folder(struct stub *s, const char *name)
{
    struct folder_info info;
    assert_int_equal(account_child(s->account, ACCOUNT_ROOT, name, &info), 0);
    return info.id;
}

/* Begins to list a folder, as when nothing that is known is good enough. */
static inline void stub_ask(struct stub *s, uint32_t folder, struct asker *q)
{
    int err = account_sync(s->account, folder, TRUST_SERVER, INT64_MAX, &q->w);
    assert_int_equal(err, -EINPROGRESS);
}

/* Loads a folder with the messages 1..n, as a server without CONDSTORE describes it. */
static inline void stub_load(struct stub *s, const char *name, uint32_t uidvalidity, uint32_t n)
{
    struct asker q = ASKER;
    stub_ask(s, stub_folder(s, name), &q);
    stub_answer_look(stub_take(OP_CHECK), uidvalidity, n + 1, n, 0);
    if (n) {
        struct op *meta = stub_take(OP_META);
        for (uint32_t uid = 1; uid <= n; uid++)
            stub_meta(name, uidvalidity, uid, uid, "");
        stub_answer(meta, 0);
    }
    assert_int_equal(asker_wait(&q), 0);
}

/* Opens an account with these mailboxes, and loads its INBOX, under UIDVALIDITY 7, with the
 * messages 1..n; returns that folder. */
static inline uint32_t stub_open_inbox(struct stub *s, const char *mailboxes, uint32_t n)
{
    stub_open(s, mailboxes);
    stub_load(s, "INBOX", 7, n);
    return stub_folder(s, "INBOX");
}

/* The UIDs that the folder shows, "1 2 5 "; a message whose name is its UID as "5? ". */
static inline const char *stub_shown(struct stub *s, uint32_t folder, struct buf *out)
{
    struct msg_info page[16];
    uint64_t after = 0;
    size_t n;
    buf_reset(out);
    while (account_list(s->account, folder, after, page, 16, &n, NULL) == 0 && n)
        for (size_t i = 0; i < n; i++) {
            buf_addf(out, "%u%s ", page[i].uid, page[i].named ? "" : "?");
            after = page[i].place;
        }
    return buf_str(out);
}

/* What was told since the last time; it lives until the next call. */
static inline const char *stub_told(struct stub *s)
{
    static char text[4096];
    pthread_mutex_lock(&s->lock);
    snprintf(text, sizeof text, "%s", buf_str(&s->told));
    buf_reset(&s->told);
    pthread_mutex_unlock(&s->lock);
    return text;
}

/* Likewise what the kernel was to forget. */
static inline const char *stub_kernel(struct stub *s)
{
    static char text[4096];
    pthread_mutex_lock(&s->lock);
    snprintf(text, sizeof text, "%s", buf_str(&s->kernel));
    buf_reset(&s->kernel);
    pthread_mutex_unlock(&s->lock);
    return text;
}

#endif
