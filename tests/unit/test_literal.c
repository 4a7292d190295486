/* Mailbox names on the wire: quoted where that is allowed, else as literals where the server takes
 * them unasked (RFC 7888). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scene.h"

#define AE   "\xc3\xa4" /* 2 bytes */
#define X16  "xxxxxxxxxxxxxxxx"
#define X256 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16
#define X4080                                                                                      \
    X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X16 X16 X16 X16 X16 \
        X16 X16 X16 X16 X16 X16 X16 X16 X16 X16

#define OPENED      "S * 9 EXISTS", "S * OK [UIDVALIDITY 7] x", "S $T OK [READ-WRITE] open"
#define ASKED       "C UID SEARCH ALL", "S * SEARCH 3", "S $T OK"
#define SEARCH(...) .kind = OP_SEARCH, .text = "ALL", .found = "3", .mailbox = __VA_ARGS__

static const struct scene names[] = {
    {"ASCII stays quoted, whatever is in it",
     {{SEARCH("a \"b\" \\c&AOQ-\x01\x7f")}},
     .steps = {HELLO("LITERAL+"), "C EXAMINE \"a \\\"b\\\" \\\\c&AOQ-\x01\x7f\"", OPENED, ASKED,
               QUIT}},
    {"LITERAL+",
     {{SEARCH("n" AE)}},
     .steps = {HELLO("LITERAL+"), "C EXAMINE {3+}", "L n" AE, OPENED, ASKED, QUIT}},
    {"LITERAL+, and more behind it",
     {{SEARCH("n" AE " \"\\")}},
     .steps = {HELLO("LITERAL+ CONDSTORE"), "C EXAMINE {6+}", "L n" AE " \"\\ (CONDSTORE)", OPENED,
               ASKED, QUIT}},
    {"LITERAL-",
     {{SEARCH("n" AE)}},
     .steps = {HELLO("LITERAL-"), "C EXAMINE {3+}", "L n" AE, OPENED, ASKED, QUIT}},
    {"IMAP4rev2, which has LITERAL-",
     {{SEARCH("n" AE)}},
     .steps = {HELLO("IMAP4rev2"), "P A2 NAMESPACE", "S A2 OK", "C EXAMINE {3+}", "L n" AE, OPENED,
               "C UID SEARCH RETURN (ALL) ALL", "S * ESEARCH (TAG \"$T\") UID ALL 3", "S $T OK",
               QUIT}},
    {"LITERAL-, as long as may be",
     {{SEARCH(AE X4080 "12345678901234")}},
     .steps = {HELLO("LITERAL-"), "C EXAMINE {4096+}", "L " AE X4080 "12345678901234", OPENED,
               ASKED, QUIT}},
    {"LITERAL-, too long",
     {{SEARCH(AE X4080 "123456789012345")}},
     .steps = {HELLO("LITERAL-"), "C EXAMINE \"" AE X4080 "123456789012345\"", OPENED, ASKED,
               QUIT}},
    {"LITERAL+, of any length",
     {{SEARCH(AE X4080 "123456789012345")}},
     .steps = {HELLO("LITERAL+"), "C EXAMINE {4097+}", "L " AE X4080 "123456789012345", OPENED,
               ASKED, QUIT}},
    {"neither",
     {{SEARCH("n" AE "\"")}},
     .steps = {HELLO(""), "C EXAMINE \"n" AE "\\\"\"", OPENED, ASKED, QUIT}},
};

static const struct scene commands[] = {
    {"CREATE",
     {{.kind = OP_CREATE, .mailbox = AE}},
     .steps = {HELLO("LITERAL+"), "C LIST \"\" {2+}", "L " AE, "S $T OK", "C CREATE {2+}", "L " AE,
               "S $T OK", "C SUBSCRIBE {2+}", "L " AE, "S $T OK", QUIT}},
    {"RENAME, one of the two",
     {{.kind = OP_RENAME, .mailbox = AE, .dest = "B", .delim = '/'}},
     .steps = {HELLO("LITERAL+"), "C RENAME {2+}", "L " AE " \"B\"", "S $T OK", "C SUBSCRIBE \"B\"",
               "S $T OK", "C UNSUBSCRIBE {2+}", "L " AE, "S $T OK", QUIT}},
    {"RENAME, both",
     {{.kind = OP_RENAME, .mailbox = AE, .dest = AE "/x", .delim = '/'}},
     .steps = {HELLO("LITERAL+"), "C RENAME {2+}", "L " AE " {4+}", "L " AE "/x", "S $T OK",
               "C SUBSCRIBE {4+}", "L " AE "/x", "S $T OK", "C UNSUBSCRIBE {2+}", "L " AE,
               "S $T OK", QUIT}},
    {"DELETE, and the looks before",
     {{.kind = OP_REMOVE, .mailbox = AE, .delim = '/'}},
     .steps = {HELLO("LITERAL+"), "C LIST \"\" {2+}", "L " AE, "C LIST \"\" {4+}", "L " AE "/%",
               "C STATUS {2+}", "L " AE " (MESSAGES)", "R * LIST () \"/\" {2}\r\n" AE "\r\n",
               "S A2 OK", "S A3 OK", "R * STATUS {2}\r\n" AE " (MESSAGES 0)\r\n", "S A4 OK",
               "C DELETE {2+}", "L " AE, "S $T OK", "C UNSUBSCRIBE {2+}", "L " AE, "S $T OK",
               QUIT}},
    {"MOVE",
     {{.kind = OP_MOVE, .dest = AE, .new_uid = 50, .expunged = true}},
     .steps = {HELLO("LITERAL+ MOVE UIDPLUS"), OPEN("SELECT", "A"), "C UID MOVE 5 {2+}", "L " AE,
               "S * OK [COPYUID 7 5 50] moved", "S * 3 EXPUNGE", "S $T OK", QUIT}},
    {"GETQUOTAROOT",
     {{.kind = OP_QUOTA, .mailbox = AE}},
     .steps = {HELLO("LITERAL+ QUOTA"), "C GETQUOTAROOT {2+}", "L " AE, "S $T OK", QUIT}},
};

/* What a server says cannot end a line of ours. */
static const struct scene hostile[] = {
    {"line breaks that are called delimiters",
     {{.kind = OP_LIST, .list = "a- b- c/ "}},
     .steps = {HELLO(""), "C LIST \"\" \"*\"", "R * LIST () {1}\r\n\n a\r\n",
               "R * LIST () {1}\r\n\r b\r\n", "S * LIST () \"/\" c", "S $T OK", QUIT}},
};

TEST(names)
TEST(commands)
TEST(hostile)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests_name("literal", tests, NULL, NULL);
}
