/* Tagged answers as errno values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "imap/base/buf.h"
#include "imap/wire/outcome.h"

static const struct {
    const char *line;
    int err;
} rows[] = {
    {"A1 OK done", 0},
    {"A1 OK", 0},
    {"A1 OK [NONEXISTENT] done all the same", 0},
    {"A1 NO", EIO},
    {"A1 NO Mailbox does not exist", ENOENT},                            /* Cyrus */
    {"A1 NO Mailbox does not exist, or must be subscribed to.", ENOENT}, /* Courier */
    {"A1 NO Mailbox doesn't exist: x", ENOENT},                          /* Dovecot */
    {"A1 NO Mailbox already exists", EEXIST}, /* Cyrus, and the next two */
    {"A1 NO Permission denied", EACCES},
    {"A1 NO Invalid mailbox name", EINVAL},
    {"A1 NO Invalid mailbox name.", EINVAL}, /* Courier */
    {"A1 NO not now: Permission denied", EIO},
    {"A1 NO [SERVERBUG] Permission denied", EIO}, /* a code says more than a text */
    {"A1 BAD Invalid mailbox name", EIO},
    {"A1 OK Expunge ignored: Permission denied", 0}, /* what became of it, a look tells */
    {"A1 NO NONEXISTENT", EIO},                      /* a word of the text is no code */
    {"A1 BAD", EIO},
    {"A1 BAD Command Error. 10", EIO}, /* Exchange */
    {"A1 NO [NONEXISTENT] x", ENOENT},
    {"A1 NO [nonexistent]", ENOENT},
    {"A1 NO [TRYCREATE] x", ENOENT},
    {"A1 NO [ALREADYEXISTS] x", EEXIST},
    {"A1 NO [NOPERM] x", EACCES},
    {"A1 NO [AUTHENTICATIONFAILED] x", EACCES},
    {"A1 NO [AUTHORIZATIONFAILED] x", EACCES},
    {"A1 NO [EXPIRED] x", EACCES},
    {"A1 NO [OVERQUOTA] x", EDQUOT},
    {"A1 NO [TOOBIG] x", EFBIG},
    {"A1 BAD [TOOBIG] x", EFBIG}, /* Gmail */
    {"A1 NO [LIMIT] x", EFBIG},
    {"A1 NO [CANNOT] x", EPERM},
    {"A1 NO [HASCHILDREN] x", ENOTEMPTY},
    {"A1 NO [INUSE] x", EBUSY},
    {"A1 NO [UNAVAILABLE] x", EBUSY},
    {"A1 NO [THROTTLED] x", EBUSY},
    {"A1 NO [SERVERBUG] x", EIO},
    {"A1 NO [CLIENTBUG] x", EIO},
    {"A1 NO [ALERT] x", EIO},
    {"A1 NO [X-UNHEARD-OF 1 2] x", EIO},
    {"A1 NO [NONEXISTENTX] x", EIO},
    {"A1 NO [] x", EIO},
    {"A1 NO [NONEXISTENT x", EIO},
};

static void test_errno(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a = {0};
        struct buf line = {0};
        struct response r;
        buf_addf(&line, "%s\r\n", rows[i].line);
        assert_int_equal(response_parse(&a, line.data, line.len, &r), 0);
        assert_int_equal(outcome_errno(&r), -rows[i].err);
        buf_free(&line);
        arena_free(&a);
    }
}

static void test_codes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum resp_code code;
    } codes[] = {
        {"ALERT", CODE_ALERT},
        {"APPENDUID", CODE_APPENDUID},
        {"CAPABILITY", CODE_CAPABILITY},
        {"CLOSED", CODE_CLOSED},
        {"COPYUID", CODE_COPYUID},
        {"copyuid", CODE_COPYUID},
        {"HIGHESTMODSEQ", CODE_HIGHESTMODSEQ},
        {"NOMODSEQ", CODE_NOMODSEQ},
        {"PERMANENTFLAGS", CODE_PERMANENTFLAGS},
        {"READ-ONLY", CODE_READ_ONLY},
        {"READ-WRITE", CODE_READ_WRITE},
        {"UIDNEXT", CODE_UIDNEXT},
        {"UIDVALIDITY", CODE_UIDVALIDITY},
        {"UNAVAILABLE", CODE_UNAVAILABLE},
        {"UNSEEN", CODE_UNSEEN},
        {"REFERRAL", CODE_NONE}, /* never followed */
        {"UID", CODE_NONE},
        {"UIDVALIDITYX", CODE_NONE},
        {"", CODE_NONE},
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct str name = {codes[i].name, strlen(codes[i].name)};
        assert_int_equal(code_from_name(name), codes[i].code);
    }
    assert_int_equal(code_from_name((struct str){NULL, 0}), CODE_NONE);
}

/* Ways to say that one should come back later. */
static void test_throttled(void **state)
{
    (void)state;
    static const struct {
        const char *command, *line;
        int64_t wait; /* -1: it is none */
        int err;
    } lines[] = {
        {"UID FETCH", "A1 NO [THROTTLED] x", 0, EBUSY},
        {"APPEND", "A1 NO [THROTTLED] x", 0, EBUSY},
        /* Gmail */
        {"UID FETCH", "A1 NO [OVERQUOTA] Account exceeded command or bandwidth limits.", 0, EBUSY},
        {"SELECT", "A1 NO [OVERQUOTA] x", 0, EBUSY},
        {"UID SEARCH", "A1 BAD [OVERQUOTA] x", 0, EBUSY},
        /* Office 365 */
        {"UID FETCH", "A1 BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds",
         299961, EBUSY},
        {"UID MOVE", "A1 BAD Suggested Backoff Time: 7 milliseconds", 7, EBUSY},
        {"APPEND", "A1 NO [OVERQUOTA] Suggested Backoff Time: 7 milliseconds", 7, EBUSY},
        {"NOOP", "A1 NO Suggested Backoff Time: 99999999999999999999 milliseconds", 9999999999,
         EBUSY},
        /* Room for mail */
        {"APPEND", "A1 NO [OVERQUOTA] x", -1, EDQUOT},
        {"UID COPY", "A1 NO [OVERQUOTA] x", -1, EDQUOT},
        {"UID MOVE", "A1 NO [OVERQUOTA] x", -1, EDQUOT},
        {"CREATE", "A1 NO [OVERQUOTA] x", -1, EDQUOT},
        /* Something else */
        {"UID FETCH", "A1 NO [INUSE] x", -1, EBUSY}, /* another time, but no pause for all */
        {"UID FETCH", "A1 BAD Suggested Backoff Time: x", -1, EIO},
        {"UID FETCH", "A1 BAD Suggested Backoff Time: ", -1, EIO},
        {"UID FETCH", "A1 NO x", -1, EIO},
        {"UID FETCH", "A1 OK [THROTTLED] Suggested Backoff Time: 7 milliseconds", -1, 0},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct arena a = {0};
        struct buf line = {0};
        struct response r;
        int64_t wait = 0;
        buf_addf(&line, "%s\r\n", lines[i].line);
        assert_int_equal(response_parse(&a, line.data, line.len, &r), 0);
        bool throttled = outcome_throttled(&r, lines[i].command, &wait);
        assert_int_equal(throttled, lines[i].wait >= 0);
        if (throttled)
            assert_int_equal(wait, lines[i].wait);
        assert_int_equal(outcome_errno(&r), -lines[i].err);
        buf_free(&line);
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_throttled),
    };
    return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
