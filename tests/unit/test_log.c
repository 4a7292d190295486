/* Foreign words in the log: what could move a cursor, forge a line or turn the text around. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "imap/base/log.h"

static const struct {
    const char *in;
    size_t len, max;
    const char *want;
} rows[] = {
#define ROW(in, max, want)                                                                         \
    {                                                                                              \
        in, sizeof(in) - 1, max, want                                                              \
    }
    ROW("", 9, ""),
    ROW("plain text", 99, "plain text"),
    ROW("a\r\nimapfs: b", 99, "a\\x0d\\x0aimapfs: b"),
    ROW("\x1b[31m", 99, "\\x1b[31m"),
    ROW("a\0b\x7f", 99, "a\\x00b\\x7f"),
    ROW("Entw\xc3\xbcrfe \xe2\x98\xba \xf0\x9f\x98\x80", 99,
        "Entw\xc3\xbcrfe \xe2\x98\xba \xf0\x9f\x98\x80"),
    /* C1: U+009B begins a command to a terminal as ESC [ does, U+0085 is a line end. */
    ROW("\xc2\x9b"
        "31m",
        99, "\\xc2\\x9b31m"),
    ROW("\xc2\x80\xc2\x85\xc2\x9f", 99, "\\xc2\\x80\\xc2\\x85\\xc2\\x9f"),
    ROW("\xc2\xa0", 99, "\xc2\xa0"),
    /* Bidi controls. */
    ROW("a\xe2\x80\xae"
        "b",
        99, "a\\xe2\\x80\\xaeb"),
    ROW("\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f", 99, "\\xd8\\x9c\\xe2\\x80\\x8e\\xe2\\x80\\x8f"),
    ROW("\xe2\x80\xaa\xe2\x81\xa6\xe2\x81\xa9", 99,
        "\\xe2\\x80\\xaa\\xe2\\x81\\xa6\\xe2\\x81\\xa9"),
    /* Not UTF-8: a bare byte of C1, an overlong ESC, a surrogate, half a character. */
    ROW("a\x9b"
        "b",
        99, "a\\x9bb"),
    ROW("\xc0\x9b", 99, "\\xc0\\x9b"),
    ROW("\xed\xa0\x80", 99, "\\xed\\xa0\\x80"),
    ROW("\xe2\x98", 99, "\\xe2\\x98"),
    /* Cut. */
    ROW("abcdef", 6, "abcdef"),
    ROW("abcdef", 5, "abcde..."),
    ROW("abcdef", 0, "..."),
    ROW("a\xe2\x98\xba", 3, "a\\xe2\\x98..."),
};

static void test_escape(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = {0};
        log_escape(&out, rows[i].in, rows[i].len, rows[i].max);
        assert_string_equal(buf_str(&out), rows[i].want);
        buf_free(&out);
    }
}

/* A server that goes on and on: the first lines are there, and the number of the others. */
static void test_limit(void **state)
{
    (void)state;
    static struct log_limit alerts = LOG_LIMIT("alerts"), odd = LOG_LIMIT("strange rows");
    static char text[4096];
    FILE *log = tmpfile();
    assert_non_null(log);
    fflush(stderr);
    int terminal = dup(STDERR_FILENO);
    dup2(fileno(log), STDERR_FILENO);
    for (unsigned i = 0; i < 1000; i++) {
        if (log_may(&alerts))
            log_warn("alert %u", i);
        if (i < LOG_BURST && log_may(&odd))
            log_info("row %u", i);
    }
    log_warn("another thing");
    log_flush();
    log_flush();
    dup2(terminal, STDERR_FILENO);
    close(terminal);
    rewind(log);
    text[fread(text, 1, sizeof text - 1, log)] = '\0';
    fclose(log);
    assert_non_null(strstr(text, "imapfs: alert 0\nimapfs: row 0\nimapfs: alert 1\n"));
    assert_non_null(strstr(text, "imapfs: alert 9\nimapfs: row 9\nimapfs: another thing\n"
                                 "imapfs: 990 more alerts were left out here\n"));
    assert_null(strstr(text, "alert 10"));
    assert_null(strstr(text, "strange")); /* of these there were no more */
    assert_string_equal(strstr(text, "left out here\n"), "left out here\n");
    struct buf last = {0};
    log_last(&last);
    assert_non_null(strstr(buf_str(&last), "another thing"));
    buf_free(&last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
