/* The message table against a plain array of what should be in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <unistd.h>

#include <stdio.h>
#include <stdlib.h>

#include "cache/msgtable.h"

static void test_empty(void **state)
{
    (void)state;
    struct msgtable t = {0};
    assert_null(msgtable_find(&t, 0));
    assert_null(msgtable_find(&t, 1));
    assert_null(msgtable_after(&t, 0));
    assert_null(msgtable_after(&t, UINT32_MAX));
    assert_null(msgtable_before(&t, UINT32_MAX));
    assert_false(msgtable_knows(&t, 1));
    assert_int_equal(msgtable_bytes(&t), 0);
    msgtable_compact(&t);
    msgtable_clear(&t);
}

static void test_edges(void **state)
{
    (void)state;
    struct msgtable t = {0};
    struct msg *m = msgtable_add(&t, UINT32_MAX);
    assert_non_null(m);
    assert_int_equal(m->uid, UINT32_MAX);
    assert_int_equal(m->flags, 0);
    assert_string_equal(msgtable_label(&t, m), "");
    assert_int_equal(msgtable_add(&t, 1)->uid, 1);
    assert_int_equal(msgtable_after(&t, 0)->uid, 1);
    assert_int_equal(msgtable_after(&t, 1)->uid, UINT32_MAX);
    assert_int_equal(msgtable_after(&t, UINT32_MAX - 1)->uid, UINT32_MAX);
    assert_null(msgtable_after(&t, UINT32_MAX));
    assert_int_equal(msgtable_before(&t, UINT32_MAX)->uid, 1);
    assert_int_equal(msgtable_before(&t, 2)->uid, 1);
    assert_null(msgtable_before(&t, 1));
    msgtable_remove(&t, msgtable_find(&t, 1));
    assert_int_equal(msgtable_after(&t, 0)->uid, UINT32_MAX);
    assert_int_equal(t.live, 1);
    msgtable_clear(&t);
    assert_int_equal(t.n, 0);
    assert_null(msgtable_find(&t, UINT32_MAX));
}

/* A late answer cannot bring back what was expunged. */
static void test_gone_stays_gone(void **state)
{
    (void)state;
    struct msgtable t = {0};
    struct msg *m = msgtable_add(&t, 7);
    msgtable_set_label(&t, m, "label", 5);
    assert_ptr_equal(msgtable_add(&t, 7), m);
    assert_string_equal(msgtable_label(&t, m), "label"); /* adding again keeps what is known */
    msgtable_remove(&t, m);
    msgtable_remove(&t, m);
    assert_int_equal(t.live, 0);
    assert_null(msgtable_add(&t, 7));
    assert_null(msgtable_find(&t, 7));
    assert_true(msgtable_knows(&t, 7));
    assert_false(msgtable_knows(&t, 8));
    assert_int_equal(t.garbage, 6);
    msgtable_clear(&t);
}

/* But it comes back when the server is asked and says that it is there. */
static void test_revive(void **state)
{
    (void)state;
    struct msgtable t = {0};
    msgtable_add(&t, 6);
    struct msg *m = msgtable_add(&t, 7);
    msgtable_set_label(&t, m, "label", 5);
    m->size = 10;
    m->date = 20;
    m->flags |= MSG_NAMED | MSG_SIZED;
    msgtable_revive(&t, m); /* it is there: nothing is forgotten */
    assert_int_equal(t.live, 2);
    assert_int_equal(m->size, 10);
    assert_string_equal(msgtable_label(&t, m), "label");

    msgtable_remove(&t, m);
    assert_int_equal(t.live, 1);
    assert_null(msgtable_find(&t, 7));
    msgtable_revive(&t, m);
    msgtable_revive(&t, m);
    assert_int_equal(t.live, 2);
    assert_int_equal(t.n, 2);
    assert_ptr_equal(msgtable_find(&t, 7), m);
    assert_ptr_equal(msgtable_add(&t, 7), m);
    assert_ptr_equal(msgtable_after(&t, 6), m);
    assert_int_equal(m->uid, 7);
    assert_int_equal(m->flags, 0);
    assert_int_equal(m->size, 0);
    assert_int_equal(m->date, 0);
    assert_string_equal(msgtable_label(&t, m), "");
    assert_int_equal(t.garbage, 6); /* once */

    msgtable_set_label(&t, m, "other", 5);
    msgtable_remove(&t, m);
    assert_int_equal(t.live, 1);
    assert_int_equal(t.garbage, 12);
    msgtable_clear(&t);
}

static void test_labels(void **state)
{
    (void)state;
    struct msgtable t = {0};
    struct msg *a = msgtable_add(&t, 1), *b = msgtable_add(&t, 2);
    assert_ptr_equal(a + 1, b);
    msgtable_set_label(&t, a, "first", 5);
    msgtable_set_label(&t, b, "", 0);
    assert_string_equal(msgtable_label(&t, a), "first");
    assert_string_equal(msgtable_label(&t, b), "");
    msgtable_set_label(&t, b, "second, cut here", 6);
    assert_string_equal(msgtable_label(&t, b), "second");
    msgtable_set_label(&t, a, "another", 7);
    assert_string_equal(msgtable_label(&t, a), "another");
    assert_string_equal(msgtable_label(&t, b), "second");

    /* The old ones are given back some day, and the new ones survive that. */
    char label[64];
    for (unsigned i = 0; i < 10000; i++) {
        int n = snprintf(label, sizeof label, "label number %u", i);
        msgtable_set_label(&t, a, label, (size_t)n);
        msgtable_compact(&t);
        assert_string_equal(msgtable_label(&t, a), label);
        assert_string_equal(msgtable_label(&t, b), "second");
        assert_in_range(t.labels.len, 1, 20000);
    }
    msgtable_clear(&t);
}

/* ---- against a model ---- */

enum { SPACE = 8000 };

struct model {
    uint32_t space; /* UIDs are below */
    enum { UNKNOWN, THERE, GONE } is[SPACE];
    char label[SPACE][24];
};

static void check_model(struct msgtable *t, const struct model *want)
{
    size_t live = 0, known = 0;
    uint32_t last = 0;
    for (uint32_t uid = 1; uid < want->space; uid++) {
        struct msg *m = msgtable_find(t, uid);
        assert_int_equal(m != NULL, want->is[uid] == THERE);
        assert_int_equal(msgtable_knows(t, uid), want->is[uid] != UNKNOWN);
        known += want->is[uid] != UNKNOWN;
        if (!m)
            continue;
        live++;
        assert_int_equal(m->uid, uid);
        assert_int_equal(m->size, uid * 10);
        assert_string_equal(msgtable_label(t, m), want->label[uid]);
        assert_ptr_equal(msgtable_after(t, last), m);
        assert_ptr_equal(msgtable_before(t, uid), msgtable_find(t, last));
        last = uid;
    }
    assert_null(msgtable_after(t, last));
    assert_int_equal(t->live, live);
    assert_int_equal(t->n, known);
    struct msgplace at = {0};
    for (uint32_t uid = 1; uid < want->space; uid++)
        if (want->is[uid] != UNKNOWN) {
            assert_int_equal(msgtable_walk(t, &at)->uid, uid);
            last = uid;
        }
    assert_null(msgtable_walk(t, &at));
    assert_int_equal(msgtable_last(t), known ? last : 0);
}

static void model_step(struct msgtable *t, struct model *want)
{
    uint32_t uid = 1 + (uint32_t)rand() % (want->space - 1);
    struct msg *m;
    switch (rand() % 4) {
    case 0:
    case 1:
        m = msgtable_add(t, uid);
        assert_int_equal(m != NULL, want->is[uid] != GONE);
        if (!m)
            return;
        m->size = uid * 10;
        want->is[uid] = THERE;
        return;
    case 2:
        m = msgtable_find(t, uid);
        if (!m)
            return;
        msgtable_remove(t, m);
        want->is[uid] = GONE;
        want->label[uid][0] = '\0';
        return;
    default:
        m = msgtable_find(t, uid);
        if (!m)
            return;
        int n = snprintf(want->label[uid], sizeof want->label[uid], "%.*s", rand() % 20,
                         "abcdefghijklmnopqrstuvwxyz");
        msgtable_set_label(t, m, want->label[uid], (size_t)n);
        return;
    }
}

static void model_round(uint32_t space, unsigned steps)
{
    static struct model want;
    struct msgtable t = {0};
    want = (struct model){.space = space};
    for (unsigned i = 0; i < steps; i++) {
        model_step(&t, &want);
        if (i % (space / 4))
            continue;
        check_model(&t, &want);
        size_t n = t.n;
        msgtable_compact(&t);
        /* Compacting forgets all that are gone, or none. */
        for (uint32_t uid = 1; t.n < n && uid < space; uid++)
            if (want.is[uid] == GONE)
                want.is[uid] = UNKNOWN;
        check_model(&t, &want);
    }
    msgtable_clear(&t);
}

/* In one block, and in many. */
static void test_model(void **state)
{
    (void)state;
    srand(1);
    for (unsigned round = 0; round < 20; round++)
        model_round(400, 3000);
    for (unsigned round = 0; round < 5; round++)
        model_round(SPACE, 60000);
}

/* ---- many ---- */

enum order { ASCENDING, DESCENDING, RANDOM, SWAPPED, HOLES, LATE, ORDERS };

/* The UID that comes as the i-th of n. */
static uint32_t in_order(enum order order, uint32_t i, uint32_t n)
{
    switch (order) {
    case DESCENDING:
        return n - i;
    case RANDOM: /* n is no multiple of this prime number: each once */
        return (uint32_t)((uint64_t)i * 7919 * 101 % n) + 1;
    case SWAPPED: /* the second half first */
        return i < n / 2 ? n - n / 2 + i + 1 : i - n / 2 + 1;
    case HOLES: /* every other one, and then the rest */
        return i < (n + 1) / 2 ? 2 * i + 1 : 2 * (i - (n + 1) / 2) + 2;
    case LATE: /* the first one of each thousand comes as its last */
        return i % 1000 == 999 ? i - 998 : i + 2;
    default:
        return i + 1;
    }
}

/* In whatever order they come, all are there, at no more than the room of two each: this test takes
 * minutes where that moves every message that is there already. */
static void test_orders(void **state)
{
    (void)state;
    const uint32_t n = 400000;
    for (enum order order = ASCENDING; order < ORDERS; order++) {
        struct msgtable t = {0};
        for (uint32_t i = 0; i < n; i++)
            assert_non_null(msgtable_add(&t, in_order(order, i, n)));
        assert_int_equal(t.live, n);
        assert_in_range(msgtable_bytes(&t), (size_t)n * 32, (size_t)n * 2 * 34);
        struct msgplace at = {0};
        for (uint32_t uid = 1; uid <= n; uid++)
            if (msgtable_walk(&t, &at)->uid != uid)
                fail();
        assert_null(msgtable_walk(&t, &at));
        msgtable_compact(&t);
        assert_int_equal(t.live, n);
        assert_int_equal(msgtable_last(&t), n);
        assert_in_range(msgtable_bytes(&t), (size_t)n * 32, (size_t)n * 42);
        msgtable_clear(&t);
    }
}

/* 100,000 messages as a listing brings them, with names as long as names are: what the table holds
 * is within the 200 bytes that a message may cost. */
static void test_cost(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    static const char label[] = "2026-11-19T0931_Alice-Example-of-Somewhere_Re-Lunch-on-Friday";
    struct msgtable t = {0};
    assert_in_range(sizeof(struct msg), 1, 32);
    for (uint32_t uid = 1; uid <= COUNT; uid++) {
        struct msg *m = msgtable_add(&t, uid * 3);
        assert_non_null(m);
        msgtable_set_label(&t, m, label, sizeof label - 1);
    }
    assert_int_equal(t.live, COUNT);
    assert_in_range(t.labels.len, COUNT * sizeof label, COUNT * sizeof label + 1);
    assert_in_range(msgtable_bytes(&t), COUNT * 32, COUNT * 200);
    for (uint32_t uid = 1; uid <= COUNT; uid++)
        if (!msgtable_find(&t, uid * 3) || msgtable_find(&t, uid * 3 + 1))
            fail();

    /* Most are expunged: the room comes back, in the table and in the labels. */
    size_t before = msgtable_bytes(&t);
    for (uint32_t uid = 1; uid <= COUNT; uid++)
        if (uid % 10)
            msgtable_remove(&t, msgtable_find(&t, uid * 3));
    msgtable_compact(&t);
    assert_int_equal(t.live, COUNT / 10);
    assert_int_equal(t.n, COUNT / 10);
    assert_in_range(t.labels.len, 1, COUNT / 10 * sizeof label + 1);
    assert_true(msgtable_bytes(&t) < before);
    for (uint32_t uid = 10; uid <= COUNT; uid += 10)
        assert_string_equal(msgtable_label(&t, msgtable_find(&t, uid * 3)), label);
    msgtable_clear(&t);
}

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
/* The sanitizers have address spaces of their own to limit. */
static void test_no_memory(void **state)
{
    (void)state;
    struct rlimit limit, low;
    struct msgtable t = {0};
    char label[200];
    memset(label, 'x', sizeof label);
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &pages), 1);
    fclose(f);
    low = limit;
    low.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (64 << 20);
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    uint32_t uid = 0;
    struct msg *m = NULL;
    while (!t.failed && (m = msgtable_add(&t, ++uid)))
        msgtable_set_label(&t, m, label, sizeof label);
    setrlimit(RLIMIT_AS, &limit);
    assert_true(t.failed);
    /* What is there is whole, and there may be more when there is memory again. */
    assert_in_range(uid, 1000, 10000000);
    assert_int_equal(msgtable_find(&t, 1000)->uid, 1000);
    assert_memory_equal(msgtable_label(&t, msgtable_find(&t, 1000)), label, sizeof label);
    if (m)
        assert_string_equal(msgtable_label(&t, m), "");
    t.failed = false;
    m = msgtable_add(&t, uid + 1);
    assert_non_null(m);
    msgtable_set_label(&t, m, "late", 4);
    assert_string_equal(msgtable_label(&t, m), "late");
    assert_false(t.failed);
    msgtable_clear(&t);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_gone_stays_gone),
        cmocka_unit_test(test_revive),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_cost),
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests_name("msgtable", tests, NULL, NULL);
}
