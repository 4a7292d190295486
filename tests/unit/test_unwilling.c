/* A server that is unwilling for a while: it is asked again, and nothing is done twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/base/backoff.h"
#include "imap/base/limits.h"
#include "imap/pool/throttle.h"
#include "tests/unit/scene.h"

#define FLAG_IT "C UID STORE 5 +FLAGS (\\Seen)"
#define FLAGGED "S * 3 FETCH (UID 5 FLAGS (\\Seen))", "S $T OK"
#define FLAG                                                                                       \
    {                                                                                              \
        {                                                                                          \
            .kind = OP_STORE, .text = "+FLAGS (\\Seen)"                                            \
        }                                                                                          \
    }
#define ROW_IT   "C UID FETCH 5 (UID FLAGS)"
#define LOOK_FOR ROW_IT, "S $T OK", "C UID SEARCH UID 5"
#define LOOKED(flags)                                                                              \
    ROW_IT, "S * 3 FETCH (UID 5 FLAGS (" flags "))", "S $T OK", "C UID SEARCH UID 5",              \
        "S * SEARCH 5", "S $T OK"
#define SEEN    LOOKED("")
#define GONE    LOOK_FOR, "S * SEARCH", "S $T OK"
#define COPY_IT "C UID COPY 5 \"B\""
#define MOVE_IT "C UID MOVE 5 \"B\""
#define MOVE(...)                                                                                  \
    {                                                                                              \
        {                                                                                          \
            .kind = OP_MOVE, .dest = "B", __VA_ARGS__                                              \
        }                                                                                          \
    }
#define STORE_IT ROW_IT, "S $T OK", "C UID STORE 5 +FLAGS.SILENT (\\Deleted)"
#define DELETED  STORE_IT, "S $T OK", "C UID EXPUNGE 5", "S * 3 EXPUNGE", "S $T OK"
#define WINDOW                                                                                     \
    "C STATUS \"B\" (UIDNEXT UIDVALIDITY)", "S * STATUS B (UIDNEXT 50 UIDVALIDITY 7)", "S $T OK"
#define NOTED     "C UID FETCH 5 (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])", "S $T OK", WINDOW
#define APPEND_IT "C APPEND \"B\" () \"01-Jan-1970 00:00:00 +0000\" {4}"

static const struct scene commands[] = {
    {"a command", FLAG,
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, "S $T NO [UNAVAILABLE] x", FLAG_IT,
               "S $T NO [INUSE] x", FLAG_IT, "S $T NO [THROTTLED] x", FLAG_IT, FLAGGED, QUIT}},
    {"SELECT", FLAG,
     .steps = {HELLO(""), "C SELECT \"A\"", "S $T NO [INUSE] x", OPEN("SELECT", "A"), FLAG_IT,
               FLAGGED, QUIT}},
    {"lost while it waits", FLAG,
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, "S $T NO [INUSE] x", AGAIN, HELLO(""),
               OPEN("SELECT", "A"), FLAG_IT, FLAGGED, QUIT}},
    {"MOVE", MOVE(.new_uid = 50, .expunged = true),
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S $T NO [INUSE] x", MOVE_IT,
               "S $T OK [COPYUID 7 5 50] x", QUIT}},
    {"MOVE, and someone else moves it meanwhile", MOVE(.err = ENOENT),
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S $T NO [INUSE] x", MOVE_IT,
               "S $T OK", GONE, QUIT}},
    {"... and that is said", MOVE(.err = ENOENT),
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S $T NO [INUSE] x", MOVE_IT,
               "S $T NO [NONEXISTENT] x", QUIT}},
    {"MOVE, and something was moved", MOVE(.new_uid = 50, .expunged = true),
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * OK [COPYUID 7 5 50] x",
               "S $T NO [INUSE] x", GONE, QUIT}},
    {"MOVE, after the answer to one was lost", MOVE(.expunged = true),
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), SEEN, MOVE_IT, "S $T NO [INUSE] x", SEEN, GONE, QUIT}},
    {"the COPY of a move", MOVE(.new_uid = 50, .expunged = true),
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S $T NO [INUSE] x",
               "C UID FETCH 5 (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])", "S $T OK",
               COPY_IT, "S $T OK [COPYUID 7 5 50] x", DELETED, QUIT}},
    {"the STORE of a move: no second copy", MOVE(.new_uid = 50, .expunged = true),
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7 5 50] x", STORE_IT, "S $T NO [INUSE] x", "C UID EXPUNGE 5",
               "S $T OK", SEEN, DELETED, QUIT}},
    {"the EXPUNGE of a deletion",
     {{.kind = OP_DELETE, .expunged = true}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, "S $T OK", "C UID EXPUNGE 5",
               "S $T OK", "C UID EXPUNGE 5", "S $T OK", LOOK_FOR, "S $T NO [INUSE] x", DELETED,
               QUIT}},
    {"CREATE",
     {{.kind = OP_CREATE}},
     .steps = {HELLO(""), "C LIST \"\" \"A\"", "S $T OK", "C CREATE \"A\"",
               "S $T NO [UNAVAILABLE] x", "C LIST \"\" \"A\"", "S $T OK", "C CREATE \"A\"",
               "S $T OK", "C SUBSCRIBE \"A\"", "S $T OK", QUIT}},
    {"APPEND, before the bytes",
     {{.kind = OP_APPEND, .mailbox = "B", .append = "a\r\nb"}},
     .steps = {HELLO(""), WINDOW, APPEND_IT, "S $T NO [INUSE] x", APPEND_IT, "S + go", "L a", "L b",
               "S $T OK", QUIT}},
    {"APPEND, behind the bytes",
     {{.kind = OP_APPEND, .mailbox = "B", .append = "a\r\nb"}},
     .steps = {HELLO(""), WINDOW, APPEND_IT, "S + go", "L a", "L b", "S $T NO [INUSE] x", APPEND_IT,
               "S + go", "L a", "L b", "S $T OK", QUIT}},
    {"COPY",
     {{.kind = OP_COPY, .dest = "B", .new_uid = 50}},
     .steps = {HELLO("UIDPLUS"), OPEN("EXAMINE", "A"), NOTED, COPY_IT, "S $T NO [INUSE] x",
               "C UID FETCH 5 (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])", "S $T OK",
               COPY_IT, "S $T OK [COPYUID 7 5 50] x", QUIT}},
};

#define READS                                                                                      \
    {                                                                                              \
        {                                                                                          \
            .kind = OP_BODY, .len = 3, .bytes = "abc"                                              \
        }                                                                                          \
    }
#define ASK         "C UID FETCH 5 (UID BODY.PEEK[]<0.3>)"
#define ANSWER      "S * 1 FETCH (UID 5 BODY[]<0> {3}", "R abc)\r\n", "S $T OK"
#define BACKOFF(ms) "S $T BAD Request is throttled. Suggested Backoff Time: " #ms " milliseconds"

static const struct scene throttles[] = {
    {"NO [OVERQUOTA] to what only asks", READS, /* Gmail */
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), ASK, "S $T NO [OVERQUOTA] Account exceeded limits",
               ASK, "S $T NO [OVERQUOTA] Account exceeded limits", ASK, ANSWER, QUIT}},
    {"a time is suggested", READS, /* Office 365 */
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), ASK, BACKOFF(300), ASK, BACKOFF(20), ASK, ANSWER,
               QUIT}},
    {"longer than the call would wait", READS, .timeout = 500,
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), ASK, BACKOFF(1500), ASK, ANSWER, QUIT}},
    {"SELECT", READS,
     .steps = {HELLO(""), "C EXAMINE \"A\"", BACKOFF(20), OPEN("EXAMINE", "A"), ASK, ANSWER, QUIT}},
    {"a MOVE that is put off is no MOVE that is not understood",
     MOVE(.new_uid = 50, .expunged = true),
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, BACKOFF(20), MOVE_IT,
               "S $T OK [COPYUID 7 5 50] x", QUIT}},
    {"nor a LIST",
     {{.kind = OP_LIST, .list = "A/ "}},
     .steps = {HELLO("LIST-EXTENDED SPECIAL-USE"),
               "C LIST \"\" \"*\" RETURN (SPECIAL-USE CHILDREN)", BACKOFF(20),
               "C LIST \"\" \"*\" RETURN (SPECIAL-USE CHILDREN)", "S * LIST () \"/\" A", "S $T OK",
               QUIT}},
    {"too long: refused at once, and nothing more is asked meanwhile",
     {{.kind = OP_BODY, .len = 3, .err = EBUSY},
      {.kind = OP_BODY, .len = 3, .err = EBUSY, .late = true},
      {.kind = OP_STORE, .text = "+FLAGS (\\Seen)", .err = EBUSY}},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), ASK, BACKOFF(299961), "GO", QUIT}},
    {"so often that it is too long",
     {{.kind = OP_BODY, .len = 3, .err = EBUSY}},
     .timeout = 400,
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), ASK, BACKOFF(200), ASK, BACKOFF(59900), QUIT}},
};

static const struct scene sessions[] = {
    {"BYE in the session, and as a greeting", FLAG,
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, "S * BYE [UNAVAILABLE] x", AGAIN,
               "S * BYE [UNAVAILABLE] x", "EOF", "NEW", "S * BYE", "EOF", "NEW", HELLO(""),
               OPEN("SELECT", "A"), FLAG_IT, FLAGGED, QUIT}},
    {"NO [LIMIT] to the login", FLAG,
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, AGAIN, "S * OK [CAPABILITY IMAP4rev1] hi",
               "C LOGIN \"user\" \"pass\"", "S $T NO [LIMIT] x", "EOF", "NEW", HELLO(""),
               OPEN("SELECT", "A"), FLAG_IT, FLAGGED, QUIT}},
    {"NO [ALERT] to the login", FLAG,
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, AGAIN, "S * OK [CAPABILITY IMAP4rev1] hi",
               "C LOGIN \"user\" \"pass\"", "S $T NO [ALERT] Too many", "EOF", "NEW", HELLO(""),
               OPEN("SELECT", "A"), FLAG_IT, FLAGGED, QUIT}},
    {"a refused login is not tried again",
     {{.kind = OP_STORE, .text = "+FLAGS (\\Seen)", .err = EACCES}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, AGAIN, "S * OK [CAPABILITY IMAP4rev1] hi",
               "C LOGIN \"user\" \"pass\"", "S $T NO [AUTHENTICATIONFAILED] x", "EOF", NULL}},
};

static struct str words(const char *text)
{
    return (struct str){text, strlen(text)};
}

static void test_throttle(void **state)
{
    (void)state;
    struct throttle t = {0};
    struct buf status = {0};
    throttle_status(&t, 1000, &status);
    assert_string_equal(buf_str(&status), "");
    assert_true(throttle_note(&t, 1000, 2500, words("slow\r\ndown")));
    assert_int_equal(throttle_left(&t, 1000), 2500);
    assert_true(throttle_waits(&t, 1000) && !throttle_refuses(&t, 1000));
    throttle_status(&t, 1001, &status);
    assert_string_equal(buf_str(&status), ", but asks to wait for 3 s: slow\\x0d\\x0adown");
    throttle_over(&t, 2000); /* the answer to what was asked before */
    assert_int_equal(throttle_left(&t, 2000), 1500);
    assert_false(throttle_note(&t, 2000, 100, words("x"))); /* nor does that end it */
    assert_int_equal(throttle_left(&t, 2000), 1500);
    assert_false(throttle_waits(&t, 3500));
    assert_false(throttle_note(&t, 3500, 0, words("x"))); /* not new: it was not willing since */
    int64_t first = throttle_left(&t, 3500);
    assert_true(first > 0 && first < 2 * BACKOFF_FIRST);
    assert_false(throttle_note(&t, 3500, 0, words("x"))); /* of several that were sent at once */
    assert_int_equal(throttle_left(&t, 3500), first);
    throttle_over(&t, 9000);
    assert_true(throttle_note(&t, 9000, INT64_C(20000000000), words("for months")));
    assert_int_equal(throttle_left(&t, 9000), LIMIT_THROTTLE_LONGEST);
    throttle_over(&t, 9000 + LIMIT_THROTTLE_LONGEST);
    assert_true(throttle_note(&t, 9000, LIMIT_THROTTLE + 1, words("x")));
    assert_true(throttle_refuses(&t, 9000) && !throttle_waits(&t, 9000));
    assert_true(throttle_waits(&t, 9001) && !throttle_refuses(&t, 9001));
    buf_free(&status);
}

static void test_pauses(void **state)
{
    (void)state;
    static const int64_t doubled[] = {250, 500, 1000, 2000, 4000, 4000};
    int64_t pause = 0, least = INT64_MAX, most = 0;
    for (size_t i = 0; i < sizeof doubled / sizeof *doubled; i++) {
        pause = backoff_next(pause, BACKOFF_LAST);
        assert_int_equal(pause, doubled[i]);
    }
    assert_int_equal(backoff_next(BACKOFF_LONGEST, BACKOFF_LAST), BACKOFF_LAST);
    for (int i = 0; i < 1000; i++) {
        int64_t ms = backoff_jitter(1000);
        assert_true(ms >= 750 && ms <= 1250);
        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
    }
    assert_true(least < 850 && most > 1150);
}

TEST(commands)
TEST(throttles)
TEST(sessions)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses), cmocka_unit_test(test_throttle),
        cmocka_unit_test(test_throttles), cmocka_unit_test(test_commands),
        cmocka_unit_test(test_sessions)};
    return cmocka_run_group_tests_name("unwilling", tests, NULL, NULL);
}
