/* Operations that move messages: what is sent, and above all what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scene.h"

/* An operation; what is expected of it stands in the parentheses. */
#define MOVE(...) .kind = OP_MOVE, .dest = "B", __VA_ARGS__

/* The row would tell the message's number. */
#define STORE_IT   ROW_IT, "S $T OK", "C UID STORE 5 +FLAGS.SILENT (\\Deleted)"
#define EXPUNGE_IT "C UID EXPUNGE 5"
#define ROW_IT     "C UID FETCH 5 (UID FLAGS)"
#define LOOK_FOR   ROW_IT, "S $T OK", "C UID SEARCH UID 5"
#define MOVE_IT    "C UID MOVE 5 \"B\""
#define COPY_IT    "C UID COPY 5 \"B\""
/* What is asked for before a COPY, in case its answer is lost. */
#define NOTE_IT "C UID FETCH 5 (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
#define WINDOW                                                                                     \
    "C STATUS \"B\" (UIDNEXT UIDVALIDITY)", "S * STATUS B (UIDNEXT 50 UIDVALIDITY 7)", "S $T OK"
#define UIDNEXT_NOW "C STATUS \"B\" (UIDNEXT UIDVALIDITY)"
#define UNNOTED     NOTE_IT, "S $T OK", WINDOW
#define NOTED                                                                                      \
    NOTE_IT,                                                                                       \
        "S * 3 FETCH (UID 5 RFC822.SIZE 300 BODY[HEADER.FIELDS (MESSAGE-ID)] "                     \
        "\"Message-ID: <a@b>\")",                                                                  \
        "S $T OK", WINDOW
#define LOOKED(flags)                                                                              \
    ROW_IT, "S * 3 FETCH (UID 5 FLAGS (" flags "))", "S $T OK", "C UID SEARCH UID 5",              \
        "S * SEARCH 5", "S $T OK"
#define SEEN     LOOKED("")
#define ROW_OF_5 ROW_IT, "S * 3 FETCH (UID 5 FLAGS ())", "S $T OK"
/* The same, of a message that is gone; the key UID of SEARCH takes a number. */
#define NOT_IT                                                                                     \
    ROW_IT, "S * 3 FETCH (UID 6 FLAGS ())", "S $T OK", "C UID SEARCH UID 5", "S * SEARCH 9",       \
        "S $T OK"
#define GONE LOOK_FOR, "S * SEARCH", "S $T OK"

/* What proves a STORE. */
#define FLAGS_OF_5 "S * 3 FETCH (UID 5 FLAGS (\\Seen))"

/* ---- moving ---- */

static const struct scene moves[] = {
    {"MOVE, COPYUID before the EXPUNGE",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * OK [COPYUID 7 5 50] moved",
               "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"MOVE, COPYUID in the tagged OK",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * 3 EXPUNGE",
               "S $T OK [COPYUID 7 5 50]", QUIT}},
    {"MOVE without UIDPLUS",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("MOVE"), OPEN("SELECT", "A"), SEEN, MOVE_IT, "S * 3 EXPUNGE", "S $T OK", GONE,
               QUIT}},
    {"MOVE without UIDPLUS, and SEARCH takes the UID for a number", /* mailutils */
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("MOVE"), OPEN("SELECT", "A"), ROW_OF_5, "C UID SEARCH UID 5", "S * SEARCH",
               "S $T OK", MOVE_IT, "S * 3 EXPUNGE", "S $T OK", GONE, QUIT}},
    {"MOVE without UIDPLUS, and SEARCH is refused, but a row is there",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("MOVE"), OPEN("SELECT", "A"), ROW_OF_5, "C UID SEARCH UID 5", "S $T BAD what",
               MOVE_IT, "S * 3 EXPUNGE", "S $T OK", GONE, QUIT}},
    {"MOVE without UIDPLUS, and no row comes of what SEARCH finds", /* Courier, O365 at times */
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("MOVE"), OPEN("SELECT", "A"), LOOK_FOR, "S * SEARCH 5", "S $T OK", MOVE_IT,
               "S * 3 EXPUNGE", "S $T OK", GONE, QUIT}},
    {"MOVE without UIDPLUS says OK of a message that is gone",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("MOVE"), OPEN("SELECT", "A"), GONE, GONE, QUIT}},
    {"MOVE without UIDPLUS, and the look before is refused",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO("MOVE"), OPEN("SELECT", "A"), LOOK_FOR, "S $T NO", QUIT}},
    {"MOVE says no COPYUID, but it moved",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * 3 EXPUNGE", "S $T OK",
               GONE, QUIT}},
    {"MOVE of which nobody says what became of it",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * 3 EXPUNGE", "S $T OK",
               LOOK_FOR, "S $T OK", QUIT}},
    {"MOVE, another message is expunged meanwhile",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * 7 EXPUNGE", "S $T OK",
               SEEN, MOVE_IT, "S $T OK", SEEN, QUIT}},
    {"MOVE says OK of a message that is gone",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S $T OK", GONE, QUIT}},
    {"MOVE says OK and does nothing",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S $T OK", SEEN, MOVE_IT,
               "S $T OK", SEEN, QUIT}},
    {"MOVE refused",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S $T NO [TRYCREATE] no",
               QUIT}},
    {"MOVE over quota",
     {{MOVE(.err = EDQUOT)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S $T NO [OVERQUOTA] no",
               QUIT}},
    {"MOVE advertised and not understood",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S $T BAD what", NOTED, SEEN,
               COPY_IT, "S $T OK [COPYUID 7 5 50] copied", STORE_IT, "S $T OK", EXPUNGE_IT,
               "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"the mailbox cannot be opened",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("MOVE"), "C SELECT \"A\"", "S $T NO [NONEXISTENT] no", QUIT}},
    {"the mailbox is read-only",
     {{MOVE(.err = EACCES)}},
     .steps = {HELLO("MOVE"), "C SELECT \"A\"", "S $T OK [READ-ONLY] open", QUIT}},
    {"the mount is read-only",
     {{MOVE(.err = EROFS)}},
     .read_only = true,
     .steps = {HELLO("MOVE"), QUIT}},
    {"another UIDVALIDITY",
     {{MOVE(.uidvalidity = 6, .err = ESTALE)}},
     .steps = {HELLO("MOVE"), OPEN("SELECT", "A"), QUIT}},
    {"names are quoted",
     {{.kind = OP_MOVE, .mailbox = "a \"b\"", .dest = "c\\d", .new_uid = 9, .expunged = true}},
     .steps = {HELLO("MOVE"), "C SELECT \"a \\\"b\\\"\"", "S $T OK", SEEN,
               "C UID MOVE 5 \"c\\\\d\"", "S $T OK [COPYUID 1 5 9] x", QUIT}},
};

/* Nothing is deleted whose copy was not confirmed. */
static const struct scene copies[] = {
    {"COPY, STORE, EXPUNGE",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7 5 50] copied", STORE_IT, "S * 3 FETCH (FLAGS (\\Deleted))",
               "S $T OK", EXPUNGE_IT, "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"COPY refused",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T NO [TRYCREATE] no", QUIT}},
    {"COPY refused with a COPYUID",
     {{MOVE(.err = EIO, .new_uid = 50)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T NO [COPYUID 7 5 50] no", QUIT}},
    {"COPY not understood",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S $T BAD what", QUIT}},
    {"COPY OK without COPYUID: it was there before",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S $T OK", STORE_IT,
               "S $T OK", EXPUNGE_IT, "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"COPY OK without COPYUID: it was not there before",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), UNNOTED, GONE, GONE, QUIT}},
    {"COPYUID of empty sets: it was there before",
     {{MOVE(.expunged = true)}}, /* Outlook.com */
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7  ] x", STORE_IT, "S $T OK", EXPUNGE_IT, "S * 3 EXPUNGE",
               "S $T OK", QUIT}},
    {"COPYUID of empty sets: it was not there before",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), UNNOTED, GONE, GONE, QUIT}},
    {"COPYUID of another message: it was there before",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7 6 50] x", STORE_IT, "S $T OK", EXPUNGE_IT, "S * 3 EXPUNGE",
               "S $T OK", QUIT}},
    {"COPYUID of another message: it was not there before",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), UNNOTED, GONE, GONE, QUIT}},
    {"COPYUID of sets that differ in size: it was there before",
     {{MOVE(.expunged = true)}}, /* CVE-2025-25186 */
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7 1:4294967295 50] x", STORE_IT, "S $T OK", EXPUNGE_IT,
               "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"COPYUID of sets that differ in size: it was not there before",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), UNNOTED, GONE, GONE, QUIT}},
    {"COPYUID of all there is",
     {{MOVE(.new_uid = 5, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7 1:4294967295 1:4294967295] x", STORE_IT, "S $T OK", EXPUNGE_IT,
               "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"STORE refused: the copy stays, the message too",
     {{MOVE(.err = EACCES, .new_uid = 50)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7 5 50] copied", STORE_IT, "S $T NO [NOPERM] no", EXPUNGE_IT,
               "S $T OK", QUIT}},
    {"without UIDPLUS: UIDNEXT is one more, and that one is the copy",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S $T OK", UIDNEXT_NOW,
               "S * STATUS B (UIDNEXT 51 UIDVALIDITY 7)", "S $T OK", STORE_IT, "S $T OK",
               "C UID SEARCH DELETED", "S * SEARCH 5", "S $T OK", "C EXPUNGE", "S * 3 EXPUNGE",
               "S $T OK", QUIT}},
    {"without UIDPLUS: where UIDs began is asked for anew",
     {{MOVE(.uidnext = 40, .new_uid = 50, .expunged = true)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S $T OK", UIDNEXT_NOW,
               "S * STATUS B (UIDNEXT 51 UIDVALIDITY 7)", "S $T OK", STORE_IT, "S $T OK",
               "C UID SEARCH DELETED", "S * SEARCH 5", "S $T OK", "C EXPUNGE", "S * 3 EXPUNGE",
               "S $T OK", QUIT}},
    {"without UIDPLUS: others came, too",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S $T OK", UIDNEXT_NOW,
               "S * STATUS B (UIDNEXT 52 UIDVALIDITY 7)", "S $T OK", STORE_IT, "S $T OK",
               "C UID SEARCH DELETED", "S * SEARCH 5", "S $T OK", "C EXPUNGE", "S * 3 EXPUNGE",
               "S $T OK", QUIT}},
    {"without UIDPLUS: the other mailbox was made anew",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S $T OK", UIDNEXT_NOW,
               "S * STATUS B (UIDNEXT 51 UIDVALIDITY 8)", "S $T OK", STORE_IT, "S $T OK",
               "C UID SEARCH DELETED", "S * SEARCH 5", "S $T OK", "C EXPUNGE", "S * 3 EXPUNGE",
               "S $T OK", QUIT}},
    {"without UIDPLUS: nobody knows what UID the copy has",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S $T OK", UIDNEXT_NOW,
               "S $T OK", STORE_IT, "S $T OK", "C UID SEARCH DELETED", "S * SEARCH 5", "S $T OK",
               "C EXPUNGE", "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"without UIDPLUS: COPY says OK of a message that is gone",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), UNNOTED, GONE, GONE, QUIT}},
    {"without UIDPLUS: nobody knows whether it is there",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), UNNOTED, LOOK_FOR, "S $T NO", QUIT}},
    {"without UIDPLUS: the look is answered with nothing at all",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), UNNOTED, LOOK_FOR, "S $T OK", QUIT}},
    {"without UIDPLUS: the look speaks of another message",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), UNNOTED, LOOK_FOR, "S * SEARCH 6", "S $T OK", GONE,
               QUIT}},
    {"without UIDPLUS: COPY refused",
     {{MOVE(.err = EDQUOT)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "S $T NO [OVERQUOTA] no",
               QUIT}},
    /* CVE-2021-3578. */
    {"COPYUID for a STORE",
     {{.kind = OP_STORE, .text = "+FLAGS (\\Seen)"}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), "C UID STORE 5 +FLAGS (\\Seen)",
               "S * OK [COPYUID 7 5 50] x", FLAGS_OF_5, "S $T OK [APPENDUID 7 5] x", QUIT}},
};

/* What UIDs there are where it goes is known, and so nothing is waited for in front of the COPY. */
#define FACTS_OF_5                                                                                 \
    "S * 3 FETCH (UID 5 RFC822.SIZE 300 BODY[HEADER.FIELDS (MESSAGE-ID)] "                         \
    "\"Message-ID: <a@b>\")"
#define LOOK_INTO_B(uidnext)                                                                       \
    "C EXAMINE \"B\"", "S * OK [UIDVALIDITY 7] x", "S * OK [UIDNEXT " #uidnext "] x",              \
        "S $T OK [READ-ONLY] x",                                                                   \
        "C UID FETCH 50:* (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
#define ARRIVED                                                                                    \
    LOOK_INTO_B(51),                                                                               \
        "S * 9 FETCH (UID 50 RFC822.SIZE 300 BODY[HEADER.FIELDS (MESSAGE-ID)] "                    \
        "\"Message-ID: <a@b>\")",                                                                  \
        "S $T OK"
#define DELETED STORE_IT, "S $T OK", EXPUNGE_IT, "S * 3 EXPUNGE", "S $T OK"
#define KNOWN   .uidnext = 50

static const struct scene copies_at_once[] = {
    {"two round trips", /* Courier */
     {{MOVE(KNOWN, .new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTE_IT, COPY_IT, FACTS_OF_5, "S A3 OK",
               "S A4 OK [COPYUID 7 5 50] x", ROW_IT, "C UID STORE 5 +FLAGS.SILENT (\\Deleted)",
               EXPUNGE_IT, "S * 3 FETCH (UID 5 FLAGS ())", "S A5 OK", "S * 3 EXPUNGE", "S A6 OK",
               "S A7 OK", QUIT}},
    {"no COPYUID: it was there in front of the COPY",
     {{MOVE(KNOWN, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTE_IT, FACTS_OF_5, "S $T OK", COPY_IT,
               "S $T OK", DELETED, QUIT}},
    {"no row in front: the COPYUID says it",
     {{MOVE(KNOWN, .new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTE_IT, "S * 10 EXISTS", "S $T OK", COPY_IT,
               "S $T OK [COPYUID 7 5 50] x", DELETED, QUIT}},
    {"neither: it is gone, and nothing is deleted",
     {{MOVE(KNOWN, .err = ENOENT)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTE_IT, "S $T OK", COPY_IT, "S $T OK",
               NOTE_IT, "S $T OK", GONE, QUIT}},
    {"neither: it had not been heard of, and was copied",
     {{MOVE(KNOWN, .new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTE_IT, "S $T OK", COPY_IT, "S $T OK",
               NOTE_IT, FACTS_OF_5, "S $T OK", SEEN, ARRIVED, OPEN("SELECT", "A"), SEEN, DELETED,
               QUIT}},
    {"neither: it had not been heard of, and was not copied",
     {{MOVE(KNOWN, .new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTE_IT, "S $T OK", COPY_IT, "S $T OK",
               NOTE_IT, FACTS_OF_5, "S $T OK", SEEN, LOOK_INTO_B(50), "S $T OK",
               OPEN("SELECT", "A"), ROW_OF_5, COPY_IT, "S $T OK [COPYUID 7 5 50] x", DELETED,
               QUIT}},
    {"cut before anything is answered, and it arrived",
     {{MOVE(KNOWN, .new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTE_IT, COPY_IT, AGAIN, HELLO("UIDPLUS"),
               OPEN("SELECT", "A"), NOTE_IT, FACTS_OF_5, "S $T OK", SEEN, ARRIVED,
               OPEN("SELECT", "A"), SEEN, DELETED, QUIT}},
    {"refused",
     {{MOVE(KNOWN, .err = ENOENT)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTE_IT, FACTS_OF_5, "S $T OK", COPY_IT,
               "S $T NO [TRYCREATE] no", QUIT}},
    {"not without UIDPLUS: another message might be copied", /* mailutils */
     {{MOVE(KNOWN, .err = ENOENT)}},
     .steps = {HELLO(""), OPEN("SELECT", "A"), NOTE_IT, "S * 3 FETCH (UID 6 RFC822.SIZE 9)",
               "S $T OK", WINDOW, NOT_IT, NOT_IT, QUIT}},
    {"copied, but the original may not be expunged: it stays hidden",
     {{MOVE(KNOWN, .new_uid = 50, .expunged = false)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTE_IT, FACTS_OF_5, "S $T OK", COPY_IT,
               "S $T OK [COPYUID 7 5 50] x", STORE_IT, "S $T OK", EXPUNGE_IT,
               "S $T NO Permission denied", QUIT}},
};

/* The connection is lost after each command of a MOVE. */
static const struct scene moves_cut[] = {
    {"at SELECT",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), "C SELECT \"A\"", AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), MOVE_IT, "S $T OK [COPYUID 7 5 50] x", QUIT}},
    {"at MOVE, which was done",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), GONE, QUIT}},
    {"at MOVE, whose COPYUID came",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "S * OK [COPYUID 7 5 50] x",
               AGAIN, HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), GONE, QUIT}},
    {"at MOVE, which was not done",
     {{MOVE(.new_uid = 51, .expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), SEEN, MOVE_IT, "S $T OK [COPYUID 7 5 51] x", QUIT}},
    {"at MOVE, and a second one is refused, since the first is done by now",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), SEEN, MOVE_IT, "S $T NO [NONEXISTENT] x", GONE, QUIT}},
    {"at MOVE, and a second one is refused",
     {{MOVE(.err = EACCES)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), SEEN, MOVE_IT, "S $T NO [NOPERM] x", SEEN, QUIT}},
    {"at SELECT, and the MOVE is refused: no other one was sent",
     {{MOVE(.err = ENOENT)}},
     .steps = {HELLO("MOVE UIDPLUS"), "C SELECT \"A\"", AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), MOVE_IT, "S $T NO [NONEXISTENT] x", QUIT}},
    {"at MOVE, which the lost session was still at",
     {{MOVE(.expunged = true)}},
     .settle = 1500,
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), SEEN, GONE, QUIT}},
    {"at MOVE, which the lost session was not at",
     {{MOVE(.new_uid = 51, .expunged = true)}},
     .settle = 1500,
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), SEEN, SEEN, MOVE_IT, "S $T OK [COPYUID 7 5 51] x", QUIT}},
    {"at MOVE, and the look is refused",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), LOOK_FOR, "S $T NO", QUIT}},
    {"at MOVE, and the look is answered with nothing at all",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), LOOK_FOR, "S $T OK", QUIT}},
    {"at MOVE, which says OK the next time and does nothing",
     {{MOVE(.err = EIO)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               OPEN("SELECT", "A"), SEEN, MOVE_IT, "S $T OK", SEEN, MOVE_IT, "S $T OK", SEEN,
               QUIT}},
    {"no answer to MOVE in time: it is looked after",
     {{MOVE(.expunged = true)}},
     .timeout = 1000,
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "EOF", "NEW",
               HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), GONE, QUIT}},
    {"no answer in time to that either",
     {{MOVE(.err = ETIMEDOUT)}},
     .timeout = 1000,
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, "EOF", "NEW",
               HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), LOOK_FOR, "EOF", NULL}},
    {"at the look before a COPY",
     {{MOVE(.expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, LOOK_FOR, AGAIN, HELLO("UIDPLUS"),
               OPEN("SELECT", "A"), ROW_OF_5, COPY_IT, "S $T OK", STORE_IT, "S $T OK", EXPUNGE_IT,
               "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"at MOVE, and the mailbox is another one now",
     {{MOVE(.uidvalidity = 7, .err = ESTALE)}},
     .steps = {HELLO("MOVE UIDPLUS"), OPEN("SELECT", "A"), MOVE_IT, AGAIN, HELLO("MOVE UIDPLUS"),
               "C SELECT \"A\"", "S * OK [UIDVALIDITY 8] x", "S $T OK [READ-WRITE] x", QUIT}},
    {"at STORE",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7 5 50] x", STORE_IT, AGAIN, HELLO("UIDPLUS"), OPEN("SELECT", "A"),
               SEEN, STORE_IT, "S $T OK", EXPUNGE_IT, "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"at EXPUNGE, which was done",
     {{MOVE(.new_uid = 50, .expunged = true)}},
     .steps = {HELLO("UIDPLUS"), OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT,
               "S $T OK [COPYUID 7 5 50] x", STORE_IT, "S $T OK", EXPUNGE_IT, AGAIN,
               HELLO("UIDPLUS"), OPEN("SELECT", "A"), GONE, QUIT}},
};

/* ---- all of it ---- */

TEST(moves)
TEST(copies)
TEST(copies_at_once)
TEST(moves_cut)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_copies_at_once),
        cmocka_unit_test(test_moves_cut),
    };
    return cmocka_run_group_tests_name("exec_change", tests, NULL, NULL);
}
