/* What puts a message into a mailbox, and the answer is lost: neither twice nor not at all, and
 * nothing is deleted that may not have arrived. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/wire/msgid.h"
#include "tests/unit/scene.h"

#define FACTS "RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"

/* A row of these facts: "S * 3 FETCH (" ROW(5, 300, "<a@b>"). */
#define ROW(uid, size, id)                                                                         \
    "S * 3 FETCH (UID " #uid " RFC822.SIZE " #size                                                 \
    " BODY[HEADER.FIELDS (MESSAGE-ID)] \"Message-ID: " id "\")"

#define NOTE_IT    "C UID FETCH 5 (" FACTS ")"
#define FACTS_OF_5 NOTE_IT, ROW(5, 300, "<a@b>"), "S $T OK"
#define STATUS_B   "C STATUS \"B\" (UIDNEXT UIDVALIDITY)"
#define WINDOW     STATUS_B, "S * STATUS \"B\" (UIDNEXT 50 UIDVALIDITY 7)", "S $T OK"
#define NOTED      FACTS_OF_5, WINDOW
#define UNNOTED    NOTE_IT, "S $T OK", WINDOW
#define ROW_IT     "C UID FETCH 5 (UID FLAGS)"
#define LOOK_FOR   ROW_IT, "S $T OK", "C UID SEARCH UID 5"
#define LOOKED(flags)                                                                              \
    ROW_IT, "S * 3 FETCH (UID 5 FLAGS (" flags "))", "S $T OK", "C UID SEARCH UID 5",              \
        "S * SEARCH 5", "S $T OK"
#define SEEN     LOOKED("")
#define ROW_OF_5 ROW_IT, "S * 3 FETCH (UID 5 FLAGS ())", "S $T OK"
#define GONE     LOOK_FOR, "S * SEARCH", "S $T OK"
#define COPY_IT  "C UID COPY 5 \"B\""
#define DELETED                                                                                    \
    ROW_IT, "S $T OK", "C UID STORE 5 +FLAGS.SILENT (\\Deleted)", "S $T OK", "C UID EXPUNGE 5",    \
        "S * 3 EXPUNGE", "S $T OK"

/* B is looked into: how far its UIDs are by now, and what is there since. */
#define OPEN_B(uidnext)                                                                            \
    "C EXAMINE \"B\"", "S * 9 EXISTS", "S * OK [UIDVALIDITY 7] x",                                 \
        "S * OK [UIDNEXT " #uidnext "] x", "S $T OK [READ-ONLY] open"
#define SINCE    "C UID FETCH 50:* (UID " FACTS ")"
#define ARRIVED  OPEN_B(51), SINCE, ROW(50, 300, "<a@b>"), "S $T OK"
#define ANYWHERE "C UID SEARCH HEADER MESSAGE-ID \"<a@b>\""
#define NO_ARRIVAL                                                                                 \
    OPEN_B(50), SINCE, ROW(49, 300, "<a@b>"), "S $T OK" /* 50:* names the last one                 \
                                                         */
#define LEAVE "C EXAMINE \"imapfs: no such mailbox, to close the one that is open\"", "S $T NO"
#define IN    HELLO("UIDPLUS")

/* ---- COPY for its own sake ---- */

#define COPY(...)                                                                                  \
    {                                                                                              \
        .kind = OP_COPY, .dest = "B", __VA_ARGS__                                                  \
    }
/* Up to the loss, and the way back to the source. */
#define LOST IN, OPEN("EXAMINE", "A"), NOTED, COPY_IT, AGAIN, IN, OPEN("EXAMINE", "A"), SEEN

static const struct scene copies[] = {
    {"COPYUID",
     {COPY(.new_uid = 50)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTED, COPY_IT, "S $T OK [COPYUID 7 5 50] x", QUIT}},
    {"nothing is known of the message or of where it goes",
     {COPY(.new_uid = 50)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTE_IT, "S $T NO", STATUS_B, "S $T BAD what", COPY_IT,
               "S $T OK [COPYUID 7 5 50] x", QUIT}},
    {"NO",
     {COPY(.err = ENOENT)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTED, COPY_IT, "S $T NO [TRYCREATE] no", QUIT}},
    {"BAD",
     {COPY(.err = EIO)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTED, COPY_IT, "S $T BAD no", QUIT}},
    {"OK without COPYUID: it was there before",
     {COPY()},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTED, COPY_IT, "S $T OK", QUIT}},
    {"OK without COPYUID: it is gone",
     {COPY(.err = ENOENT)},
     .steps = {IN, OPEN("EXAMINE", "A"), UNNOTED, COPY_IT, "S $T OK", NOTE_IT, "S $T OK", GONE,
               QUIT}},
    {"COPYUID of empty sets: it is gone",
     {COPY(.err = ENOENT)},
     .steps = {IN, OPEN("EXAMINE", "A"), UNNOTED, COPY_IT, "S $T OK [COPYUID 7  ] x", NOTE_IT,
               "S $T OK", GONE, QUIT}},
    {"COPYUID of another message: it is gone",
     {COPY(.err = ENOENT)},
     .steps = {IN, OPEN("EXAMINE", "A"), UNNOTED, COPY_IT, "S $T OK [COPYUID 7 6 50] x", NOTE_IT,
               "S $T OK", GONE, QUIT}},
    {"OK without COPYUID and without a row, and the look is refused",
     {COPY(.err = EACCES)},
     .steps = {IN, OPEN("EXAMINE", "A"), UNNOTED, COPY_IT, "S $T OK", NOTE_IT, "S $T OK", LOOK_FOR,
               "S $T NO [NOPERM] no", QUIT}},
    {"OK without COPYUID and without a row: it is there, and has arrived",
     {COPY(.new_uid = 50)},
     .steps = {IN, OPEN("EXAMINE", "A"), UNNOTED, COPY_IT, "S $T OK", FACTS_OF_5, SEEN, ARRIVED,
               LEAVE, QUIT}},
    {"OK without COPYUID and without a row: it is there, and has not arrived",
     {COPY(.new_uid = 51)},
     .steps = {IN, OPEN("EXAMINE", "A"), UNNOTED, COPY_IT, "S $T OK", FACTS_OF_5, SEEN, NO_ARRIVAL,
               OPEN("EXAMINE", "A"), ROW_OF_5, COPY_IT, "S $T OK [COPYUID 7 5 51] x", QUIT}},
    {"OK without COPYUID and without a row: it is there, and nobody can tell",
     {COPY(.err = EIO)},
     .steps = {IN, OPEN("EXAMINE", "A"), UNNOTED, COPY_IT, "S $T OK", FACTS_OF_5, SEEN, OPEN_B(51),
               SINCE, ROW(50, 299, "<a@b>"), "S $T OK", LEAVE, QUIT}},
    {"without UIDPLUS: seen, and copied",
     {COPY()},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), NOTED, SEEN, COPY_IT, "S $T OK", QUIT}},
    {"without UIDPLUS: it is gone, and nothing is copied in its place", /* mailutils */
     {COPY(.err = ENOENT)},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), UNNOTED, GONE, GONE, QUIT}},
    {"without UIDPLUS: the look is refused",
     {COPY(.err = EACCES)},
     .steps = {HELLO(""), OPEN("EXAMINE", "A"), UNNOTED, LOOK_FOR, "S $T NO [NOPERM] no", QUIT}},
};

#define SILENT IN, OPEN("EXAMINE", "A"), NOTED, COPY_IT, "EOF", "NEW", IN

static const struct scene copies_cut[] = {
    {"at EXAMINE",
     {COPY(.new_uid = 50)},
     .steps = {IN, "C EXAMINE \"A\"", AGAIN, IN, OPEN("EXAMINE", "A"), NOTED, COPY_IT,
               "S $T OK [COPYUID 7 5 50] x", QUIT}},
    {"it arrived", {COPY(.new_uid = 50)}, .steps = {LOST, ARRIVED, LEAVE, QUIT}},
    {"it did not",
     {COPY(.new_uid = 51)},
     .steps = {LOST, NO_ARRIVAL, OPEN("EXAMINE", "A"), ROW_OF_5, COPY_IT,
               "S $T OK [COPYUID 7 5 51] x", QUIT}},
    {"it had not yet",
     {COPY(.new_uid = 50)},
     .settle = 1500,
     .steps = {LOST, NO_ARRIVAL, LEAVE, OPEN("EXAMINE", "A"), SEEN, ARRIVED, LEAVE, QUIT}},
    {"it did not, and is lost again, and arrived",
     {COPY(.new_uid = 51)},
     .steps = {LOST, NO_ARRIVAL, OPEN("EXAMINE", "A"), ROW_OF_5, COPY_IT, AGAIN, IN,
               OPEN("EXAMINE", "A"), SEEN, OPEN_B(52), SINCE, ROW(51, 300, "<a@b>"), "S $T OK",
               LEAVE, QUIT}},
    {"it did not, twice",
     {COPY(.err = EIO)},
     .steps = {LOST, NO_ARRIVAL, OPEN("EXAMINE", "A"), ROW_OF_5, COPY_IT, AGAIN, IN,
               OPEN("EXAMINE", "A"), SEEN, NO_ARRIVAL, LEAVE, QUIT}},
    {"it may be among those that are not told",
     {COPY(.err = EIO)},
     .steps = {LOST, OPEN_B(52), SINCE, ROW(51, 300, "<a@c>"), "S $T OK [MESSAGELIMIT 1 51] x",
               LEAVE, QUIT}},
    {"others arrived",
     {COPY(.new_uid = 52)},
     .steps = {LOST, OPEN_B(52), SINCE, ROW(50, 300, "<a@c>"), ROW(51, 300, ""), "S $T OK",
               OPEN("EXAMINE", "A"), ROW_OF_5, COPY_IT, "S $T OK [COPYUID 7 5 52] x", QUIT}},
    {"it arrived among others",
     {COPY(.new_uid = 51)},
     .steps = {LOST, OPEN_B(52), SINCE, ROW(50, 300, "<a@c>"), ROW(51, 300, "<a@b>"),
               "S * 3 FETCH (UID 51 FLAGS (\\Seen))", "S $T OK", LEAVE, QUIT}},
    {"twice the same row",
     {COPY(.new_uid = 50)},
     .steps = {LOST, OPEN_B(51), SINCE, ROW(50, 300, "<a@b>"), ROW(50, 300, "<a@b>"), "S $T OK",
               LEAVE, QUIT}},
    {"two of them arrived",
     {COPY(.err = EIO)},
     .steps = {LOST, OPEN_B(52), SINCE, ROW(50, 300, "<a@b>"), ROW(51, 300, "<a@b>"), "S $T OK",
               LEAVE, QUIT}},
    {"one of another size arrived",
     {COPY(.err = EIO)},
     .steps = {LOST, OPEN_B(51), SINCE, ROW(50, 299, "<a@b>"), "S $T OK", LEAVE, QUIT}},
    {"one arrived of which half is told",
     {COPY(.err = EIO)},
     .steps = {LOST, OPEN_B(51), SINCE, "S * 9 FETCH (UID 50 RFC822.SIZE 300)", "S $T OK", LEAVE,
               QUIT}},
    {"something arrived of which nothing is told",
     {COPY(.err = EIO)},
     .steps = {LOST, OPEN_B(51), SINCE, "S $T OK", LEAVE, QUIT}},
    {"another UIDVALIDITY",
     {COPY(.err = EIO)},
     .steps = {LOST, "C EXAMINE \"B\"", "S * OK [UIDVALIDITY 8] x", "S * OK [UIDNEXT 50] x",
               "S $T OK", SINCE, "S $T OK", LEAVE, QUIT}},
    {"no UIDVALIDITY any more",
     {COPY(.err = EIO)},
     .steps = {LOST, "C EXAMINE \"B\"", "S $T OK", SINCE, "S $T OK", LEAVE, QUIT}},
    {"where it went is gone",
     {COPY(.err = ENOENT)},
     .steps = {LOST, "C EXAMINE \"B\"", "S $T NO [NONEXISTENT] x", SINCE, "S $T BAD x", LEAVE,
               QUIT}},
    {"the look is refused",
     {COPY(.err = EIO)},
     .steps = {LOST, OPEN_B(51), SINCE, "S $T NO x", LEAVE, QUIT}},
    {"the message is gone",
     {COPY(.err = ENOENT)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTED, COPY_IT, AGAIN, IN, OPEN("EXAMINE", "A"), GONE,
               QUIT}},
    {"the mailbox it is in is another one",
     {COPY(.uidvalidity = 7, .err = ESTALE)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTED, COPY_IT, AGAIN, IN, "C EXAMINE \"A\"",
               "S * OK [UIDVALIDITY 8] x", "S $T OK", QUIT}},
    {"again while it is looked for",
     {COPY(.new_uid = 50)},
     .steps = {LOST, OPEN_B(51), SINCE, AGAIN, IN, OPEN("EXAMINE", "A"), SEEN, ARRIVED, LEAVE,
               QUIT}},
    {"before anything was answered: it is nowhere",
     {COPY(.new_uid = 50)},
     .steps = {IN,
               OPEN("EXAMINE", "A"),
               NOTE_IT,
               STATUS_B,
               COPY_IT,
               AGAIN,
               IN,
               OPEN("EXAMINE", "A"),
               FACTS_OF_5,
               SEEN,
               OPEN_B(50),
               ANYWHERE,
               "S * SEARCH",
               "S $T OK",
               OPEN("EXAMINE", "A"),
               WINDOW,
               ROW_OF_5,
               COPY_IT,
               "S $T OK [COPYUID 7 5 50] x",
               QUIT}},
    {"before anything was answered: one is there",
     {COPY(.err = EIO)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTE_IT, STATUS_B, COPY_IT, AGAIN, IN,
               OPEN("EXAMINE", "A"), FACTS_OF_5, SEEN, OPEN_B(50), ANYWHERE, "S * SEARCH 3",
               "S $T OK", LEAVE, QUIT}},
    {"before anything was answered, and the search is answered with nothing at all",
     {COPY(.err = EIO)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTE_IT, STATUS_B, COPY_IT, AGAIN, IN,
               OPEN("EXAMINE", "A"), FACTS_OF_5, SEEN, OPEN_B(50), ANYWHERE, "S $T OK", LEAVE,
               QUIT}},
    {"neither Message-ID nor UIDNEXT",
     {COPY(.err = EIO)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTE_IT, ROW(5, 300, ""), "S $T OK", STATUS_B,
               "S * STATUS B (UIDNEXT 0 UIDVALIDITY 7)", "S $T OK", COPY_IT, AGAIN, IN,
               OPEN("EXAMINE", "A"), SEEN, QUIT}},
    {"no Message-ID, and nothing arrived",
     {COPY(.new_uid = 50)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTE_IT, ROW(5, 300, ""), "S $T OK", WINDOW, COPY_IT,
               AGAIN, IN, OPEN("EXAMINE", "A"), SEEN, NO_ARRIVAL, OPEN("EXAMINE", "A"), ROW_OF_5,
               COPY_IT, "S $T OK [COPYUID 7 5 50] x", QUIT}},
    {"no Message-ID, and something arrived",
     {COPY(.err = EIO)},
     .steps = {IN, OPEN("EXAMINE", "A"), NOTE_IT, ROW(5, 300, ""), "S $T OK", WINDOW, COPY_IT,
               AGAIN, IN, OPEN("EXAMINE", "A"), SEEN, OPEN_B(51), SINCE, ROW(50, 300, ""),
               "S $T OK", LEAVE, QUIT}},
    {"no answer in time: it is looked for all the same",
     {COPY(.new_uid = 50)},
     .timeout = 1000,
     .steps = {SILENT, OPEN("EXAMINE", "A"), SEEN, ARRIVED, LEAVE, QUIT}},
    {"no answer in time, and it did not arrive: the server may be at it still",
     {COPY(.err = ETIMEDOUT)},
     .timeout = 1000,
     .steps = {SILENT, OPEN("EXAMINE", "A"), SEEN, NO_ARRIVAL, LEAVE, QUIT}},
    {"no answer in time, and it had not arrived yet",
     {COPY(.new_uid = 50)},
     .timeout = 3000,
     .settle = 1500,
     .steps = {SILENT, OPEN("EXAMINE", "A"), SEEN, NO_ARRIVAL, LEAVE, OPEN("EXAMINE", "A"), SEEN,
               ARRIVED, LEAVE, QUIT}},
};

/* ---- COPY as the first half of a move ---- */

#define MOVE(...)                                                                                  \
    {                                                                                              \
        .kind = OP_MOVE, .dest = "B", __VA_ARGS__                                                  \
    }
#define MOVE_LOST                                                                                  \
    IN, OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, AGAIN, IN, OPEN("SELECT", "A"), SEEN

static const struct scene moves_cut[] = {
    {"while it is asked what will be needed",
     {MOVE(.new_uid = 50, .expunged = true)},
     .steps = {IN, OPEN("SELECT", "A"), NOTE_IT, AGAIN, IN, OPEN("SELECT", "A"), NOTED, SEEN,
               COPY_IT, "S $T OK [COPYUID 7 5 50] x", DELETED, QUIT}},
    {"it arrived",
     {MOVE(.new_uid = 50, .expunged = true)},
     .steps = {MOVE_LOST, ARRIVED, OPEN("SELECT", "A"), SEEN, DELETED, QUIT}},
    {"it did not",
     {MOVE(.new_uid = 50, .expunged = true)},
     .steps = {MOVE_LOST, NO_ARRIVAL, OPEN("SELECT", "A"), ROW_OF_5, COPY_IT,
               "S $T OK [COPYUID 7 5 50] x", DELETED, QUIT}},
    {"it did not, twice: nothing is deleted",
     {MOVE(.err = EIO)},
     .steps = {MOVE_LOST, NO_ARRIVAL, OPEN("SELECT", "A"), ROW_OF_5, COPY_IT, AGAIN, IN,
               OPEN("SELECT", "A"), SEEN, NO_ARRIVAL, LEAVE, QUIT}},
    {"no answer in time, and it did not: nothing is copied again, nothing is deleted",
     {MOVE(.err = ETIMEDOUT)},
     .timeout = 1000,
     .steps = {IN, OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, "EOF", "NEW", IN, OPEN("SELECT", "A"),
               SEEN, NO_ARRIVAL, LEAVE, QUIT}},
    {"it arrived, and the connection is lost once more",
     {MOVE(.new_uid = 50, .expunged = true)},
     .steps = {MOVE_LOST, ARRIVED, "C SELECT \"A\"", AGAIN, IN, OPEN("SELECT", "A"), SEEN, DELETED,
               QUIT}},
    {"it arrived, and the message is another one by now",
     {MOVE(.uidvalidity = 7, .new_uid = 50, .err = ESTALE)},
     .steps = {MOVE_LOST, ARRIVED, "C SELECT \"A\"", "S * OK [UIDVALIDITY 8] x", "S $T OK", QUIT}},
    {"two arrived: nothing is deleted",
     {MOVE(.err = EIO)},
     .steps = {MOVE_LOST, OPEN_B(52), SINCE, ROW(50, 300, "<a@b>"), ROW(51, 300, "<a@b>"),
               "S $T OK", LEAVE, QUIT}},
    {"another UIDVALIDITY: nothing is deleted",
     {MOVE(.err = EIO)},
     .steps = {MOVE_LOST, "C EXAMINE \"B\"", "S * OK [UIDVALIDITY 8] x", "S $T OK", SINCE,
               ROW(50, 300, "<a@b>"), "S $T OK", LEAVE, QUIT}},
    {"no Message-ID: nothing is deleted",
     {MOVE(.err = EIO)},
     .steps = {IN, OPEN("SELECT", "A"), NOTE_IT, ROW(5, 300, "broken"), "S $T OK", WINDOW, SEEN,
               COPY_IT, AGAIN, IN, OPEN("SELECT", "A"), SEEN, OPEN_B(51), SINCE,
               ROW(50, 300, "broken"), "S $T OK", LEAVE, QUIT}},
    {"the message is gone",
     {MOVE(.err = ENOENT)},
     .steps = {IN, OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, AGAIN, IN, OPEN("SELECT", "A"), GONE,
               QUIT}},
    {"the server does not answer SEARCH",
     {MOVE(.err = EIO)},
     .steps = {IN, OPEN("SELECT", "A"), NOTED, SEEN, COPY_IT, AGAIN, IN, OPEN("SELECT", "A"),
               LOOK_FOR, "S $T OK", QUIT}},
};

/* ---- APPEND ---- */

#define MESSAGE "From: me\r\nmessage-id:\r\n <a@b>\r\nSubject: x\r\n\r\nhi\r\n" /* 49 bytes */
#define APPEND(...)                                                                                \
    {                                                                                              \
        .kind = OP_APPEND, .mailbox = "B", .append = MESSAGE, __VA_ARGS__                          \
    }
#define THE_BYTES          "L From: me", "L message-id:", "L  <a@b>", "L Subject: x", "L ", "L hi", "L "
#define APPEND_IT(n)       "C APPEND \"B\" () \"01-Jan-1970 00:00:00 +0000\" {" n "}"
#define ANNOUNCED          APPEND_IT("49"), "S + go on", THE_BYTES
#define AT_ONCE            APPEND_IT("49+"), THE_BYTES
#define PLUS               HELLO("UIDPLUS LITERAL+")
#define B_SINCE(uid, size) OPEN_B(51), SINCE, ROW(uid, size, "<a@b>"), "S $T OK"
#define STORED             "S $T OK [APPENDUID 7 50] x"

static const struct scene appends[] = {
    {"LITERAL+", {APPEND(.new_uid = 50)}, .steps = {PLUS, WINDOW, AT_ONCE, STORED, QUIT}},
    {"flags",
     {APPEND(.new_uid = 50, .text = "\\Seen \\Draft")},
     .steps = {PLUS, WINDOW, "C APPEND \"B\" (\\Seen \\Draft) \"01-Jan-1970 00:00:00 +0000\" {49+}",
               THE_BYTES, STORED, QUIT}},
    {"LITERAL-",
     {APPEND(.new_uid = 50)},
     .steps = {HELLO("UIDPLUS LITERAL-"), WINDOW, AT_ONCE, STORED, QUIT}},
    {"LITERAL- and 4097 bytes",
     {APPEND(.new_uid = 50, .append_more = 4048)},
     .steps = {HELLO("UIDPLUS LITERAL-"), WINDOW, APPEND_IT("4097"), "S + go on", "P From",
               "P mess", "P  <a@b>", "P Subj", "L ", "L hi", "P xxxxx", STORED, QUIT}},
    {"LITERAL- and 4096 bytes",
     {APPEND(.new_uid = 50, .append_more = 4047)},
     .steps = {HELLO("UIDPLUS LITERAL-"), WINDOW, APPEND_IT("4096+"), "P From", "P mess",
               "P  <a@b>", "P Subj", "L ", "L hi", "P xxxxx", STORED, QUIT}},
    {"LITERAL+ and more than may go unasked",
     {APPEND(.err = EFBIG, .append_more = 1000000)},
     .steps = {PLUS, WINDOW, APPEND_IT("1000049"), "S $T NO [TOOBIG] no", QUIT}},
    {"neither", {APPEND(.new_uid = 50)}, .steps = {IN, WINDOW, ANNOUNCED, STORED, QUIT}},
    {"a bare plus, and one more than was asked for",
     {APPEND(.new_uid = 50)},
     .steps = {IN, WINDOW, APPEND_IT("49"), "S +", "S + go on", THE_BYTES, STORED, QUIT}},
    {"a plus that nobody asked for",
     {APPEND(.new_uid = 50)},
     .steps = {PLUS, WINDOW, APPEND_IT("49+"), "S + go on", THE_BYTES, STORED, QUIT}},
    {"no APPENDUID", {APPEND()}, .steps = {HELLO(""), WINDOW, ANNOUNCED, "S $T OK", QUIT}},
    {"APPENDUID that makes no sense",
     {APPEND()},
     .steps = {IN, WINDOW, ANNOUNCED, "S $T OK [APPENDUID 7 50:51] x", QUIT}},
    {"APPENDUID for another command",
     {APPEND()},
     .steps = {IN, STATUS_B, "S $T OK [APPENDUID 7 9] x", ANNOUNCED, "S $T OK", QUIT}},
    {"APPENDUID untagged",
     {APPEND()},
     .steps = {IN, WINDOW, ANNOUNCED, "S * OK [APPENDUID 7 9] x", "S $T OK", QUIT}},
    {"STATUS refused",
     {APPEND(.new_uid = 50)},
     .steps = {IN, STATUS_B, "S $T NO", ANNOUNCED, STORED, QUIT}},
    {"another command behind it waits for the end",
     {APPEND(.new_uid = 50), {.kind = OP_CREATE, .mailbox = "C"}},
     .steps = {PLUS, WINDOW, AT_ONCE, STORED, "C LIST \"\" \"C\"", "S $T OK", "C CREATE \"C\"",
               "S $T OK", "C SUBSCRIBE \"C\"", "S $T OK", QUIT}},
    {"no such mailbox",
     {APPEND(.err = ENOENT)},
     .steps = {IN, STATUS_B, "S $T NO", APPEND_IT("49"), "S $T NO [TRYCREATE] no", QUIT}},
    {"over quota, and the bytes are on their way",
     {APPEND(.err = EDQUOT)},
     .steps = {PLUS, WINDOW, AT_ONCE, "S $T NO [OVERQUOTA] no", QUIT}},
    {"over quota before the bytes",
     {APPEND(.err = EDQUOT), {.kind = OP_CREATE, .mailbox = "C"}},
     .steps = {PLUS, WINDOW, APPEND_IT("49+"), "S $T NO [OVERQUOTA] no", THE_BYTES,
               "C LIST \"\" \"C\"", "S $T OK", "C CREATE \"C\"", "S $T OK", "C SUBSCRIBE \"C\"",
               "S $T OK", QUIT}},
    {"too many",
     {APPEND(.err = EFBIG)},
     .steps = {IN, WINDOW, ANNOUNCED, "S $T NO [LIMIT] no", QUIT}},
    {"BAD [TOOBIG]",
     {APPEND(.err = EFBIG)}, /* Gmail */
     .steps = {IN, WINDOW, ANNOUNCED, "S $T BAD [TOOBIG] no", QUIT}},
    {"BAD", {APPEND(.err = EIO)}, .steps = {IN, WINDOW, APPEND_IT("49"), "S $T BAD what", QUIT}},
};

/* Three times as long as the timeout, of which the client sees little: the kernel takes it all. */
static const struct scene appends_slow[] = {
    {"a slow line is no silence",
     {APPEND(.new_uid = 50, .append_more = 2000000)},
     .timeout = 1000,
     .steps = {IN, WINDOW, APPEND_IT("2000049"), "S + go on", "K 2000049 150", "L ", STORED, QUIT}},
    {"a line on which nothing moves is",
     {APPEND(.err = ETIMEDOUT, .append_more = 2000000)},
     .timeout = 1000,
     .steps = {IN, WINDOW, APPEND_IT("2000049"), "S + go on", "K 200000 10", "HOLD", IN, NO_ARRIVAL,
               LEAVE, QUIT}},
};

static const struct scene appends_cut[] = {
    {"at STATUS",
     {APPEND(.new_uid = 50)},
     .steps = {IN, STATUS_B, AGAIN, IN, WINDOW, ANNOUNCED, STORED, QUIT}},
    {"before the server wanted it",
     {APPEND(.new_uid = 50)},
     .steps = {IN, WINDOW, APPEND_IT("49"), AGAIN, IN, ANNOUNCED, STORED, QUIT}},
    {"in the middle of it",
     {APPEND(.new_uid = 50)},
     .steps = {IN, WINDOW, APPEND_IT("49"), "S + go on", "L From: me", AGAIN, IN, NO_ARRIVAL, LEAVE,
               ANNOUNCED, STORED, QUIT}},
    {"it arrived",
     {APPEND(.new_uid = 50)},
     .steps = {PLUS, WINDOW, AT_ONCE, AGAIN, PLUS, B_SINCE(50, 49), LEAVE, QUIT}},
    {"it did not",
     {APPEND(.new_uid = 50)},
     .steps = {PLUS, WINDOW, AT_ONCE, AGAIN, PLUS, NO_ARRIVAL, LEAVE, AT_ONCE, STORED, QUIT}},
    {"it had not yet",
     {APPEND(.new_uid = 50)},
     .settle = 1500,
     .steps = {PLUS, WINDOW, AT_ONCE, AGAIN, PLUS, NO_ARRIVAL, LEAVE, B_SINCE(50, 49), LEAVE,
               QUIT}},
    {"it did not, twice",
     {APPEND(.err = EIO)},
     .steps = {PLUS, WINDOW, AT_ONCE, AGAIN, PLUS, NO_ARRIVAL, LEAVE, AT_ONCE, AGAIN, PLUS,
               NO_ARRIVAL, LEAVE, QUIT}},
    {"one of another size is there",
     {APPEND(.err = EIO)},
     .steps = {PLUS, WINDOW, AT_ONCE, AGAIN, PLUS, B_SINCE(50, 50), LEAVE, QUIT}},
    {"no UIDNEXT, and it is nowhere",
     {APPEND(.new_uid = 50)},
     .steps = {PLUS, STATUS_B, "S $T OK", AT_ONCE, AGAIN, PLUS, OPEN_B(50), ANYWHERE, "S * SEARCH",
               "S $T OK", LEAVE, WINDOW, AT_ONCE, STORED, QUIT}},
    {"no UIDNEXT, and one is there",
     {APPEND(.err = EIO)},
     .steps = {PLUS, STATUS_B, "S $T OK", AT_ONCE, AGAIN, PLUS, OPEN_B(50), ANYWHERE,
               "S * SEARCH 9", "S $T OK", LEAVE, QUIT}},
    {"the mailbox is another one",
     {APPEND(.err = EIO)},
     .steps = {PLUS, WINDOW, AT_ONCE, AGAIN, PLUS, "C EXAMINE \"B\"", "S * OK [UIDVALIDITY 9] x",
               "S $T OK", SINCE, "S $T OK", LEAVE, QUIT}},
    {"while it is looked for",
     {APPEND(.new_uid = 50)},
     .steps = {PLUS, WINDOW, AT_ONCE, AGAIN, PLUS, OPEN_B(51), AGAIN, PLUS, B_SINCE(50, 49), LEAVE,
               QUIT}},
    {"no answer in time, and it arrived",
     {APPEND(.new_uid = 50)},
     .timeout = 1000,
     .steps = {PLUS, WINDOW, AT_ONCE, "EOF", "NEW", PLUS, B_SINCE(50, 49), LEAVE, QUIT}},
    {"no answer in time, and it did not",
     {APPEND(.err = ETIMEDOUT)},
     .timeout = 1000,
     .steps = {PLUS, WINDOW, AT_ONCE, "EOF", "NEW", PLUS, NO_ARRIVAL, LEAVE, QUIT}},
    {"no plus in time: not a byte of it was sent",
     {APPEND(.new_uid = 50)},
     .timeout = 1000,
     .steps = {IN, WINDOW, APPEND_IT("49"), "EOF", "NEW", IN, ANNOUNCED, STORED, QUIT}},
};

/* ---- the Message-ID ---- */

static void test_message_id(void **state)
{
    static const struct {
        const char *message, *id; /* NULL: none */
    } rows[] = {
        {"Message-ID: <a@b>\r\n\r\n", "<a@b>"},
        {"MESSAGE-ID:<a@b>\n\n", "<a@b>"},
        {"Message-ID: <a@b>", "<a@b>"},
        {"From: x\r\nMessage-Id:\r\n\t <a@b> (comment)\r\n\r\n", "<a@b>"},
        {"From: <x@y>\r\n\r\nMessage-ID: <a@b>\r\n", NULL}, /* in the text */
        {"From: x\r\n Message-ID: <a@b>\r\n\r\n", NULL},    /* of another field */
        {"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n", "<a@b>"},
        {"X-Message-ID: <a@b>\r\n\r\n", NULL},
        {"Message-ID: a@b\r\n\r\n", NULL},
        {"Message-ID: <>\r\n\r\n", NULL},
        {"Message-ID: <a b>\r\n\r\n", NULL},
        {"Message-ID: <a\r\n b>\r\n\r\n", NULL},
        {"Message-ID: <\xc3\xa4@b>\r\n\r\n", NULL},
        {"Message-ID: <a@b\r\n\r\n", NULL},
        {"Message-ID:\r\n\r\n<a@b>", NULL},
        {"Message-ID", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf id = {0};
        struct str message = {rows[i].message, strlen(rows[i].message)};
        bool found = msgid_find(message, &id);
        if (found != (rows[i].id != NULL) || strcmp(buf_str(&id), found ? rows[i].id : "") != 0)
            fail_msg("%s: %s", rows[i].message, buf_str(&id));
        buf_free(&id);
    }
}

TEST(copies)
TEST(copies_cut)
TEST(moves_cut)
TEST(appends)
TEST(appends_cut)
TEST(appends_slow)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_id),   cmocka_unit_test(test_copies),
        cmocka_unit_test(test_copies_cut),   cmocka_unit_test(test_moves_cut),
        cmocka_unit_test(test_appends),      cmocka_unit_test(test_appends_cut),
        cmocka_unit_test(test_appends_slow),
    };
    return cmocka_run_group_tests_name("exec_arrival", tests, NULL, NULL);
}
