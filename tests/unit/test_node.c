/* What an inode number stands for: node.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/account.h"
#include "fs/node.h"

static const enum node_kind ONCE[] = {NODE_CONTROL, NODE_STATUS, NODE_EVENTS};

static const uint32_t IDS[] = {1, 2, 3, 255, 256, 65535, 65536, 0xfffffe, 0xffffff};
static const uint32_t UIDS[] = {1,         2,          0x100,      0xffffff,  0x1000000,
                                0x1000001, 0x7fffffff, 0x80000000, 0xffffffff};
static const uint8_t ACCOUNTS[] = {0, 1, 15}, VIEWS[] = {1, 2, 255};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Nodes of every kind, with what is smallest and largest in each of their fields. */
static size_t all_nodes(struct node *out)
{
    size_t n = 0;
    for (size_t i = 0; i < COUNT(ONCE); i++)
        out[n++] = (struct node){.kind = ONCE[i]};
    for (size_t a = 0; a < COUNT(ACCOUNTS); a++)
        for (size_t i = 0; i < COUNT(IDS); i++) {
            out[n++] = (struct node){.kind = NODE_FOLDER, .account = ACCOUNTS[a], .id = IDS[i]};
            for (size_t v = 0; v < COUNT(VIEWS); v++)
                out[n++] = (struct node){NODE_VIEW, ACCOUNTS[a], VIEWS[v], IDS[i], 0};
            for (size_t u = 0; u < COUNT(UIDS); u++)
                out[n++] = (struct node){NODE_MESSAGE, ACCOUNTS[a], 0, IDS[i], UIDS[u]};
        }
    return n;
}

enum { MANY = 4096 };

static void test_round_trip(void **state)
{
    (void)state;
    struct node nodes[MANY];
    size_t n = all_nodes(nodes);
    assert_true(n < MANY);
    for (size_t i = 0; i < n; i++) {
        struct node back = node_of(ino_of(nodes[i]));
        assert_int_equal(back.kind, nodes[i].kind);
        assert_int_equal(back.account, nodes[i].account);
        assert_int_equal(back.view, nodes[i].view);
        assert_int_equal(back.id, nodes[i].id);
        assert_int_equal(back.uid, nodes[i].uid);
    }
}

static int by_number(const void *a, const void *b)
{
    fuse_ino_t x = *(const fuse_ino_t *)a, y = *(const fuse_ino_t *)b;
    return x < y ? -1 : x > y;
}

/* No two share a number, none has that of no file, and all are positive to who reads them signed.
 */
static void test_distinct(void **state)
{
    (void)state;
    struct node nodes[MANY];
    fuse_ino_t inos[MANY];
    size_t n = all_nodes(nodes);
    for (size_t i = 0; i < n; i++)
        inos[i] = ino_of(nodes[i]);
    qsort(inos, n, sizeof *inos, by_number);
    assert_true(inos[0] > 0);
    assert_true(inos[n - 1] <= INT64_MAX);
    for (size_t i = 1; i < n; i++)
        assert_true(inos[i - 1] < inos[i]);
}

static void test_top(void **state)
{
    (void)state;
    assert_int_equal(ino_folder(ACCOUNT_ROOT), FUSE_ROOT_ID);
    assert_int_equal(node_of(FUSE_ROOT_ID).kind, NODE_FOLDER);
    assert_int_equal(node_of(FUSE_ROOT_ID).id, ACCOUNT_ROOT);
}

/* What was never given out stands for nothing, and what does not fit gets no number: in particular
 * not that of another one. */
static void test_nothing(void **state)
{
    (void)state;
    assert_int_equal(node_of(0).kind, NODE_NONE);
    assert_int_equal(node_of(5).kind, NODE_NONE);
    assert_int_equal(node_of(UINT64_C(1) << 32).kind, NODE_NONE);
    for (unsigned kind = 3; kind < 16; kind++)
        assert_int_equal(node_of((fuse_ino_t)kind << 60 | 1).kind, NODE_NONE);
    assert_int_equal(ino_of((struct node){.kind = NODE_NONE}), 0);
    assert_int_equal(ino_folder(0x1000000), 0);
    assert_int_equal(ino_message(0x1000000, 1), 0);
    assert_int_equal(ino_of((struct node){.kind = NODE_FOLDER, .account = 16, .id = 2}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_distinct),
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
