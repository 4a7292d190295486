/* The table of views, and which messages are in them: view.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fs/control.h"
#include "fs/view.h"
#include "imap/wire/flags.h"

static const struct view *at(uint8_t place)
{
    return view_of((struct node){.kind = NODE_VIEW, .view = place, .id = 2});
}

static const struct view *named(const char *name)
{
    uint8_t place = view_named(name);
    assert_int_not_equal(place, 0);
    return at(place);
}

/* Each hidden directory is found by its name alone, which no listing may bring. */
static void test_table(void **state)
{
    (void)state;
    uint8_t n = 1;
    for (const struct view *v; (v = at(n)) != NULL; n++) {
        assert_int_equal(view_named(v->dirname), n);
        assert_int_equal(v->dirname[0], '.');
        assert_null(strchr(v->dirname, '/'));
        assert_string_not_equal(v->dirname, CONTROL_NAME);
        assert_non_null(v->shows);
        assert_non_null(v->name);
        assert_non_null(v->find);
    }
    assert_true(n > 2);
    assert_null(at(NODE_VIEWS - 1));
}

static void test_names(void **state)
{
    (void)state;
    static const char *const others[] = {"",        ".",        "..",     ".imapfs", "unread",
                                         ".Unread", ".unread ", ".unrea", ".unread2"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(view_named(others[i]), 0);
}

static void test_kinds(void **state)
{
    (void)state;
    static const enum node_kind without[] = {NODE_NONE, NODE_MESSAGE, NODE_CONTROL, NODE_STATUS,
                                             NODE_EVENTS};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        assert_null(view_of((struct node){.kind = without[i]}));
    const struct view *folder = view_of((struct node){.kind = NODE_FOLDER, .id = 1});
    assert_null(folder->dirname);
    assert_null(folder->shows);
    assert_true(folder->folders && folder->announced && folder->take && folder->mkdir);
}

static void test_flags(void **state)
{
    (void)state;
    static const struct {
        uint32_t flags;
        bool unread, flagged;
    } cases[] = {
        {0, true, false},
        {FLAG_SEEN, false, false},
        {FLAG_FLAGGED, true, true},
        {FLAG_SEEN | FLAG_FLAGGED, false, true},
        {FLAG_ANSWERED | FLAG_DRAFT | FLAG_RECENT, true, false},
    };
    const struct view *unread = named(".unread"), *flagged = named(".flagged");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct msg_info m = {.flags = cases[i].flags};
        assert_int_equal(unread->shows(&m), cases[i].unread);
        assert_int_equal(flagged->shows(&m), cases[i].flagged);
    }
}

/* Nothing is put into them or made in them. */
static void test_refusals(void **state)
{
    (void)state;
    static const char *const names[] = {".unread", ".flagged"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct view *v = named(names[i]);
        assert_true(!v->take && !v->mkdir && !v->folders);
        assert_int_equal(v->create, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table), cmocka_unit_test(test_names),    cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_flags), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
