/* Who takes what from the queue: the decision by itself, as a table, and over connections that are
 * not connected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
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
    bool asking, stalled, barrier, emptying;
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
    /* The lanes that are woken for it; w: one that may carry bodies is made ready for the next. */
    const char *wakes;
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
     .lanes = {{UP, .load = 1, .barrier = true}, {UP}},
     .does = "-T",
     .wakes = "1"},
    {"one that empties itself is the last choice",
     {0},
     .lanes = {{UP, .load = 2, .emptying = true}, {UP, .load = 2}},
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
     .lanes = {{UP, .other = true, .load = 2}, {UP, .other = true, .load = 1, .barrier = true}},
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
     .wakes = "0w"},
    {"on the one that lists, when others failed and may try",
     {LARGE},
     .lanes = {{UP, .has = true}, {SPARE}},
     .does = "T-",
     .wakes = "0w"},
    {"on the one that lists, while the pool stops",
     {LARGE},
     .stopping = true,
     .lanes = {{UP, .has = true}, {DOWN}},
     .does = "T-",
     .wakes = "0w"},
    {"a small one, when no other is there",
     {READ},
     .lanes = {{UP, .has = true}, {DOWN}},
     .does = "T-",
     .wakes = "0w"},
    {"a small one, on the one that lists and has it",
     {READ},
     .lanes = {{UP, .has = true}, {UP}},
     .does = "T-",
     .wakes = "0w"},
    {"a small one, when another has it",
     {READ},
     .lanes = {{UP, .has = true}, {UP, .has = true, .load = 3}},
     .does = "-T",
     .wakes = "1"},
    {"a small one, when others carry as many as is good",
     {READ},
     .lanes = {{UP, .has = true}, {UP, .has = true, .load = 4}},
     .does = "T-",
     .wakes = "0w"},
    {"a small one, behind read-ahead",
     {READ},
     .lanes = {{UP, .other = true}, {UP, .has = true, .load = 1, .ahead = 1}},
     .does = "T-",
     .wakes = "0w"},
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
     .wakes = "0w"},

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
     .wakes = "0w"},
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
     .lanes = {{UP}, {UP, .has = true, .load = 1, .barrier = true}, {UP}},
     .does = "--T",
     .wakes = "2"},
};

static struct sched_lane lane(const struct on *on)
{
    static const enum sched_is is[] = {[DOWN] = SCHED_DOWN,
                                       [SPARE] = SCHED_DOWN,
                                       [HELD] = SCHED_DOWN,
                                       [COMING] = SCHED_COMING,
                                       [UP] = SCHED_UP};
    return (struct sched_lane){
        .is = is[on->is],
        .usable = on->is == DOWN || on->is == SPARE,
        .expected = on->is != SPARE && on->is != HELD,
        .stalled = on->stalled,
        .asking = on->asking,
        .barrier = on->barrier,
        .emptying = on->emptying,
        .box = on->has || on->other,
        .in_use = (on->has || on->other) && on->idle < 10000,
        .load = on->load,
        .searches = on->searches,
        .ahead = on->ahead,
        .taken_at = 100000 - on->idle,
    };
}

static void decide(const struct row *r, const struct sched_view *v, const struct sched_need *need,
                   char *does)
{
    static const char letters[] = {
        [SCHED_LEAVE] = '-', [SCHED_TAKE] = 'T', [SCHED_EMPTY] = 'E', [SCHED_CONNECT] = 'C'};
    for (unsigned i = 0; i < v->n; i++)
        does[i] = letters[r->lanes[i].is == HELD ? SCHED_LEAVE : sched_decide(v, need, i)];
}

static void show(struct sched_call call, char *wakes)
{
    bool woken[LANES] = {false};
    if (call.lane >= 0)
        woken[call.lane] = true;
    woken[0] |= call.first;
    for (unsigned i = 0; i < LANES; i++)
        if (woken[i])
            *wakes++ = (char)('0' + i);
    if (call.warm)
        *wakes = 'w';
}

static bool check(const struct row *r)
{
    char does[LANES + 1] = "", wakes[LANES + 2] = "";
    struct sched_view v = {.stopping = r->stopping, .restless = r->restless};
    struct sched_need need = {
        .select = r->op.select,
        .body = r->op.body,
        .small = !r->op.large,
        .searches = r->op.searches,
        .alone = r->op.alone,
        .background = r->op.background,
        .patient = r->op.patient,
        .waited = r->op.waited > 500,
        .only = !r->more,
    };
    for (; v.n < LANES && r->lanes[v.n].is != NONE; v.n++) {
        v.lanes[v.n] = lane(&r->lanes[v.n]);
        need.has |= (uint32_t)r->lanes[v.n].has << v.n;
        need.opens |= (uint32_t)r->lanes[v.n].opens << v.n;
    }
    decide(r, &v, &need, does);
    show(sched_call(&v, &need, true), wakes);
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

static struct op *take(struct scene *s, struct conn *c)
{
    return pool_turn(&s->pool, c, true, c->cmds).op;
}

static struct op *queue(struct scene *s, struct op *op)
{
    op->submitted = clock_ms();
    op->done = op_free;
    DL_APPEND(s->pool.queue, op);
    return op;
}

static struct op *queue_flags(struct scene *s)
{
    return queue(s, &op_flags_new("A", 7, mem_strdup("5"))->op);
}

static struct op *queue_copy(struct scene *s)
{
    struct op_copy *copy = op_copy_new("A", 7, "B");
    uidset_add(&copy->uids, 5, 5);
    return queue(s, &copy->op);
}

static struct op *queue_stream(struct scene *s)
{
    struct op_body *body = op_body_new("A", 7);
    body->uid = 5;
    body->stream = true;
    body->len = 1 << 24;
    return queue(s, &body->op);
}

/* A message is streamed behind a COPY. When that ends as one that is to be settled on a connection
 * of its own, which it had not been until then, the stream is still what nothing may begin behind.
 */
static void test_settled_before_a_stream(void **state)
{
    (void)state;
    struct scene s;
    struct conn *c = begin(&s);
    struct op *copy = queue_copy(&s), *stream = queue_stream(&s);
    assert_ptr_equal(take(&s, c), copy);
    assert_ptr_equal(take(&s, c), stream);
    struct op *flags = queue_flags(&s);
    assert_null(take(&s, c));
    copy->apart = copy->resumed = true;
    pool_done(&s.pool, c, copy, -EINPROGRESS);
    assert_null(take(&s, c));

    pool_done(&s.pool, c, stream, 0);
    assert_ptr_equal(take(&s, c), flags);
    assert_null(take(&s, c));
    pool_done(&s.pool, c, flags, 0);
    assert_ptr_equal(take(&s, c), copy);
    pool_done(&s.pool, c, copy, 0);
    end(&s);
}

/* What is given to another connection, or lost, is in nobody's way here any more. */
static void test_let_go(void **state)
{
    (void)state;
    struct scene s;
    struct conn *c = begin(&s);
    struct op *stream = queue_stream(&s), *flags = queue_flags(&s);
    assert_ptr_equal(take(&s, c), stream);
    assert_null(take(&s, c));
    pool_lost(&s.pool, c, stream, -ECONNRESET);
    assert_ptr_equal(take(&s, c), stream);
    pool_pass_on(&s.pool, c, stream);
    DL_DELETE(s.pool.queue, stream);
    op_free(stream);
    assert_ptr_equal(take(&s, c), flags);
    pool_done(&s.pool, c, flags, 0);
    end(&s);
}

/* What others ask of a connection is told once; to let go of its mailbox only when it is not busy.
 */
static void test_turn(void **state)
{
    (void)state;
    struct scene s;
    struct conn *c = begin(&s);
    struct lane *l = &s.lanes[1];
    l->asked = (struct lane_asked){.unselect = true, .reselect = true, .watch = true};
    struct turn busy = pool_turn(&s.pool, c, true, true);
    assert_true(!busy.unselect && busy.reselect && busy.watch && !busy.finished);
    struct turn idle = pool_turn(&s.pool, c, true, false);
    assert_true(idle.unselect && !idle.reselect && !idle.watch);
    assert_false(pool_turn(&s.pool, c, true, false).unselect);

    struct op *flags = queue_flags(&s);
    assert_null(pool_turn(&s.pool, c, false, false).op);
    struct turn work = pool_turn(&s.pool, c, true, false);
    assert_ptr_equal(work.op, flags);
    assert_false(work.refused);
    pool_done(&s.pool, c, flags, 0);
    pool_become_locked(&s.pool, LIFE_CLOSING);
    struct turn last = pool_turn(&s.pool, c, true, false);
    assert_true(last.finished && last.due == INT64_MAX);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_settled_before_a_stream),
        cmocka_unit_test(test_let_go),
        cmocka_unit_test(test_turn),
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
