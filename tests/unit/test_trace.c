/* What of a server's lines a human gets to see, and that a line costs no more than its length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "imap/base/log.h"
#include "imap/conn/conn.h"
#include "imap/conn/trace.h"

static const struct {
    const char *line, *shown;
} rows[] = {
    {"* 1 FETCH (UID 5 BODY[] \"Dear Bob\")\r\n", "* 1 FETCH (UID 5 BODY[] "},
    {"* 1 FETCH (BODY[]<0> \"Dear Bob\")\r\n", "* 1 FETCH (BODY[]<0> "},
    {"* 1 FETCH (BINARY[1] \"Dear Bob\")\r\n", "* 1 FETCH (BINARY[1] "},
    {"* 1 FETCH (RFC822.TEXT \"Dear Bob\")\r\n", "* 1 FETCH (RFC822.TEXT "},
    {"* 1 FETCH (RFC822.SIZE 9x)\r\n", "* 1 FETCH (RFC822.SIZE 9x)"},
    {"* 1 FETCH (BODY[1] NIL BODY[2] \"x\")\r\n", "* 1 FETCH (BODY[1] NIL BODY[2] "},
    {"* 1 FETCH (BODY[] {8}\r\nDear Bob)\r\n", "* 1 FETCH (BODY[] {8}"},
    {"* 1 FETCH (BODY[\r\n", "* 1 FETCH (BODY["},
};

static void assert_shown(const char *line, size_t len, const char *shown)
{
    struct conn c = {0};
    struct buf last = {0};
    conn_passed_over(&c, line, len);
    log_last(&last);
    const char *text = strstr(buf_str(&last), "understood: ");
    assert_non_null(text);
    assert_string_equal(text + strlen("understood: "), shown);
    buf_free(&last);
}

static void test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_shown(rows[i].line, strlen(rows[i].line), rows[i].shown);
}

/* Sixteen megabytes of names of which none ends: minutes, if each was looked for to the end. */
static void test_long(void **state)
{
    static const char item[] = " BODY[{";
    enum { ITEM = sizeof item - 1, ITEMS = (16 << 20) / ITEM };
    (void)state;
    char *line = malloc((size_t)ITEMS * ITEM);
    assert_non_null(line);
    for (size_t i = 0; i < ITEMS; i++)
        memcpy(line + i * ITEM, item, ITEM);
    line[0] = '*';
    assert_shown(line, (size_t)ITEMS * ITEM,
                 "*BODY[{ BODY[{ BODY[{ BODY[{ BODY[{ BODY[{ BODY[{ BODY[{ BODY[{ BODY[{ BODY[{ "
                 "BO...");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
