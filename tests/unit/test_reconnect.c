/* When connections are tried: those that the server does not want ever more rarely, those that it
 * does as soon as somebody waits. The clock stands still unless the story says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "imap/base/mem.h"
#include "imap/pool/pool_state.h"

enum { CONNS = 4 };

static int64_t now;

/* NOLINTBEGIN(bugprone-reserved-identifier): the name is the one that --wrap makes. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
    (void)clock;
    *ts = (struct timespec){.tv_sec = now / 1000, .tv_nsec = now % 1000 * 1000000};
    return 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* One account, one operation that is waited for or not. */
struct world {
    struct pool_config config;
    struct pool pool;
    struct lane lanes[CONNS];
    struct op_body body;
    struct op *op; /* that is it */
};

/* The steps of a story:
 *   ask, served     somebody waits for an operation; it has been taken from the queue
 *   go N            connection N begins to connect, which it must be allowed to do
 *   up N, fail N    what became of it
 *   lose N          it is lost, and nobody had wanted it to be
 *   pass MS         so much time goes by
 *   may N...        these, of all that are down, may connect now; or "none"
 *   body, no body   connection 0 may carry a message's body, or leaves it to another one */
struct story {
    const char *name;
    const char *steps; /* a comma and a space between them */
};

static bool go(struct world *w, struct lane *l)
{
    bool usable = l->state == LANE_DOWN && reconnect_usable_locked(&w->pool, l);
    l->state = LANE_CONNECTING;
    l->line.tried_at = now;
    return usable;
}

static bool ask(struct world *w)
{
    assert_null(w->pool.queue);
    w->op->submitted = now;
    queue_add_locked(&w->pool, w->op);
    return true;
}

static bool may(const struct world *w, const char *which)
{
    char those[CONNS + 1] = "";
    for (unsigned i = 0, n = 0; i < CONNS; i++)
        if (w->lanes[i].state == LANE_DOWN && reconnect_usable_locked(&w->pool, &w->lanes[i]))
            those[n++] = (char)('0' + i);
    return strcmp(those[0] ? those : "none", which) == 0;
}

/* Would lane 0 take the operation now? */
static bool takes(const struct world *w)
{
    struct sched_view v;
    dispatch_view_locked(&w->pool, &v);
    struct sched_need need = dispatch_need_locked(&w->pool, w->op);
    return sched_decide(&v, &need, 0) == SCHED_TAKE;
}

/* Is it as the step says? */
static bool play_step(struct world *w, const char *step)
{
    const char *space = strchr(step, ' ');
    const char *arg = space ? space + 1 : "";
    size_t n = space ? (size_t)(space - step) : strlen(step);
    struct lane *l = &w->lanes[*arg >= '0' && *arg < '0' + CONNS ? *arg - '0' : 0];
    if (strcmp(step, "ask") == 0)
        return ask(w);
    if (strncmp(step, "go", n) == 0)
        return go(w, l);
    if (strncmp(step, "may", n) == 0)
        return may(w, arg);
    if (strcmp(step, "served") == 0)
        w->pool.queue = NULL;
    else if (strncmp(step, "up", n) == 0)
        reconnect_done_locked(&w->pool, l);
    else if (strncmp(step, "fail", n) == 0)
        reconnect_failed_locked(&w->pool, l, -ECONNRESET, "x");
    else if (strncmp(step, "lose", n) == 0)
        reconnect_lost_locked(&w->pool, l, -ECONNRESET);
    else if (strncmp(step, "pass", n) == 0)
        now += strtol(arg, NULL, 10);
    else
        return takes(w) == (strcmp(step, "body") == 0);
    return true;
}

static bool play(const struct story *s)
{
    struct world *w = mem_zalloc(sizeof *w);
    now = 1000000;
    w->config.timeout = 10000;
    w->body =
        (struct op_body){.op = {.kind = OP_BODY, .mailbox = (char *)"A"}, .uid = 5, .len = 1 << 20};
    w->op = &w->body.op;
    w->pool.config = &w->config;
    w->pool.lanes = w->lanes;
    w->pool.nlanes = CONNS;
    for (unsigned i = 0; i < CONNS; i++)
        w->lanes[i].conn.index = i;
    char *steps = mem_strdup(s->steps), *rest = steps, *step = NULL;
    bool ok = true;
    while (ok && (step = strsep(&rest, ","))) {
        step += *step == ' ';
        ok = play_step(w, step);
    }
    if (!ok)
        print_error("%s: \"%s\" is not what happens before \"%s\"\n", s->name, step,
                    rest ? rest : "");
    free(steps);
    free(w);
    return ok;
}

/* Pauses are a quarter shorter or longer: 186 ms are less than the first of 250, 313 are more. */
static const struct story stories[] = {
    {"more than the server allows: ever longer pauses",
     "ask, go 0, up 0, go 1, fail 1, may none, pass 186, may none, pass 127, may 123, go 2, "
     "may none, fail 2, pass 374, may none, pass 251, may 123, go 3, fail 3, pass 749, may "
     "none, pass 501, may 123"},
    {"those made side by side count each",
     "ask, go 0, up 0, go 1, go 2, go 3, fail 1, fail 2, fail 3, pass 749, may none, pass 501, "
     "may 123"},
    {"more than the server allows, while the one that is up does what they were for",
     "ask, go 0, up 0, go 1, served, fail 1, may none, ask, may none, pass 186, may none, pass "
     "127, may 123, go 1, served, fail 1, ask, pass 374, may none, pass 251, may 123"},
    {"nobody had asked: who does is not answered with an old failure",
     "go 0, fail 0, may none, ask, may 0123, go 0, may none, fail 0, may none, pass 625, may "
     "0123"},
    {"nobody had asked, and then one is up: nothing is owed any more",
     "go 0, fail 0, ask, go 0, up 0, go 1, up 1, lose 1, go 1, up 1, lose 1, "
     "may none, pass 313, may 123"},
    {"lost soon after the login: once may be chance",
     "ask, go 0, up 0, pass 5000, go 1, up 1, lose 1, may 123, go 1, may none, up 1, "
     "lose 1, pass 186, may none, pass 127, may 123"},
    {"lost soon after the login, and the next is up: whether it lives is to be seen",
     "ask, go 0, up 0, pass 5000, go 1, up 1, lose 1, go 1, up 1, may none, pass 1999, "
     "may none, pass 1, may 23, go 2, may 3, go 3, up 2, up 3, pass 2000, lose 2, may 2"},
    {"lost soon after the login, as one: one pause for all",
     "ask, go 0, up 0, pass 5000, go 1, up 1, lose 1, go 1, up 1, pass 2000, go 2, go "
     "3, up 2, up 3, lose 2, lose 3, may none, pass 186, may none, pass 127, may 23"},
    {"lost soon after the login, one after the other, while another one logs in",
     "ask, go 0, up 0, pass 5000, go 1, go 2, go 3, up 1, up 2, lose 1, may none, lose 2, may "
     "none, up 3, may none, lose 3, may none, pass 186, may none, pass 127, may 123, "
     "go 1, up 1, may none, lose 1, pass 374, may none, pass 251, may 123"},
    {"one that is allowed and lost comes back at once, however long the others wait",
     "ask, go 0, up 0, go 1, up 1, go 2, fail 2, pass 5000, go 2, fail 2, pass 5000, go 2, "
     "fail 2, pass 5000, go 2, fail 2, pass 5000, go 2, fail 2, lose 1, may 1, go 1, up 1, may "
     "none"},
    {"all are lost: no pause that was for spare ones",
     "ask, go 0, up 0, pass 5000, go 1, go 2, up 1, up 2, lose 1, go 1, up 1, lose 1, "
     "pass 60000, go 1, up 1, lose 1, pass 60000, go 1, up 1, lose 1, pass 60000, go 1, up 1, "
     "lose 1, pass 60000, go 1, up 1, lose 1, pass 60000, go 1, up 1, lose 1, lose 2, lose 0, "
     "may 02, go 0, fail 0, pass 5000, may 0123"},
    {"all are lost soon after the login: no pause that was for spare ones",
     "ask, go 0, up 0, go 1, up 1, lose 1, go 1, up 1, lose 1, pass 313, go 1, up 1, "
     "lose 1, pass 625, go 1, up 1, pass 5000, go 2, go 3, up 2, up 3, lose 2, lose 3, "
     "lose 1, lose 0, may 01, pass 5000, may 0123"},
    {"bodies go over connection 0 while no other can be had",
     "ask, go 0, up 0, no body, go 1, no body, fail 1, body, pass 60000, body, go 1, no body, "
     "up 1, no body"},
    {"bodies do not wait for what is not tried before it is seen whether connection 0 lives",
     "ask, go 0, up 0, lose 0, go 0, up 0, may none, body, pass 2000, may 123, no body"},
};

static void test_stories(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
        wrong += !play(&stories[i]);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stories)};
    return cmocka_run_group_tests_name("reconnect", tests, NULL, NULL);
}
