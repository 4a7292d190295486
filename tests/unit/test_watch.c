/* Which folders are looked after when nobody has listed them for long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cache/internal.h"

enum { FOLDERS = 40, LAST_USED = 16, MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

static struct folder folders[FOLDERS];

/* Folder n was last used n minutes ago. They come in no order. */
static void setup(struct account *a)
{
    *a = (struct account){0};
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->watch_cond, NULL);
    for (unsigned i = 0; i < FOLDERS; i++) {
        struct folder *f = &folders[i * 7 % FOLDERS];
        *f = (struct folder){.id = ACCOUNT_ROOT + 1 + i, .loaded = true};
        watch_used(f);
        f->used_at -= (int64_t)(f - folders) * MINUTE;
        HASH_ADD(by_id, a->by_id, id, sizeof f->id, f);
    }
}

static void teardown(struct account *a)
{
    HASH_CLEAR(by_id, a->by_id);
    pthread_cond_destroy(&a->watch_cond);
    pthread_mutex_destroy(&a->lock);
}

static void pass(struct account *a, int64_t ms)
{
    for (unsigned i = 0; i < FOLDERS; i++)
        folders[i].used_at -= ms;
    a->follow_from -= ms;
    a->followed_at -= a->followed_at ? ms : 0;
}

/* How many are due; they must be those used last. */
static unsigned due(struct account *a)
{
    unsigned n = 0, listed = 0;
    while (n < FOLDERS && folders[n].due)
        n++;
    for (const struct folder *f = a->due; f; f = f->next_due, listed++)
        assert_true(f->dirty & CHANGE_EXISTS && f->dirty & CHANGE_FLAGS);
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
        folders[i].dirty = CHANGE_POLL; /* so that nobody asks whether it is told of */
        folders[i].synced_at = 1;
        assert_int_equal(account_sync(&a, folders[i].id, 1, NULL), 0);
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
