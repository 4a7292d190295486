/* CAPABILITY lists, honest and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/wire/caps.h"

/* Reads a list as it stands behind CAPABILITY. */
static void read_text(struct caps *c, const char *list)
{
    struct arena a = {0};
    struct response r;
    struct buf line = {0};
    buf_addf(&line, "* CAPABILITY %s\r\n", list);
    assert_int_equal(response_parse(&a, line.data, line.len, &r), 0);
    caps_read(c, r.args);
    arena_free(&a);
    buf_free(&line);
}

#define BIT(cap) (UINT32_C(1) << (cap))

enum {
    REV2 = 1 << CAP_IMAP4REV2 | 1 << CAP_SASL_IR | 1 << CAP_LITERAL_MINUS | 1 << CAP_NAMESPACE |
           1 << CAP_UIDPLUS | 1 << CAP_MOVE | 1 << CAP_ESEARCH | 1 << CAP_UNSELECT,
};

static void test_bits(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        uint32_t bits;
    } rows[] = {
        {"", 0},
        {"IMAP4rev1", BIT(CAP_IMAP4REV1)},
        {"imap4REV1 uidplus", BIT(CAP_IMAP4REV1) | BIT(CAP_UIDPLUS)},
        {"IMAP4rev1 STARTTLS LOGINDISABLED",
         BIT(CAP_IMAP4REV1) | BIT(CAP_STARTTLS) | BIT(CAP_LOGINDISABLED)},
        {"LITERAL+", BIT(CAP_LITERAL_PLUS)},
        {"LITERAL-", BIT(CAP_LITERAL_MINUS)},
        {"MOVE ESEARCH CONDSTORE UNSELECT QUOTA LIST-EXTENDED SPECIAL-USE SASL-IR ID NAMESPACE",
         BIT(CAP_MOVE) | BIT(CAP_ESEARCH) | BIT(CAP_CONDSTORE) | BIT(CAP_UNSELECT) |
             BIT(CAP_QUOTA) | BIT(CAP_LIST_EXTENDED) | BIT(CAP_SPECIAL_USE) | BIT(CAP_SASL_IR) |
             BIT(CAP_ID) | BIT(CAP_NAMESPACE)},
        {"COMPRESS=DEFLATE COMPRESS=LZW", BIT(CAP_COMPRESS_DEFLATE)},
        {"UIDPLUS UIDPLUS", BIT(CAP_UIDPLUS)},
        /* Not the same word. */
        {"UIDPLUSX XUIDPLUS UID MOVEMENT QUOTA=RES-STORAGE AUTH=MOVE CREATE-SPECIAL-USE", 0},
        {"\"UIDPLUS\" (MOVE) NIL", 0},
        {"IMAP4rev2", REV2},
        {"IMAP4rev2 IMAP4rev1", REV2 | BIT(CAP_IMAP4REV1)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct caps c;
        memset(&c, 0xff, sizeof c);
        read_text(&c, rows[i].list);
        assert_true(c.known);
        assert_int_equal(c.bits, rows[i].bits);
        for (unsigned k = 0; k < CAP_COUNT; k++)
            assert_int_equal(caps_has(&c, (enum cap)k), rows[i].bits >> k & 1);
    }
}

/* What came before is forgotten: what is offered after login may be less. */
static void test_replaces(void **state)
{
    (void)state;
    struct caps c = {0};
    assert_false(c.known);
    read_text(&c, "IMAP4rev1 MOVE AUTH=PLAIN");
    read_text(&c, "IMAP4rev1 UIDPLUS");
    assert_false(caps_has(&c, CAP_MOVE));
    assert_false(caps_auth(&c, "PLAIN"));
    assert_true(caps_has(&c, CAP_UIDPLUS));
    assert_string_equal(c.text, "IMAP4rev1 UIDPLUS ");
}

static void test_auth(void **state)
{
    (void)state;
    struct caps c;
    read_text(&c, "AUTH=plain IMAP4rev1 AUTH=SCRAM-SHA-256-PLUS auth=CRAM-MD5 AUTH=");
    assert_string_equal(c.mechs, " PLAIN SCRAM-SHA-256-PLUS CRAM-MD5  ");
    assert_true(caps_auth(&c, "PLAIN"));
    assert_true(caps_auth(&c, "Plain"));
    assert_true(caps_auth(&c, "cram-md5"));
    assert_true(caps_auth(&c, "SCRAM-SHA-256-PLUS"));
    assert_false(caps_auth(&c, "SCRAM-SHA-256"));
    assert_false(caps_auth(&c, "SHA-256"));
    assert_false(caps_auth(&c, "LOGIN"));
    assert_false(caps_auth(&c, "PLAI"));
    assert_false(caps_auth(&(struct caps){0}, "PLAIN"));

    struct buf mech = {0};
    for (unsigned i = 0; i < 500; i++)
        buf_addc(&mech, 'A');
    assert_false(caps_auth(&c, buf_str(&mech)));
    buf_free(&mech);
}

/* More than fits is cut between two words, and the rest is still read. */
static void test_long(void **state)
{
    (void)state;
    struct buf list = {0};
    struct caps c;
    for (unsigned i = 0; i < 2000; i++)
        buf_addf(&list, "AUTH=MECHANISM-%u X-SOMETHING-%u ", i, i);
    for (unsigned i = 0; i < 5000; i++)
        buf_addc(&list, 'Y');
    buf_adds(&list, " UIDPLUS");
    read_text(&c, buf_str(&list));
    assert_true(caps_has(&c, CAP_UIDPLUS));
    assert_true(caps_auth(&c, "MECHANISM-0"));
    assert_in_range(strlen(c.mechs), 1, sizeof c.mechs - 1);
    assert_in_range(strlen(c.text), 1, sizeof c.text - 1);
    assert_int_equal(c.mechs[strlen(c.mechs) - 1], ' ');
    assert_int_equal(c.text[strlen(c.text) - 1], ' ');
    buf_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_replaces),
        cmocka_unit_test(test_auth),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests_name("caps", tests, NULL, NULL);
}
