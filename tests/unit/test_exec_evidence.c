/* What a server must show before a change is believed: the row of a STORE, and the VANISHED or
 * EXPUNGE of a deletion or a move, which may as well be another client's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scene.h"

/* ---- flags ---- */

#define FLAG(...)                                                                                  \
    {                                                                                              \
        {                                                                                          \
            .kind = OP_STORE, .text = "+FLAGS (\\Seen)", __VA_ARGS__                               \
        }                                                                                          \
    }
#define FLAG_IT    "C UID STORE 5 +FLAGS (\\Seen)"
#define ROW_OF_5   "C UID FETCH 5 (UID)"
#define FLAGS_OF_5 "S * 3 FETCH (UID 5 FLAGS (\\Seen))"
#define UNHEARD    FLAG_IT, "S $T OK"

static const struct scene stores[] = {
    {"a row", FLAG(), .events = "A/7 row 5 \\Seen; ",
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, FLAGS_OF_5, "S $T OK", QUIT}},
    {"refused", FLAG(.err = EACCES),
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, "S $T NO [NOPERM] no", QUIT}},
    {"OK of a message that it has not heard of: once more", FLAG(),
     .events = "A/7 change 1; A/7 row 5 \\Seen; ", /* Dovecot */
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, "S * 10 EXISTS", "S $T OK", FLAG_IT,
               ROW_OF_5, FLAGS_OF_5, "S A4 OK", "S * 3 FETCH (UID 5)", "S A5 OK", QUIT}},
    {"a row of another message, and one that says nothing of flags", FLAG(),
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, "S * 4 FETCH (UID 6 FLAGS (\\Seen))",
               "S * 3 FETCH (UID 5 RFC822.SIZE 9)", "S * 3 FETCH (FLAGS (\\Seen))", "S $T OK",
               FLAG_IT, ROW_OF_5, FLAGS_OF_5, "S A4 OK", "S A5 OK", QUIT}},
    {"no row, as nothing was to be changed", FLAG(), /* Dovecot */
     .steps = {HELLO(""), OPEN("SELECT", "A"), UNHEARD, FLAG_IT, ROW_OF_5, "S A4 OK",
               "S * 3 FETCH (UID 5)", "S A5 OK", QUIT}},
    {"OK of a message that is gone", FLAG(.err = ENOENT),
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, "S * 3 EXPUNGE", "S $T OK", FLAG_IT,
               ROW_OF_5, "S A4 OK", "S A5 OK", QUIT}},
    {"... while another is there", FLAG(.err = ENOENT),
     .steps = {HELLO(""), OPEN("SELECT", "A"), UNHEARD, FLAG_IT, ROW_OF_5, "S A4 OK",
               "S * 3 FETCH (UID 6)", "S A5 OK", QUIT}},
    {"refused the second time", FLAG(.err = EACCES),
     .steps = {HELLO(""), OPEN("SELECT", "A"), UNHEARD, FLAG_IT, ROW_OF_5, "S A4 NO [NOPERM] no",
               "S A5 OK", QUIT}},
    {"no word of whether it is there", FLAG(.err = EIO),
     .steps = {HELLO(""), OPEN("SELECT", "A"), UNHEARD, FLAG_IT, ROW_OF_5, "S A4 OK", "S A5 NO",
               QUIT}},
    {"lost: the next connection is asked twice, too", FLAG(),
     .steps = {HELLO(""), OPEN("SELECT", "A"), UNHEARD, FLAG_IT, ROW_OF_5, AGAIN, HELLO(""),
               OPEN("SELECT", "A"), UNHEARD, FLAG_IT, ROW_OF_5, FLAGS_OF_5, "S A9 OK", "S A10 OK",
               QUIT}},
    {"two of one message, and a row for one",
     {{.kind = OP_STORE, .text = "+FLAGS (\\Seen)"}, {.kind = OP_STORE, .text = "-FLAGS (a)"}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), FLAG_IT, "C UID STORE 5 -FLAGS (a)", FLAGS_OF_5,
               "S A3 OK", "S A4 OK", "C UID STORE 5 -FLAGS (a)", ROW_OF_5, FLAGS_OF_5, "S A5 OK",
               "S A6 OK", QUIT}},
};

/* ---- deleting and moving ---- */

#define MOVE(...)   .kind = OP_MOVE, .dest = "B", __VA_ARGS__
#define DELETE(...) .kind = OP_DELETE, __VA_ARGS__
/* The row would tell the message's number. */
#define STORE_IT   ROW_IT, "S $T OK", "C UID STORE 5 +FLAGS.SILENT (\\Deleted)"
#define EXPUNGE_IT "C UID EXPUNGE 5"
#define ROW_IT     "C UID FETCH 5 (UID FLAGS)"
#define LOOK_FOR   ROW_IT, "S $T OK", "C UID SEARCH UID 5"
#define MOVE_IT    "C UID MOVE 5 \"B\""
#define COPY_IT    "C UID COPY 5 \"B\""
#define NOTE_IT    "C UID FETCH 5 (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
#define WINDOW                                                                                     \
    "C STATUS \"B\" (UIDNEXT UIDVALIDITY)", "S * STATUS B (UIDNEXT 50 UIDVALIDITY 7)", "S $T OK"
#define NOTED                                                                                      \
    NOTE_IT,                                                                                       \
        "S * 3 FETCH (UID 5 RFC822.SIZE 300 BODY[HEADER.FIELDS (MESSAGE-ID)] "                     \
        "\"Message-ID: <a@b>\")",                                                                  \
        "S $T OK", WINDOW
#define LOOKED(flags)                                                                              \
    ROW_IT, "S * 3 FETCH (UID 5 FLAGS (" flags "))", "S $T OK", "C UID SEARCH UID 5",              \
        "S * SEARCH 5", "S $T OK"
#define SEEN LOOKED("")
#define GONE LOOK_FOR, "S * SEARCH", "S $T OK"

/* All that one round trip takes. */
#define STORE_AND_EXPUNGE ROW_IT, "C UID STORE 5 +FLAGS.SILENT (\\Deleted)", EXPUNGE_IT
#define ITS_NUMBER        "S * 3 FETCH (UID 5 FLAGS ())"

/* VANISHED tells the UID, so it is evidence, but only of that message. */
static const struct scene vanishing[] = {
    {"deleted",
     {{DELETE(.expunged = true)}},
     .events = "A/7 vanished 5; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S A4 OK",
               "S * VANISHED 5", "S A5 OK", QUIT}},
    {"deleted among others",
     {{DELETE(.expunged = true)}},
     .events = "A/7 vanished 3:6,9; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S A4 OK",
               "S * VANISHED 3:6,9", "S A5 OK", QUIT}},
    {"another expunged it before",
     {{DELETE(.expunged = true)}},
     .events = "A/7 vanished 5; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S * VANISHED 5",
               "S A4 OK", "S A5 OK", QUIT}},
    {"others vanish, this one does not: asked again",
     {{DELETE(.expunged = true)}},
     .events = "A/7 vanished 4,6; A/7 vanished 5; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S A4 OK",
               "S * VANISHED 4,6", "S A5 OK", EXPUNGE_IT, "S * VANISHED 5", "S $T OK", QUIT}},
    {"what vanished cannot be understood: no evidence",
     {{DELETE(.expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S A4 OK",
               "S * VANISHED 5,", "S A5 OK", EXPUNGE_IT, "S * VANISHED x", "S $T OK", GONE, QUIT}},
    {"STORE refused, whatever vanishes",
     {{DELETE(.err = EACCES)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S A4 NO [NOPERM] no",
               "S * VANISHED 4", "S A5 OK", QUIT}},
    {"moved",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .events = "A/7 vanished 5; ",
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * OK [COPYUID 7 5 50] moved",
               "S * VANISHED 5", "S $T OK", QUIT}},
    {"moved, without COPYUID",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * VANISHED 5", "S $T OK",
               GONE, QUIT}},
    {"another vanished, without COPYUID",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * VANISHED 4,6", "S $T OK",
               GONE, QUIT}},
    {"it vanished, and is still there",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * VANISHED 1:4294967295",
               "S $T OK", SEEN, MOVE_IT, "S $T OK [COPYUID 7 5 50]", QUIT}},
    {"copied and deleted",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7 5 50] copied", STORE_IT, EXPUNGE_IT, "S A9 OK", "S * VANISHED 5",
               "S A10 OK", QUIT}},
    {"it vanishes while it is copied: the OK of the copy stands",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S * VANISHED 5",
               "S $T OK [COPYUID 7 5 50] copied", STORE_IT, EXPUNGE_IT, "S A9 OK", "S A10 OK",
               EXPUNGE_IT, "S $T OK", GONE, QUIT}},
};

/* EXPUNGE tells a number only: one of another client is not to be taken for its own. */
static const struct scene expunges[] = {
    {"its own",
     {{DELETE(.expunged = true)}},
     .events = "",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S A4 OK",
               "S * 5 EXPUNGE", "S A5 OK", QUIT}},
    {"its own, of a MOVE",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .events = "",
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * OK [COPYUID 7 5 50] x",
               "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"one before the STORE is answered",
     {{DELETE(.expunged = true)}},
     .events = "A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S * 9 EXPUNGE",
               "S A4 OK", "S * 5 EXPUNGE", "S A5 OK", QUIT}},
    {"its own by its number, before the STORE is answered: one round trip", /* Dovecot */
     {{DELETE(.expunged = true)}},
     .events = "A/7 row 5 ; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_AND_EXPUNGE, ITS_NUMBER, "S A3 OK",
               "S * 3 EXPUNGE", "S A4 OK", "S A5 OK", QUIT}},
    {"numbers become less by what is expunged before",
     {{DELETE(.expunged = true)}},
     .events = "A/7 row 5 ; A/7 change 2; A/7 change 2; A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_AND_EXPUNGE, ITS_NUMBER, "S A3 OK",
               "S * 9 EXPUNGE", "S * 1 EXPUNGE", "S * 3 EXPUNGE", "S * 2 EXPUNGE", "S A4 OK",
               "S A5 OK", QUIT}},
    {"another's, by its number: asked again",
     {{DELETE(.expunged = true)}},
     .events = "A/7 row 5 ; A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_AND_EXPUNGE, ITS_NUMBER, "S A3 OK",
               "S A4 OK", "S * 4 EXPUNGE", "S A5 OK", EXPUNGE_IT, "S * 3 EXPUNGE", "S $T OK",
               QUIT}},
    {"a number that means nothing", /* Courier */
     {{DELETE(.expunged = true)}},
     .events = "A/7 row 5 ; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_AND_EXPUNGE,
               "S * 0 FETCH (UID 5 FLAGS ())", "S A3 OK", "S A4 OK", "S * 3 EXPUNGE", "S A5 OK",
               QUIT}},
    {"its own by its number, and the STORE is refused",
     {{DELETE(.err = EACCES)}},
     .events = "A/7 row 5 ; A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_AND_EXPUNGE, ITS_NUMBER, "S A3 OK",
               "S * 3 EXPUNGE", "S A4 NO [NOPERM] no", "S A5 OK", QUIT}},
    {"one beside its own",
     {{DELETE(.expunged = true)}},
     .events = "A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S A4 OK",
               "S * 9 EXPUNGE", "S * 5 EXPUNGE", "S A5 OK", QUIT}},
    {"its own before the STORE is answered", /* Dovecot */
     {{DELETE(.expunged = true)}},
     .events = "",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S * 5 EXPUNGE",
               "S A4 OK", "S A5 OK", EXPUNGE_IT, "S $T OK", GONE, QUIT}},
    {"one while it is looked for, too",
     {{DELETE(.expunged = true)}},
     .events = "A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S * 9 EXPUNGE",
               "S A4 OK", "S A5 OK", EXPUNGE_IT, "S $T OK", LOOK_FOR, "S * 8 EXPUNGE", "S * SEARCH",
               "S $T OK", QUIT}},
    {"one, and it is still there",
     {{DELETE(.err = EACCES)}},
     .events = "A/7 change 4; A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S * 9 EXPUNGE",
               "S A4 OK", "S A5 OK", EXPUNGE_IT, "S $T OK", LOOKED("\\Deleted"), QUIT}},
    {"one, and the STORE is refused",
     {{DELETE(.err = EACCES)}},
     .events = "A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, EXPUNGE_IT, "S * 9 EXPUNGE",
               "S A4 NO [NOPERM] no", "S A5 OK", QUIT}},
    {"one before it is known that UIDPLUS is refused",
     {{DELETE(.expunged = true)}},
     .events = "A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), STORE_IT, "S $T OK", EXPUNGE_IT,
               "S * 9 EXPUNGE", "S $T BAD what", "C UID SEARCH DELETED", "S * SEARCH 5", "S $T OK",
               "C EXPUNGE", "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"one before a bare EXPUNGE, which does nothing",
     {{DELETE(.err = EACCES)}},
     .events = "A/7 row 5 ; A/7 change 2; A/7 change 4; ",
     .steps = {HELLO(""), OPEN("SELECT", "A"), "C UID FETCH 4294967295 (UID)", "S $T OK", SEEN,
               STORE_IT, "S $T OK", "C UID SEARCH DELETED", "S * 9 EXPUNGE", "S * SEARCH 5",
               "S $T OK", "C EXPUNGE", "S $T OK", LOOKED("\\Deleted"), QUIT}},
    {"one while it is copied",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .events = "A/7 row 5 ; A/7 change 2; ",
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S * 9 EXPUNGE",
               "S $T OK [COPYUID 7 5 50] x", STORE_IT, "S $T OK", EXPUNGE_IT, "S * 3 EXPUNGE",
               "S $T OK", QUIT}},
    {"one in a MOVE that does nothing",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .events = "A/7 row 5 ; A/7 change 2; ",
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * 9 EXPUNGE", "S $T OK",
               SEEN, MOVE_IT, "S * OK [COPYUID 7 5 50] x", "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"one in a MOVE that is refused",
     {{MOVE(.err = EACCES)}},
     .events = "A/7 change 2; ",
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * 9 EXPUNGE",
               "S $T NO [NOPERM] no", QUIT}},
    {"one in a MOVE that is lost",
     {{MOVE(.expunged = true)}},
     .events = "A/7 change 2; ",
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * 3 EXPUNGE", AGAIN,
               HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), GONE, QUIT}},
    {"one behind the answer",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .events = "A/7 change 2; ",
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * 3 EXPUNGE",
               "S $T OK [COPYUID 7 5 50] x", "C LOGOUT", "S * 3 EXPUNGE", "S * BYE bye",
               "S $T OK bye", "EOF", NULL}},
};

TEST(stores)
TEST(vanishing)
TEST(expunges)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stores),
        cmocka_unit_test(test_vanishing),
        cmocka_unit_test(test_expunges),
    };
    return cmocka_run_group_tests_name("exec_evidence", tests, NULL, NULL);
}
