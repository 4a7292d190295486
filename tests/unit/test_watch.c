/* Which folders are looked after when nobody has listed them for long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cache/folder.h"
#include "cache/state.h"
#include "imap/conn/op.h"

enum { FOLDERS = 40, LAST_USED = 16, MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

static struct folder *folders[FOLDERS];

static void folder_changed(void *ctx, uint32_t id)
{
    (void)ctx, (void)id;
}

/* Folder n was last used n minutes ago. They come in no order. */
static void setup(struct account *a)
{
    *a = (struct account){.hooks.folder_changed = folder_changed};
    pthread_mutex_init(&a->lock, NULL);
    watch_init(a);
    tree_init(a);
    for (unsigned i = 0; i < FOLDERS; i++) {
        unsigned n = i * 7 % FOLDERS;
        char name[8];
        snprintf(name, sizeof name, "f%u", n);
        struct folder *f = folders[n] = tree_insert(a, a->tree.root, name, '/');
        f->facts.loaded = true;
        watch_used(f);
        f->watch.used_at -= (int64_t)n * MINUTE;
    }
}

static void teardown(struct account *a)
{
    tree_free(a);
    watch_free(a);
    pthread_mutex_destroy(&a->lock);
}

static void pass(struct account *a, int64_t ms)
{
    for (unsigned i = 0; i < FOLDERS; i++)
        folders[i]->watch.used_at -= ms;
    a->watch.follow_from -= ms;
    a->watch.followed_at -= a->watch.followed_at ? ms : 0;
}

/* How many are due; they must be those used last. */
static unsigned due(struct account *a)
{
    unsigned n = 0, listed = 0;
    while (n < FOLDERS && folders[n]->watch.due)
        n++;
    for (const struct folder *f = a->watch.due; f; f = f->watch.next_due, listed++)
        assert_true(f->watch.hints & CHANGE_EXISTS && f->watch.hints & CHANGE_FLAGS);
    assert_int_equal(n, listed);
    return n;
}

static void test_in_use(void **state)
{
    (void)state;
    struct account a;
    setup(&a);
    pass(&a, HOUR / 2);
    watch_on_deaf(&a);
    assert_in_range(due(&a), 30, 31);
    teardown(&a);
}

/* A connection may have been told of them all that time. */
static void test_used_last(void **state)
{
    (void)state;
    struct account a;
    setup(&a);
    pass(&a, 9 * HOUR);
    watch_on_deaf(&a);
    assert_int_equal(due(&a), LAST_USED);
    teardown(&a);
}

/* Opening a directory is use, though the kernel may know what is in it. */
static void test_opened(void **state)
{
    (void)state;
    struct account a;
    setup(&a);
    pass(&a, 9 * HOUR);
    for (unsigned i = 0; i < 20; i++) {
        folders[i]->watch.hints = CHANGE_POLL; /* so that nobody asks whether it is told of */
        folders[i]->fresh.synced_at = 1;
        assert_int_equal(account_sync(&a, folders[i]->id, TRUST_SERVER, 1, NULL), 0);
    }
    watch_on_deaf(&a);
    assert_int_equal(due(&a), 20);
    teardown(&a);
}

/* Who follows the events goes on to hear of what was in use when he began. */
static void test_followed(void **state)
{
    (void)state;
    struct account a;
    setup(&a);
    for (int i = 0; i < 20; i++) {
        account_followed(&a);
        pass(&a, HOUR / 2);
    }
    watch_on_deaf(&a);
    assert_int_equal(due(&a), FOLDERS);
    teardown(&a);

    setup(&a);
    account_followed(&a);
    pass(&a, 2 * HOUR);
    account_followed(&a);
    watch_on_deaf(&a);
    assert_int_equal(due(&a), LAST_USED);
    teardown(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_used_last),
        cmocka_unit_test(test_opened),
        cmocka_unit_test(test_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
