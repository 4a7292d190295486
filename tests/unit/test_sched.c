/* Who takes what from the queue: the decision by itself, as a table, and over connections that are
 * not connected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/base/mem.h"
#include "imap/pool/pool_state.h"

/* ---- the table ---- */

enum { LANES = 4 };

/* How it is with a lane. */
enum is {
    NONE,   /* there is no such lane, nor one behind it */
    DOWN,   /* and may connect */
    SPARE,  /* down, and may connect, but has failed lately */
    HELD,   /* down, and may not connect yet */
    COMING, /* connecting */
    UP,
};

struct on {
    enum is is;
    bool has;   /* the operation's mailbox is selected, in the way that it needs */
    bool other; /* another one is */
    bool opens; /* the operation's mailbox is being selected */
    unsigned load, searches, ahead;
    bool asking, stalled, closed, drains;
    int idle; /* ms since it took an operation */
};

struct row {
    const char *name;
    struct {
        bool select, body, large, searches, alone, background, patient;
        int waited; /* ms */
    } op;
    bool more, restless, stopping;
    struct on lanes[LANES];
    /* A letter a lane: T it takes the operation; E it does not, and begins nothing else before it
     * is empty; C it connects for it; - none of these. */
    const char *does;
    const char *wakes; /* the lanes that are woken for the operation */
};

/* What only needs a mailbox, what needs none, and bodies. */
#define LOOK   .select = true
#define READ   .select = true, .body = true
#define LARGE  .select = true, .body = true, .large = true
#define AHEAD  .select = true, .body = true, .background = true
#define SEARCH .select = true, .searches = true

static const struct row rows[] = {
    /* ---- no mailbox needed ---- */
    {"nothing is connected", {0}, .lanes = {{DOWN}, {DOWN}}, .does = "CC", .wakes = "0"},
    {"all that are up, and the first is woken",
     {0},
     .lanes = {{UP}, {UP}},
     .does = "TT",
     .wakes = "0"},
    {"one that is not busy",
     {0},
     .lanes = {{UP, .load = 4}, {UP, .load = 1}},
     .does = "TT",
     .wakes = "1"},
    {"all are busy, and one more may come",
     {0},
     .lanes = {{UP, .load = 4}, {DOWN}},
     .does = "TC",
     .wakes = "1"},
    {"a full one", {0}, .lanes = {{UP, .load = 12}, {HELD}}, .does = "--", .wakes = "0"},
    {"one that waits for IDLE is the last choice",
     {0},
     .lanes = {{UP, .asking = true}, {UP}},
     .does = "TT",
     .wakes = "1"},
    {"both wait for IDLE",
     {0},
     .lanes = {{UP, .asking = true}, {UP, .asking = true}},
     .does = "TT",
     .wakes = "0"},
    {"a stalled one leaves it to the other",
     {0},
     .lanes = {{UP, .load = 1, .stalled = true}, {UP}},
     .does = "-T",
     .wakes = "1"},
    {"a stalled one is all there is",
     {0},
     .lanes = {{UP, .load = 1, .stalled = true}, {HELD}},
     .does = "T-",
     .wakes = "0"},
    {"a stalled one, and another may come",
     {0},
     .lanes = {{UP, .load = 1, .stalled = true}, {DOWN}},
     .does = "-C",
     .wakes = "1"},
    {"closed behind a stream",
     {0},
     .lanes = {{UP, .load = 1, .closed = true}, {UP}},
     .does = "-T",
     .wakes = "1"},
    {"one that empties itself is the last choice",
     {0},
     .lanes = {{UP, .load = 2, .drains = true}, {UP, .load = 2}},
     .does = "TT",
     .wakes = "1"},

    /* ---- the mailbox ---- */
    {"where it is selected",
     {LOOK},
     .lanes = {{UP, .other = true}, {UP, .has = true}},
     .does = "-T",
     .wakes = "1"},
    {"where it is selected, though busy with one",
     {LOOK},
     .lanes = {{UP, .has = true, .load = 1}, {UP}},
     .does = "TT",
     .wakes = "1"},
    {"nowhere selected: who has none first",
     {LOOK},
     .lanes = {{UP, .other = true}, {UP}},
     .does = "TT",
     .wakes = "1"},
    {"nowhere selected: who misses it least",
     {LOOK},
     .lanes = {{UP, .other = true, .idle = 100}, {UP, .other = true, .idle = 200}},
     .does = "TT",
     .wakes = "1"},
    {"not behind what is about another mailbox",
     {LOOK},
     .lanes = {{UP, .other = true, .load = 1}},
     .does = "-",
     .wakes = "0"},
    {"not behind what is about another mailbox, too long",
     {LOOK, .waited = 600},
     .lanes = {{UP, .other = true, .load = 1}},
     .does = "E",
     .wakes = "0"},
    {"two that are never empty",
     {LOOK, .waited = 600},
     .lanes = {{UP, .other = true, .load = 2}, {UP, .other = true, .load = 1}},
     .does = "-E",
     .wakes = "0"},
    {"two that are never empty, equally busy",
     {LOOK, .waited = 600},
     .lanes = {{UP, .other = true, .load = 2}, {UP, .other = true, .load = 2}},
     .does = "E-",
     .wakes = "0"},
    {"two that are never empty, not yet unfair",
     {LOOK, .waited = 400},
     .lanes = {{UP, .other = true, .load = 2}, {UP, .other = true, .load = 1}},
     .does = "--",
     .wakes = "0"},
    {"one that has it is never empty",
     {LOOK, .waited = 600},
     .lanes = {{UP, .other = true, .load = 1}, {UP, .has = true, .load = 12}},
     .does = "--",
     .wakes = "0"},
    {"the busier one is closed",
     {LOOK, .waited = 600},
     .lanes = {{UP, .other = true, .load = 2}, {UP, .other = true, .load = 1, .closed = true}},
     .does = "E-",
     .wakes = "0"},
    {"alone in the world: the others wait",
     {LOOK, .waited = 600},
     .lanes = {{UP, .has = true, .load = 12}, {HELD}},
     .does = "E-",
     .wakes = "0"},
    {"waits for the one that comes",
     {LOOK},
     .lanes = {{UP, .other = true, .load = 1}, {COMING}, {DOWN}},
     .does = "---",
     .wakes = "0"},
    {"others wait, too: another one comes as well",
     {LOOK},
     .more = true,
     .lanes = {{UP, .other = true, .load = 1}, {COMING}, {DOWN}},
     .does = "---",
     .wakes = "2"},
    {"back and forth: a connection for each",
     {LOOK},
     .restless = true,
     .lanes = {{UP, .other = true}, {DOWN}},
     .does = "T-",
     .wakes = "1"},
    {"back and forth, with one that has none",
     {LOOK},
     .restless = true,
     .lanes = {{UP}, {DOWN}},
     .does = "T-",
     .wakes = "0"},
    {"back and forth, and no more are allowed",
     {LOOK},
     .restless = true,
     .lanes = {{UP, .other = true}, {HELD}},
     .does = "T-",
     .wakes = "0"},
    {"where it is selected, which waits for IDLE",
     {LOOK},
     .lanes = {{UP, .has = true, .asking = true}, {UP, .other = true}},
     .does = "TT",
     .wakes = "1"},

    /* ---- looks that nobody waits for ---- */
    {"takes no mailbox away",
     {LOOK, .patient = true},
     .lanes = {{UP, .other = true, .idle = 100}, {DOWN}},
     .does = "--",
     .wakes = "1"},
    {"takes one that was left long ago",
     {LOOK, .patient = true},
     .lanes = {{UP, .other = true, .idle = 20000}, {DOWN}},
     .does = "T-",
     .wakes = "0"},
    {"takes one, when there is no other",
     {LOOK, .patient = true},
     .lanes = {{UP, .other = true, .idle = 100}, {HELD}},
     .does = "T-",
     .wakes = "0"},
    {"takes none away, which would have to be emptied",
     {LOOK, .patient = true, .waited = 600},
     .lanes = {{UP, .other = true, .load = 1}, {UP, .other = true, .load = 2}, {DOWN}},
     .does = "--C",
     .wakes = "2"},
    {"has it emptied, when there is no other",
     {LOOK, .patient = true, .waited = 600},
     .lanes = {{UP, .other = true, .load = 1}, {UP, .other = true, .load = 2}, {HELD}},
     .does = "E--",
     .wakes = "0"},

    /* ---- searches and what is alone ---- */
    {"one search at a time",
     {SEARCH},
     .lanes = {{UP, .has = true, .load = 1, .searches = 1}, {UP, .has = true, .load = 1}},
     .does = "-T",
     .wakes = "0"},
    {"one search at a time, and none is free",
     {SEARCH},
     .lanes = {{UP, .has = true, .load = 1, .searches = 1}, {UP, .other = true, .load = 1}},
     .does = "--",
     .wakes = "0"},
    {"one search at a time, and only one",
     {SEARCH},
     .lanes = {{UP, .has = true, .load = 1, .searches = 1}},
     .does = "-",
     .wakes = "0"},
    {"alone where nothing is under way",
     {.alone = true},
     .lanes = {{UP, .load = 1}, {UP}},
     .does = "-T",
     .wakes = "1"},
    {"alone, and all are busy",
     {.alone = true},
     .lanes = {{UP, .load = 1}, {UP, .load = 1}},
     .does = "--",
     .wakes = "0"},
    {"alone, and all are busy for too long",
     {.alone = true, .waited = 600},
     .lanes = {{UP, .load = 3}, {UP, .load = 2}, {UP, .load = 2}},
     .does = "-E-",
     .wakes = "0"},
    {"alone, and all are busy, but one may come",
     {.alone = true},
     .lanes = {{UP, .load = 1}, {DOWN}},
     .does = "-C",
     .wakes = "1"},
    {"alone and searching",
     {.alone = true, .searches = true},
     .lanes = {{UP, .load = 1, .searches = 1}, {UP}},
     .does = "-T",
     .wakes = "1"},

    /* ---- bodies ---- */
    {"off the one that lists",
     {LARGE},
     .lanes = {{UP, .has = true}, {UP, .other = true}},
     .does = "-T",
     .wakes = "1"},
    {"off the one that lists, when another is expected",
     {LARGE},
     .lanes = {{UP, .has = true}, {DOWN}},
     .does = "-C",
     .wakes = "1"},
    {"off the one that lists, when another comes",
     {LARGE},
     .lanes = {{UP, .has = true}, {COMING}},
     .does = "--",
     .wakes = ""},
    {"on the one that lists, when others failed",
     {LARGE},
     .lanes = {{UP, .has = true}, {HELD}},
     .does = "T-",
     .wakes = "0"},
    {"on the one that lists, when others failed and may try",
     {LARGE},
     .lanes = {{UP, .has = true}, {SPARE}},
     .does = "T-",
     .wakes = "01"},
    {"on the one that lists, while the pool stops",
     {LARGE},
     .stopping = true,
     .lanes = {{UP, .has = true}, {DOWN}},
     .does = "T-",
     .wakes = "01"},
    {"a small one, when no other is there",
     {READ},
     .lanes = {{UP, .has = true}, {DOWN}},
     .does = "T-",
     .wakes = "01"},
    {"a small one, on the one that lists and has it",
     {READ},
     .lanes = {{UP, .has = true}, {UP}},
     .does = "T-",
     .wakes = "0"},
    {"a small one, when another has it",
     {READ},
     .lanes = {{UP, .has = true}, {UP, .has = true, .load = 3}},
     .does = "-T",
     .wakes = "1"},
    {"a small one, when others carry as many as is good",
     {READ},
     .lanes = {{UP, .has = true}, {UP, .has = true, .load = 4}},
     .does = "T-",
     .wakes = "0"},
    {"a small one, behind read-ahead",
     {READ},
     .lanes = {{UP, .other = true}, {UP, .has = true, .load = 1, .ahead = 1}},
     .does = "T-",
     .wakes = "0"},
    {"behind read-ahead, when another may come",
     {LARGE},
     .lanes = {{UP, .other = true}, {UP, .has = true, .load = 1, .ahead = 1}, {DOWN}},
     .does = "--C",
     .wakes = "2"},
    {"behind read-ahead, when none may",
     {LARGE},
     .lanes = {{UP, .other = true}, {UP, .has = true, .load = 1, .ahead = 1}, {HELD}},
     .does = "-T-",
     .wakes = "1"},
    {"a stream where nothing is under way",
     {LARGE},
     .lanes = {{UP}, {UP, .has = true, .load = 4}, {UP, .other = true}},
     .does = "--T",
     .wakes = "2"},
    {"all carry bodies of other mailboxes",
     {LARGE, .waited = 600},
     .lanes = {{UP}, {UP, .other = true, .load = 2}, {UP, .other = true, .load = 1}},
     .does = "--E",
     .wakes = "1"},
    {"a body, and all connections are lost",
     {LARGE},
     .lanes = {{DOWN}, {DOWN}, {DOWN}},
     .does = "-CC",
     .wakes = "01"},
    {"a body, and only the one that lists may come",
     {LARGE},
     .lanes = {{DOWN}, {HELD}},
     .does = "C-",
     .wakes = "0"},
    {"a body, and one stalls",
     {READ},
     .lanes = {{UP}, {UP, .has = true, .load = 1, .stalled = true}},
     .does = "T-",
     .wakes = "0"},

    /* ---- read-ahead ---- */
    {"over the one that has the mailbox",
     {AHEAD},
     .lanes = {{UP}, {UP, .has = true, .load = 3}, {UP}},
     .does = "-T-",
     .wakes = "1"},
    {"over the one that has it, though it is full",
     {AHEAD},
     .lanes = {{UP}, {UP, .has = true, .load = 12}, {UP}},
     .does = "---",
     .wakes = "2"},
    {"over the one that is selecting it",
     {AHEAD},
     .lanes = {{UP}, {UP, .opens = true, .load = 1}, {HELD}},
     .does = "---",
     .wakes = ""},
    {"over an idle one rather than the one that is selecting it",
     {AHEAD},
     .lanes = {{UP}, {UP, .opens = true, .load = 1}, {UP}},
     .does = "--T",
     .wakes = "2"},
    {"not over the one that lists",
     {AHEAD},
     .lanes = {{UP, .has = true}, {UP, .other = true}},
     .does = "-T",
     .wakes = "1"},
    {"over the one that lists, when others failed",
     {AHEAD},
     .lanes = {{UP, .has = true}, {HELD}},
     .does = "T-",
     .wakes = "0"},
    {"not where a mailbox is left for it",
     {AHEAD, .waited = 600},
     .lanes = {{UP}, {UP, .other = true, .load = 1}},
     .does = "--",
     .wakes = "1"},
    {"alone in the world, it is owed, too",
     {AHEAD, .waited = 600},
     .lanes = {{UP, .other = true, .load = 1}, {HELD}},
     .does = "E-",
     .wakes = "0"},
    {"the one that has it stalls",
     {AHEAD},
     .lanes = {{UP}, {UP, .has = true, .load = 1, .stalled = true}, {UP}},
     .does = "--T",
     .wakes = "2"},
    {"the one that has it is closed",
     {AHEAD},
     .lanes = {{UP}, {UP, .has = true, .load = 1, .closed = true}, {UP}},
     .does = "--T",
     .wakes = "2"},
};

struct world {
    struct pool_config config;
    struct pool pool;
    struct lane lanes[LANES];
};

static enum op_kind kind_of(const struct row *r)
{
    if (r->op.alone)
        return r->op.searches ? OP_REMOVE : OP_APPEND;
    if (r->op.body)
        return r->op.background ? OP_BODIES : OP_BODY;
    return r->op.searches ? OP_SEARCH : r->op.select ? OP_FLAGS : OP_LIST;
}

static void set_lane(struct lane *l, const struct on *on)
{
    static struct op barrier;
    static const char status[] = {[DOWN] = LANE_DOWN,
                                  [SPARE] = LANE_DOWN,
                                  [HELD] = LANE_DOWN,
                                  [COMING] = LANE_CONNECTING,
                                  [UP] = LANE_UP};
    l->state = status[on->is];
    l->line.backoff = on->is == SPARE || on->is == HELD ? 1000 : 0;
    l->line.retry_at = on->is == HELD ? clock_ms() + 100000 : 0;
    l->box.name = on->has ? (char *)"A" : on->other ? (char *)"B" : NULL;
    l->box.write = true;
    l->box.opening = on->opens ? (char *)"A" : NULL;
    l->work.load = on->load;
    l->work.searches = on->searches;
    l->work.ahead = on->ahead;
    l->watch.asking = on->asking;
    l->conn.stall.silent_since = on->stalled ? clock_ms() - 100000 : 0;
    l->work.barrier = on->closed ? &barrier : NULL;
    l->work.emptying = on->drains;
    l->work.taken_at = clock_ms() - on->idle;
}

static char decide(struct world *w, unsigned i, const struct op *op)
{
    struct lane *l = &w->lanes[i];
    if (l->state == LANE_CONNECTING)
        return '-';
    if (l->state == LANE_DOWN)
        return sched_needed_locked(&w->pool, l) && reconnect_usable_locked(&w->pool, l) ? 'C' : '-';
    return sched_may_take_locked(&w->pool, l, op) ? 'T'
           : sched_owed_locked(&w->pool, l, op)   ? 'E'
                                                  : '-';
}

static bool check(const struct row *r)
{
    char does[LANES + 1] = "", wakes[LANES + 1] = "";
    struct world *w = mem_zalloc(sizeof *w);
    struct op *op = op_new(kind_of(r), r->op.select ? "A" : NULL, 0), more = {.kind = OP_LIST};
    op->background = r->op.background;
    op->patient = r->op.patient;
    op->len = r->op.large ? 1 << 24 : 1000;
    op->submitted = clock_ms() - r->op.waited;
    w->config.timeout = 100000;
    w->pool.config = &w->config;
    w->pool.lanes = w->lanes;
    w->pool.outage.trusted = true;
    w->pool.stopping = r->stopping;
    w->pool.selects = r->restless ? 100 : 0;
    unsigned n = 0;
    for (; n < LANES && r->lanes[n].is != NONE; n++) {
        w->lanes[n].conn.index = n;
        w->lanes[n].conn.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        set_lane(&w->lanes[n], &r->lanes[n]);
    }
    w->pool.nlanes = n;
    DL_APPEND(w->pool.queue, op);
    for (unsigned i = 0; i < n; i++)
        does[i] = decide(w, i, op);
    if (r->more)
        DL_APPEND(w->pool.queue, &more);
    sched_wake_locked(&w->pool, op, true);
    for (unsigned i = 0, k = 0; i < n; i++) {
        uint64_t count;
        if (read(w->lanes[i].conn.wake, &count, sizeof count) > 0)
            wakes[k++] = (char)('0' + i);
        close(w->lanes[i].conn.wake);
    }
    op_free(op);
    free(w);
    bool ok = strcmp(does, r->does) == 0 && strcmp(wakes, r->wakes) == 0;
    if (!ok)
        print_error("%s: %s and wakes \"%s\"\n", r->name, does, wakes);
    return ok;
}

static void test_table(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        wrong += !check(&rows[i]);
    assert_int_equal(wrong, 0);
}

/* ---- what is taken and given back ---- */

struct scene {
    struct pool pool;
    struct lane lanes[2];
};

/* The second connection is up, and has the mailbox A selected. */
static struct conn *begin(struct scene *s)
{
    static const struct pool_config config = {.timeout = 30000};
    static char mailbox[] = "A";
    *s = (struct scene){.pool = {.config = &config, .lock = PTHREAD_MUTEX_INITIALIZER}};
    s->pool.lanes = s->lanes;
    s->pool.nlanes = 2;
    s->lanes[0].conn.wake = s->lanes[1].conn.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->lanes[1].conn.index = 1;
    s->lanes[1].state = LANE_UP;
    s->lanes[1].box.name = mailbox;
    s->lanes[1].box.write = true;
    return &s->lanes[1].conn;
}

static void end(struct scene *s)
{
    assert_null(s->pool.queue);
    close(s->lanes[0].conn.wake);
}

static struct op *queue(struct scene *s, enum op_kind kind)
{
    struct op *op = op_new(kind, "A", 7);
    op->uid = 5;
    op->submitted = clock_ms();
    op->done = op_free;
    DL_APPEND(s->pool.queue, op);
    return op;
}

static struct op *queue_stream(struct scene *s)
{
    struct op *op = queue(s, OP_BODY);
    op->stream = true;
    op->len = 1 << 24;
    return op;
}

/* A message is streamed behind a COPY. When that ends as one that is to be settled on a connection
 * of its own, which it had not been until then, the stream is still what nothing may begin behind.
 */
static void test_settled_before_a_stream(void **state)
{
    (void)state;
    struct scene s;
    struct conn *c = begin(&s);
    struct op *copy = queue(&s, OP_COPY), *stream = queue_stream(&s);
    assert_ptr_equal(pool_take(&s.pool, c), copy);
    assert_ptr_equal(pool_take(&s.pool, c), stream);
    struct op *flags = queue(&s, OP_FLAGS);
    assert_null(pool_take(&s.pool, c));
    copy->apart = copy->resumed = true;
    pool_done(&s.pool, c, copy, -EINPROGRESS);
    assert_null(pool_take(&s.pool, c));

    pool_done(&s.pool, c, stream, 0);
    assert_ptr_equal(pool_take(&s.pool, c), flags);
    assert_null(pool_take(&s.pool, c));
    pool_done(&s.pool, c, flags, 0);
    assert_ptr_equal(pool_take(&s.pool, c), copy);
    pool_done(&s.pool, c, copy, 0);
    end(&s);
}

/* What is given to another connection, or lost, is in nobody's way here any more. */
static void test_let_go(void **state)
{
    (void)state;
    struct scene s;
    struct conn *c = begin(&s);
    struct op *stream = queue_stream(&s), *flags = queue(&s, OP_FLAGS);
    assert_ptr_equal(pool_take(&s.pool, c), stream);
    assert_null(pool_take(&s.pool, c));
    pool_lost(&s.pool, c, stream, -ECONNRESET);
    assert_ptr_equal(pool_take(&s.pool, c), stream);
    pool_pass_on(&s.pool, c, stream);
    DL_DELETE(s.pool.queue, stream);
    op_free(stream);
    assert_ptr_equal(pool_take(&s.pool, c), flags);
    pool_done(&s.pool, c, flags, 0);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_settled_before_a_stream),
        cmocka_unit_test(test_let_go),
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
