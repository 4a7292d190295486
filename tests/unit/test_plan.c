/* What a look at a folder has a sync ask for: a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stub_pool.h"

/* Known are the messages 1..3 under UIDVALIDITY 7, so UIDNEXT 4; with `known` as MODSEQ. */
struct plan {
    const char *name;
    uint64_t known;
    unsigned hints; /* CHANGE_... bits */
    struct mailbox_state now;
    const char *asked; /* in that order: N(ew) F(lags) U(IDs) */
    uint32_t rows;     /* so many messages, from UID 1 on, are described to who asks for new ones */
};

/* The mailbox as NOOP tells of it, and as SELECT does. */
#define NOOP(next, n) .now = {.uidvalidity = 7, .uidnext = (next), .exists = (n)}
#define SELECT(validity, next, n, ...)                                                             \
    .now = {.uidvalidity = (validity),                                                             \
            .uidnext = (next),                                                                     \
            .exists = (n),                                                                         \
            .fresh = true,                                                                         \
            .current = true,                                                                       \
            __VA_ARGS__}

static const struct plan plans[] = {
    {"nothing is new", NOOP(4, 3), .asked = ""},
    {"a server without UIDNEXT", NOOP(0, 3), .asked = ""},
    {"only to be looked at", .hints = CHANGE_POLL, NOOP(4, 3), .asked = ""},
    {"one more message", NOOP(5, 4), .asked = "N", .rows = 4},
    {"one more, which is not there any more", NOOP(5, 4), .asked = "NU"},
    {"one message less", NOOP(4, 2), .asked = "U"},
    {"arrivals were heard of", .hints = CHANGE_EXISTS, NOOP(4, 3), .asked = "N"},
    {"expunges were heard of", .hints = CHANGE_EXPUNGE, NOOP(4, 3), .asked = "U"},
    {"flags were heard of", .hints = CHANGE_FLAGS, NOOP(4, 3), .asked = "F"},
    {"flags of no message", .hints = CHANGE_FLAGS, NOOP(4, 0), .asked = "U"},
    {"all at once", .hints = CHANGE_EXISTS | CHANGE_EXPUNGE | CHANGE_FLAGS, NOOP(4, 3),
     .asked = "NFU"},

    {"SELECT tells nothing of flags", SELECT(7, 4, 3, .modseq = 0), .asked = "F"},
    {"unless the MODSEQ is the same", .known = 10, SELECT(7, 4, 3, .modseq = 10), .asked = ""},
    {"another MODSEQ", .known = 10, SELECT(7, 4, 3, .modseq = 11), .asked = "F"},
    {"another MODSEQ, and all that QRESYNC tells", .known = 10,
     SELECT(7, 4, 3, .modseq = 11, .resynced = true), .asked = ""},
    {"one more UID, and another one less", SELECT(7, 5, 3, .modseq = 0), .asked = "NF"},
    {"none left", SELECT(7, 4, 0, .modseq = 0), .asked = "U"},

    {"another mailbox", SELECT(8, 2, 1, .modseq = 0), .asked = "N", .rows = 1},
    {"another mailbox, an empty one", SELECT(8, 1, 0, .modseq = 0), .asked = ""},
    {"another mailbox under the same UIDVALIDITY", SELECT(7, 3, 2, .modseq = 0), .asked = "N",
     .rows = 2},
};

static void load(struct stub *s, uint64_t modseq)
{
    struct asker q = ASKER;
    stub_open(s, "INBOX");
    stub_ask(s, stub_folder(s, "INBOX"), &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, modseq);
    struct op *meta = stub_take(OP_META);
    for (uint32_t uid = 1; uid <= 3; uid++)
        stub_meta("INBOX", 7, uid, uid, "");
    stub_answer(meta, 0);
    assert_int_equal(asker_wait(&q), 0);
}

/* Answers what is asked until who waits is woken; returns what that was. */
static const char *follow(const struct plan *p, struct asker *q)
{
    static char asked[16];
    size_t n = 0;
    while (!asker_woken(q) && n < sizeof asked - 1) {
        struct op *op = stub_take(OP_KINDS);
        asked[n++] = op->kind == OP_META ? 'N' : op->kind == OP_FLAGS ? 'F' : 'U';
        for (uint32_t uid = 1; op->kind == OP_META && uid <= p->rows; uid++)
            stub_meta("INBOX", p->now.uidvalidity, uid, uid, "");
        if (op->kind == OP_SEARCH)
            stub_answer_search(op, "1:3");
        else
            stub_answer(op, 0);
    }
    asked[n] = '\0';
    return asked;
}

static void test_plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        const struct plan *p = &plans[i];
        struct stub s = {0};
        struct asker q = ASKER;
        load(&s, p->known);
        if (p->hints)
            stub_changed("INBOX", 7, p->hints);
        stub_ask(&s, stub_folder(&s, "INBOX"), &q);
        struct op *look = stub_take(OP_CHECK);
        op_as_check(look)->state = p->now;
        stub_answer(look, 0);
        const char *asked = follow(p, &q);
        if (strcmp(asked, p->asked) != 0)
            fail_msg("%s: asked is %s", p->name, asked);
        stub_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
