/* One operation or several through a pool of one connection, against a server that plays a script.
 * Include cmocka.h first. */
#ifndef TESTS_UNIT_SCENE_H
#define TESTS_UNIT_SCENE_H

#include "tests/unit/scene_check.h"

enum { MAX_OPS = 4 };

struct scene {
    const char *name;
    struct want ops[MAX_OPS]; /* up to the first of kind OP_LIST without `list` */
    int timeout, settle;
    bool read_only;
    enum compress_mode compress;
    const char *events; /* what the cache hears; NULL: whatever */
    const char *const steps[96];
};

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
