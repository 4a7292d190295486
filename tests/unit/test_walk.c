/* Who walks a folder, and where he will be next: reads in, what is to be asked for out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cache/walk.h"

enum { KIB = 1024, SIZE = 5000, GEN = 7, OTHER = 8, NEVER = 1000 * 1000 };

/* Message n of `count` has UID n. In the order of dates and of sizes they stand in an order of
 * their own each: by powers of a number that has no common factor with `count` + 1. */
struct mailbox {
    struct msgtable t;
    uint32_t by_date[1001], by_size[1001]; /* the message at each place, from 1 on */
    uint32_t count;
};

static void fill(struct mailbox *b, uint32_t count, uint64_t size)
{
    *b = (struct mailbox){.count = count};
    for (uint32_t uid = 1; uid <= count; uid++)
        msgtable_add(&b->t, uid)->size = size;
    for (uint32_t place = 1; place <= count; place++) {
        b->by_date[place] = (uint32_t)((uint64_t)place * 389 % (count + 1));
        b->by_size[place] = (uint32_t)((uint64_t)place * 611 % (count + 1));
        msgtable_find(&b->t, b->by_date[place])->date = place;
        if (size == 0)
            msgtable_find(&b->t, b->by_size[place])->size = 1000 + place;
    }
}

static struct walk_lead read_at(struct walks *ws, const struct mailbox *b, uint32_t uid,
                                int64_t now)
{
    const struct msg *m = msgtable_find(&b->t, uid);
    assert_non_null(m);
    return walk_read(ws, GEN, &b->t, m, true, now);
}

/* The next `n` messages that would be asked for; fewer at the end. They are passed. */
static size_t ask(const struct walk_lead *lead, const struct mailbox *b, uint32_t *uids, size_t n)
{
    size_t got = 0;
    struct place at;
    struct msg *m;
    while (lead->r && got < n && (m = walk_next(lead, &b->t, &at)) != NULL) {
        walk_pass(lead, at, m, true);
        uids[got++] = m->uid;
    }
    return got;
}

/* ---- the table ---- */

enum { SOME = 3 }; /* messages that are asked for in the end */

struct row {
    const char *what;
    uint32_t reads[24];      /* up to a 0 */
    uint32_t expected[SOME]; /* what is asked for behind the last of them; 0: nothing */
};

/* In a folder of 990 messages. */
static const struct row rows[] = {
    {"one message", {5}, {0}},
    {"the same again", {5, 5, 5}, {0}},
    {"upwards", {5, 6}, {7, 8, 9}},
    {"downwards", {500, 499}, {498, 497, 496}},
    {"from the end", {990, 989}, {988, 987, 986}},
    {"to the beginning", {4, 3, 2}, {1}},
    {"to the end", {988, 989}, {990}},
    {"every third", {10, 13, 16}, {17, 18, 19}},
    {"every third downwards", {100, 97, 94}, {93, 92, 91}},
    {"too far apart", {100, 104, 108, 112}, {0}},
    {"every twentieth", {1, 21, 41, 61, 81, 101, 121, 141, 161}, {0}},
    {"leaves out more once it is certain", {1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 25}, {26, 27, 28}},
    {"two who pass each other", {10, 12, 11, 14, 13}, {15, 16, 17}},
    {"eight who pass each other", {3, 1, 2, 5, 4, 8, 6, 7, 10, 9}, {11, 12, 13}},
    {"downwards, and pass each other", {500, 498, 499, 496, 497, 494, 495}, {493, 492, 491}},
    {"the wrong way first", {499, 500, 498, 497}, {496, 495, 494}},
    {"turns back", {100, 101, 102, 103, 99, 98, 97, 96, 95}, {94, 93, 92}},
    {"one upwards, one downwards", {100, 500, 101, 499, 102, 498}, {497, 496, 495}},
    {"four with a range each", {100, 300, 500, 700, 101, 301, 501, 701, 102, 302}, {303, 304, 305}},
    {"elsewhere, once", {100, 101, 102, 700}, {0}},
    {"elsewhere, and back", {100, 101, 102, 700, 103}, {104, 105, 106}},
    {"a few at random", {77, 912, 340, 555, 121, 801, 18, 460, 690, 250, 377, 610, 45, 875}, {0}},
    {"near each other by chance, others between", {77, 912, 340, 79, 610}, {0}},
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mailbox b;
        struct walks ws = {0};
        struct walk_lead lead = {0};
        uint32_t uids[SOME] = {0};
        fill(&b, 990, SIZE);
        for (const uint32_t *uid = rows[i].reads; *uid; uid++)
            lead = read_at(&ws, &b, *uid, NEVER);
        ask(&lead, &b, uids, SOME);
        if (memcmp(uids, rows[i].expected, sizeof uids) != 0)
            fail_msg("%s: %u %u %u", rows[i].what, uids[0], uids[1], uids[2]);
        walks_free(&ws);
        msgtable_clear(&b.t);
    }
}

/* ---- other orders ---- */

static void expect_order(const struct mailbox *b, const uint32_t *by, uint32_t first, int dir)
{
    struct walks ws = {0};
    struct walk_lead lead = {0};
    uint32_t uids[SOME] = {0}, place = first;
    for (int n = 0; n < 5; n++, place += (uint32_t)dir)
        lead = read_at(&ws, b, by[place], NEVER);
    assert_int_equal(ask(&lead, b, uids, SOME), SOME);
    for (uint32_t n = 0; n < SOME; n++)
        assert_int_equal(uids[n], by[place + n * (uint32_t)dir]);
    /* Two who share the list pass each other there, too. */
    lead = read_at(&ws, b, by[place + 1 * (uint32_t)dir], NEVER);
    lead = read_at(&ws, b, by[place], NEVER);
    assert_non_null(lead.head);
    assert_int_equal(ask(&lead, b, uids, 1), 1);
    walks_free(&ws);
}

static void test_orders(void **state)
{
    (void)state;
    struct mailbox b;
    fill(&b, 990, 0);
    expect_order(&b, b.by_date, 1, 1);
    expect_order(&b, b.by_date, 990, -1);
    expect_order(&b, b.by_size, 1, 1);
    expect_order(&b, b.by_size, 990, -1);
    msgtable_clear(&b.t);
}

static void test_neighbours(void **state)
{
    (void)state;
    struct mailbox b;
    fill(&b, 990, 0);
    const uint32_t by_size[] = {b.by_size[10], b.by_size[13], b.by_size[12], b.by_size[16]};
    assert_int_equal(order_neighbours(ORDER_SIZE, &b.t, by_size, 4, 3), 2);
    assert_int_equal(order_neighbours(ORDER_SIZE, &b.t, by_size, 4, 4), 3);
    assert_int_equal(order_neighbours(ORDER_SIZE, &b.t, by_size, 4, 1), 1);
    assert_int_equal(order_neighbours(ORDER_DATE, &b.t, by_size, 4, 3), 0);
    msgtable_remove(&b.t, msgtable_find(&b.t, b.by_size[14])); /* one that vanished is no step */
    assert_int_equal(order_neighbours(ORDER_SIZE, &b.t, by_size, 4, 3), 3);
    const uint32_t twice[] = {5, 5, 6, 2000};
    assert_int_equal(order_neighbours(ORDER_UID, &b.t, twice, 3, 3), 1);
    assert_int_equal(order_neighbours(ORDER_UID, &b.t, twice, 4, 3), 0);
    msgtable_clear(&b.t);
}

/* What vanishes is passed over, and what is new does not disturb. */
static void test_order_of_a_changed_folder(void **state)
{
    (void)state;
    struct mailbox b;
    struct order o = {0};
    fill(&b, 100, 0);
    assert_true(order_make(&o, ORDER_SIZE, &b.t));
    msgtable_remove(&b.t, msgtable_find(&b.t, b.by_size[2]));
    msgtable_add(&b.t, 500)->size = 1001;
    struct place at = order_place(&o, msgtable_find(&b.t, b.by_size[1]));
    assert_int_equal(order_step(&o, &b.t, &at, 1)->uid, b.by_size[3]);
    assert_int_equal(order_step(&o, &b.t, &at, -1)->uid, b.by_size[1]);
    assert_null(order_step(&o, &b.t, &at, -1));
    assert_int_equal(at.uid, b.by_size[1]);
    at = order_place(&o, msgtable_find(&b.t, 500));
    assert_int_equal(order_step(&o, &b.t, &at, 1)->uid, b.by_size[3]);
    /* A size that was corrected since: to its place of now and on from there, not in a circle. */
    msgtable_find(&b.t, b.by_size[50])->size = 1;
    at = order_place(&o, msgtable_find(&b.t, b.by_size[50]));
    for (uint32_t n = 0; n < 99; n++)
        assert_non_null(order_step(&o, &b.t, &at, 1));
    assert_null(order_step(&o, &b.t, &at, 1));
    order_free(&o);
    msgtable_clear(&b.t);
}

static void test_order_of_none(void **state)
{
    (void)state;
    struct msgtable t = {0};
    struct order o = {0};
    struct place at = {0};
    assert_false(order_make(&o, ORDER_DATE, &t));
    assert_true(order_make(&o, ORDER_UID, &t));
    assert_null(order_step(&o, &t, &at, 1));
    assert_null(order_step(&o, &t, &at, -1));
    order_free(&o);
}

/* ---- whatever is left ---- */

static uint32_t scattered(uint32_t n, uint32_t count)
{
    return (uint32_t)((uint64_t)n * n % 983 * 37 % count) + 1;
}

static void test_whatever_is_left(void **state)
{
    (void)state;
    struct mailbox b;
    struct walks ws = {0};
    struct walk_lead lead = {0};
    uint32_t read = 0, none = 0, uids[1000];
    bool seen[401] = {false};
    fill(&b, 400, SIZE);
    for (uint32_t n = 1; read < 50; n++) {
        uint32_t uid = scattered(n, 400);
        if (seen[uid])
            continue;
        seen[uid] = true;
        lead = read_at(&ws, &b, uid, NEVER);
        read++;
        if (!lead.r)
            none++;
        else if (!lead.head)
            break;
    }
    /* Not before an eighth was read. */
    assert_non_null(lead.r);
    assert_null(lead.head);
    assert_int_equal(read, 50);
    assert_true(none >= 40);
    assert_int_equal(walk_evidence(&lead), 50 * SIZE);
    assert_int_equal(ask(&lead, &b, uids, 1000), 400);
    assert_int_equal(walk_ahead(&lead), 400 * SIZE);
    assert_int_equal(walk_unread(&ws), 400 * SIZE);
    /* What is read of it does not count as unread any more. */
    for (uint32_t uid = 1; uid <= 400; uid++)
        read_at(&ws, &b, uid, NEVER);
    assert_true(walk_unread(&ws) <= 20 * SIZE); /* of the last reads that came before */
    walks_free(&ws);
    msgtable_clear(&b.t);
}

/* Who reads now and then does not read it all. */
static void test_pauses(void **state)
{
    (void)state;
    for (int64_t pause = 0; pause <= 60000; pause += 60000) {
        struct mailbox b;
        struct walks ws = {0};
        size_t leads = 0;
        fill(&b, 305, SIZE);
        for (uint32_t n = 1; n <= 60; n++)
            leads += read_at(&ws, &b, n * 23 % 61 * 5, NEVER + n * pause).r != NULL;
        if (pause)
            assert_int_equal(leads, 0);
        else
            assert_in_range(leads, 20, 30);
        walks_free(&ws);
        msgtable_clear(&b.t);
    }
}

/* ---- what is counted ---- */

static void test_evidence(void **state)
{
    (void)state;
    struct mailbox b;
    struct walks ws = {0};
    uint32_t uids[100];
    fill(&b, 990, SIZE);
    read_at(&ws, &b, 10, NEVER);
    struct walk_lead lead = read_at(&ws, &b, 11, NEVER);
    assert_int_equal(walk_evidence(&lead), 2 * SIZE);
    assert_int_equal(walk_ahead(&lead), 0);
    assert_int_equal(ask(&lead, &b, uids, 20), 20);
    assert_int_equal(uids[19], 31);
    assert_int_equal(walk_ahead(&lead), 20 * SIZE);
    /* All but the last one were in the kernel's hands: he is there, so he was everywhere. */
    lead = read_at(&ws, &b, 31, NEVER);
    assert_int_equal(walk_evidence(&lead), 22 * SIZE);
    assert_int_equal(walk_ahead(&lead), 0);
    assert_int_equal(ask(&lead, &b, uids, 2), 2);
    assert_int_equal(uids[0], 32);
    assert_int_equal(walk_unread(&ws), 2 * SIZE);
    /* He is gone; what he left is counted on when his place is taken. */
    for (uint32_t n = 0; n < WALK_HEADS; n++)
        read_at(&ws, &b, 100 + 100 * n, NEVER);
    assert_int_equal(walk_unread(&ws), 2 * SIZE);
    walks_free(&ws);
    msgtable_clear(&b.t);
}

/* A walk that ended with its folder goes on at the same end of the next one. */
static void test_next_folder(void **state)
{
    (void)state;
    struct mailbox b;
    for (int up = 0; up < 2; up++) {
        for (int late = 0; late < 2; late++) {
            struct walks ws = {0};
            fill(&b, 20, SIZE);
            for (uint32_t n = 1; n <= 20; n++)
                read_at(&ws, &b, up ? n : 21 - n, NEVER);
            const struct msg *first = msgtable_find(&b.t, up ? 1 : 20);
            struct walk_lead lead =
                walk_read(&ws, OTHER, &b.t, first, true, late ? NEVER + 5000 : NEVER + 100);
            uint32_t uid = 0;
            assert_int_equal(ask(&lead, &b, &uid, 1), !late);
            assert_int_equal(uid, late ? 0 : up ? 2 : 19);
            walks_free(&ws);
            msgtable_clear(&b.t);
        }
    }
}

/* Large messages: a first window of each, or more while they are read on. */
static void test_large(void **state)
{
    (void)state;
    struct mailbox b;
    struct walks ws = {0};
    struct walk_lead lead = {0};
    fill(&b, 100, 3000 * KIB);
    for (uint32_t uid = 1; uid <= 10; uid++)
        lead = read_at(&ws, &b, uid, NEVER);
    assert_int_equal(walk_window(lead.r), 64 * KIB);
    assert_int_equal(walk_evidence(&lead), 10 * 64 * KIB);
    walk_read_on(&ws, GEN, 10);
    assert_int_equal(walk_window(lead.r), 1024 * KIB);
    walk_read_on(&ws, GEN, 10);
    walk_read_on(&ws, OTHER, 10);
    for (uint32_t uid = 11; uid <= 20; uid++)
        lead = read_at(&ws, &b, uid, NEVER);
    assert_int_equal(walk_window(lead.r), 64 * KIB);
    walks_free(&ws);
    msgtable_clear(&b.t);
}

/* Many folders: the reading used longest ago is forgotten. */
static void test_many_folders(void **state)
{
    (void)state;
    struct mailbox b;
    struct walks ws = {0};
    fill(&b, 100, SIZE);
    for (uint32_t gen = 1; gen <= 3 * WALK_READINGS; gen++) {
        uint32_t uids[4];
        walk_read(&ws, gen, &b.t, msgtable_find(&b.t, 50), true, NEVER);
        struct walk_lead lead = walk_read(&ws, gen, &b.t, msgtable_find(&b.t, 51), true, NEVER);
        assert_int_equal(ask(&lead, &b, uids, 4), 4);
    }
    assert_int_equal(walk_unread(&ws), 3 * WALK_READINGS * 4 * SIZE);
    walks_free(&ws);
    msgtable_clear(&b.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),         cmocka_unit_test(test_orders),
        cmocka_unit_test(test_neighbours),    cmocka_unit_test(test_order_of_a_changed_folder),
        cmocka_unit_test(test_order_of_none), cmocka_unit_test(test_whatever_is_left),
        cmocka_unit_test(test_pauses),        cmocka_unit_test(test_evidence),
        cmocka_unit_test(test_next_folder),   cmocka_unit_test(test_large),
        cmocka_unit_test(test_many_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
