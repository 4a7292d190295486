/* Keeping what is known of a folder true to the server, over a pool that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stub_pool.h"

/* A message that is described without its header is listed by its UID once nothing more is to come,
 * also where a listing from before that is kept. */
static void no_header(bool listed_meanwhile)
{
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 3);
    account_unchanged(s.account, inbox);
    assert_true(account_unchanged(s.account, inbox));
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 5, 4, 0);
    struct op *op = stub_take(OP_META);
    stub_row("INBOX", 7, 4, "UID 4 FLAGS () RFC822.SIZE 5");
    assert_false(account_unchanged(s.account, inbox));
    if (listed_meanwhile)
        assert_string_equal(stub_shown(&s, inbox, &shown), "1 2 3 ");
    stub_answer(op, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 2 3 4? ");
    assert_int_equal(account_unchanged(s.account, inbox), !listed_meanwhile);
    buf_free(&shown);
    stub_close(&s);
}

static void test_no_header(void **state)
{
    (void)state;
    no_header(false);
    no_header(true);
}

static void test_load(void **state)
{
    (void)state;
    struct stub s = {0};
    struct buf shown = {0};
    stub_open_inbox(&s, "INBOX Archive", 3);
    assert_string_equal(stub_shown(&s, stub_folder(&s, "INBOX"), &shown), "1 2 3 ");
    assert_string_equal(stub_told(&s), ""); /* a first listing is no news */
    assert_true(stub_quiet());

    stub_meta("INBOX", 7, 4, 4, "\\Seen");
    assert_string_equal(stub_told(&s), "new INBOX/4; ");
    stub_vanished("INBOX", 7, "2");
    assert_string_equal(stub_told(&s), "expunged INBOX/2; ");
    assert_string_equal(stub_shown(&s, stub_folder(&s, "INBOX"), &shown), "1 3 4 ");
    buf_free(&shown);
    stub_close(&s);
}

/* Another connection finds out that the folder is another one: what a STORE was about is void. */
static void refuse_store(struct stub *s, const struct msg_info *m)
{
    struct asker q = ASKER;
    const struct flag_change seen = {.how = FLAGS_ADD, .bits = FLAG_SEEN};
    int err = account_store(s->account, m->gen, m->uid, &seen, &q.w);
    assert_int_equal(err, -EINPROGRESS);
    struct op *op = stub_take(OP_STORE);
    assert_true(op_as_store(op)->change.how == FLAGS_ADD);
    assert_int_equal(op_as_store(op)->change.bits, FLAG_SEEN);
    stub_answer(op, -ESTALE);
    assert_int_equal(asker_wait(&q), -ESTALE);
}

static bool is_loaded(struct stub *s, const char *name)
{
    struct folder_info info;
    assert_int_equal(account_folder(s->account, stub_folder(s, name), &info), 0);
    return info.loaded;
}

/* While a sync is under way, whatever it has come to, the folder turns out to be another one: what
 * the sync brings is of no use, and who waits for it waits for what there is now. */
static void remade_at(enum op_kind step)
{
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    struct msg_info m;
    uint32_t inbox = stub_open_inbox(&s, "INBOX", 3);
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_KNOWN, 0, &m, NULL), 0);
    stub_ask(&s, inbox, &q);
    struct op *op = stub_take(OP_CHECK);
    if (step != OP_CHECK) {
        stub_changed("INBOX", 7, CHANGE_EXISTS | CHANGE_FLAGS | CHANGE_EXPUNGE);
        stub_answer_look(op, 7, 4, 3, 0);
        op = stub_take(OP_META);
    }
    if (step == OP_FLAGS || step == OP_SEARCH) {
        stub_answer(op, 0);
        op = stub_take(OP_FLAGS);
    }
    if (step == OP_SEARCH) {
        stub_answer(op, 0);
        op = stub_take(OP_SEARCH);
    }
    assert_int_equal(op->kind, step);
    refuse_store(&s, &m);
    struct op *look = stub_take(OP_CHECK); /* at once, since someone waits */
    assert_false(asker_woken(&q));
    if (step == OP_CHECK)
        stub_answer_look(op, 7, 4, 3, 0);
    else if (step == OP_SEARCH)
        stub_answer_search(op, "1:3");
    else
        stub_answer(op, 0);
    assert_false(is_loaded(&s, "INBOX"));
    assert_false(asker_woken(&q));
    assert_true(stub_quiet());

    stub_answer_look(look, 8, 3, 2, 0);
    op = stub_take(OP_META);
    stub_meta("INBOX", 8, 1, 1, "");
    stub_meta("INBOX", 8, 2, 2, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_true(is_loaded(&s, "INBOX"));
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 2 ");
    assert_int_equal(account_msg(s.account, m.gen, m.uid, &m), -ESTALE);
    buf_free(&shown);
    stub_close(&s);
}

static void test_remade_under_sync(void **state)
{
    (void)state;
    remade_at(OP_CHECK);
    remade_at(OP_META);
    remade_at(OP_FLAGS);
    remade_at(OP_SEARCH);
}

/* Likewise while it is loaded, and while one message of it is asked for. */
static void test_remade_under_load(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    struct msg_info m;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 7, 1, 1, "");
    stub_meta("INBOX", 7, 2, 2, "");
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_KNOWN, 0, &m, NULL), 0);
    refuse_store(&s, &m);
    stub_meta("INBOX", 7, 3, 3, "");
    stub_answer(op, 0);
    assert_false(is_loaded(&s, "INBOX"));
    assert_false(asker_woken(&q));
    assert_string_equal(stub_shown(&s, inbox, &shown), "");
    stub_answer_look(stub_take(OP_CHECK), 8, 2, 0, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "");
    assert_true(is_loaded(&s, "INBOX"));
    buf_free(&shown);
    stub_close(&s);
}

static void test_remade_under_probe(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER, second = ASKER;
    struct msg_info m;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_SERVER, INT64_MAX, &m, &q.w),
                     -EINPROGRESS);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 7, 2, 2, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_KNOWN, 0, &m, NULL), 0);

    assert_int_equal(account_find(s.account, inbox, 3, TRUST_SERVER, INT64_MAX, &m, &second.w),
                     -EINPROGRESS);
    op = stub_take(OP_META);
    assert_int_equal(account_find(s.account, inbox, 2, TRUST_KNOWN, 0, &m, NULL), 0);
    refuse_store(&s, &m);
    struct op *look = stub_take(OP_CHECK);
    stub_answer(op, 0);
    assert_false(asker_woken(&second));
    stub_answer_look(look, 8, 4, 3, 0);
    op = stub_take(OP_META);
    assert_string_equal(stub_uids(op), "3");
    assert_int_equal(op->uidvalidity, 8);
    stub_meta("INBOX", 8, 3, 3, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&second), 0);
    assert_int_equal(account_find(s.account, inbox, 3, TRUST_KNOWN, 0, &m, NULL), 0);
    stub_close(&s);
}

/* A step of the sync itself hears that the folder is another one. */
static void test_stale_step(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 4, 3, 0);
    stub_answer(stub_take(OP_META), -ESTALE);
    stub_answer_look(stub_take(OP_CHECK), 8, 2, 1, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 8, 1, 1, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 ");

    /* Not for ever. */
    stub_ask(&s, inbox, &q);
    for (unsigned i = 0; !asker_woken(&q); i++) {
        assert_true(i < 10);
        stub_answer_look(stub_take(OP_CHECK), 9 + i, 4, 3, 0);
        stub_answer(stub_take(OP_META), -ESTALE);
    }
    assert_int_equal(asker_wait(&q), -ESTALE);
    assert_false(is_loaded(&s, "INBOX"));
    buf_free(&shown);
    stub_close(&s);
}

/* The next messages of a listing that has come to `*place`. */
static const char *list_on(struct stub *s, uint32_t folder, uint64_t *place, struct buf *out)
{
    struct msg_info page[4];
    size_t n;
    buf_reset(out);
    while (account_list(s->account, folder, *place, page, 4, &n, NULL) == 0 && n)
        for (size_t i = 0; i < n; i++) {
            buf_addf(out, "%u ", page[i].uid);
            *place = page[i].place;
        }
    return buf_str(out);
}

/* UIDs that do not ascend: a listing that follows the load has each message once, as has one that
 * begins later, whatever happens meanwhile. */
static void test_late(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf out = {0};
    uint64_t first = 0, second = 0, third = 0;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 100, 6, 0);
    struct op *op = stub_take(OP_META);
    assert_string_equal(list_on(&s, inbox, &first, &out), "");
    stub_meta("INBOX", 7, 1, 51, "");
    stub_meta("INBOX", 7, 2, 52, "");
    assert_string_equal(list_on(&s, inbox, &first, &out), "51 52 ");
    stub_meta("INBOX", 7, 3, 2, "");
    stub_meta("INBOX", 7, 4, 1, "");
    assert_string_equal(list_on(&s, inbox, &first, &out), "");
    assert_string_equal(list_on(&s, inbox, &second, &out), "51 52 ");
    stub_meta("INBOX", 7, 5, 53, "");
    stub_meta("INBOX", 7, 6, 3, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(list_on(&s, inbox, &first, &out), "53 1 2 3 ");

    /* Something new comes, of which only the UID is known so far. */
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 101, 7, 0);
    op = stub_take(OP_META);
    stub_row("INBOX", 7, 7, "UID 100 RFC822.SIZE 10");
    assert_string_equal(list_on(&s, inbox, &second, &out), "53 1 2 3 ");
    stub_meta("INBOX", 7, 7, 100, "");
    stub_answer(op, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(list_on(&s, inbox, &third, &out), "51 52 53 100 1 2 3 ");
    buf_free(&out);
    stub_close(&s);
}

/* The load breaks off and is begun anew behind where it was: what had not come is found by
 * counting, and comes behind its time. */
static void test_late_after_break(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf out = {0};
    uint64_t place = 0;
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 100, 4, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 7, 1, 51, "");
    stub_meta("INBOX", 7, 2, 52, "");
    assert_string_equal(list_on(&s, inbox, &place, &out), "51 52 ");
    stub_answer(op, -ENOTCONN);
    assert_int_equal(asker_wait(&q), -ENOTCONN);

    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 100, 4, 0);
    op = stub_take(OP_META);
    assert_string_equal(stub_uids(op), "53:*");
    stub_meta("INBOX", 7, 4, 53, "");
    stub_answer(op, 0);
    stub_answer_search(stub_take(OP_SEARCH), "1,51:53");
    op = stub_take(OP_META);
    assert_string_equal(stub_uids(op), "1");
    stub_meta("INBOX", 7, 3, 1, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(list_on(&s, inbox, &place, &out), "53 1 ");
    buf_free(&out);
    stub_close(&s);
}

/* A server that takes back at once that messages are gone. */
static void test_taken_back(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    stub_ask(&s, stub_open_inbox(&s, "INBOX", 3), &q);
    struct op *op = stub_take(OP_CHECK);
    stub_vanished("INBOX", 7, "1:3");
    stub_answer_look(op, 7, 4, 3, 0);
    stub_answer(stub_take(OP_META), 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    stub_answer_search(stub_take(OP_SEARCH), "1:3");
    op = stub_take(OP_META);
    assert_string_equal(stub_uids(op), "1:3");
    for (uint32_t uid = 1; uid < 4; uid++)
        stub_meta("INBOX", 7, uid, uid, "");
    stub_answer(op, 0);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, stub_folder(&s, "INBOX"), &shown), "1 2 3 ");

    /* Not so of what goes while it is asked which are left. */
    stub_ask(&s, stub_folder(&s, "INBOX"), &q);
    op = stub_take(OP_CHECK);
    stub_changed("INBOX", 7, CHANGE_EXPUNGE);
    stub_answer_look(op, 7, 4, 3, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    op = stub_take(OP_SEARCH);
    stub_vanished("INBOX", 7, "2");
    stub_answer_search(op, "1:3");
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, stub_folder(&s, "INBOX"), &shown), "1 3 ");
    buf_free(&shown);
    stub_close(&s);
}

/* ---- refusals ---- */

/* A server of UIDs 1..n that describes none of a set with one of `doubt` in it, or, as in `rows`,
 * those before that one. */
struct refuser {
    uint32_t n;
    const char *doubt;
    bool rows;
    unsigned commands; /* of metadata */
};

static bool refuser_rows(const struct refuser *r, const struct op *op)
{
    struct uidset asked = {0}, doubt = {0};
    char *star = strstr(stub_uids(op), ":*");
    bool refused = false;
    assert_int_equal(uidset_parse(&doubt, r->doubt, strlen(r->doubt)), 0);
    if (star)
        uidset_add(&asked, (uint32_t)strtoul(stub_uids(op), NULL, 10), r->n);
    else
        assert_int_equal(uidset_parse(&asked, stub_uids(op), strlen(stub_uids(op))), 0);
    for (size_t i = 0; i < doubt.n; i++)
        for (uint32_t uid = doubt.r[i].lo; uid <= doubt.r[i].hi; uid++)
            refused |= uidset_has(&asked, uid);
    for (size_t i = 0; i < asked.n && (!refused || r->rows); i++)
        for (uint32_t uid = asked.r[i].lo; uid <= asked.r[i].hi; uid++) {
            if (uidset_has(&doubt, uid))
                i = asked.n - 1; /* it breaks off */
            if (uidset_has(&doubt, uid))
                break;
            stub_meta("INBOX", 7, uid, uid, "");
        }
    uidset_free(&asked);
    uidset_free(&doubt);
    return refused;
}

/* Lists INBOX; how many commands of metadata that took. */
static unsigned load_from(struct stub *s, struct refuser *r)
{
    struct asker q = ASKER;
    char all[32];
    snprintf(all, sizeof all, "1:%u", r->n);
    r->commands = 0;
    stub_ask(s, stub_folder(s, "INBOX"), &q);
    while (!asker_woken(&q)) {
        struct op *op = stub_take(OP_KINDS);
        switch (op->kind) {
        case OP_CHECK:
            stub_answer_look(op, 7, r->n + 1, r->n, 0);
            break;
        case OP_META:
            r->commands++;
            assert_true(strlen(stub_uids(op)) <= 1000);
            stub_answer(op, refuser_rows(r, op) ? -EIO : 0);
            break;
        case OP_SEARCH:
            stub_answer_search(op, all);
            break;
        default:
            assert_int_equal(op->kind, OP_FLAGS);
            stub_answer(op, 0);
        }
    }
    assert_int_equal(asker_wait(&q), 0);
    return r->commands;
}

/* How many are shown, and how many of them by their UIDs alone. */
static void count_shown(struct stub *s, size_t *shown, size_t *nameless)
{
    struct msg_info page[64];
    uint64_t after = 0;
    size_t n;
    *shown = *nameless = 0;
    while (account_list(s->account, stub_folder(s, "INBOX"), after, page, 64, &n, NULL) == 0 && n)
        for (size_t i = 0; i < n; i++, ++*shown) {
            *nameless += !page[i].named;
            assert_true(page[i].size);
            after = page[i].place;
        }
}

static void test_doubt(void **state)
{
    (void)state;
    static const struct {
        uint32_t n;
        const char *doubt;
        bool rows;
        size_t nameless;
        unsigned most; /* commands */
    } cases[] = {
        {1000, "777", true, 1, 30},
        {1000, "777", false, 1, 30},
        {1000, "1", false, 1, 30},
        {1000, "1000", true, 1, 30},
        {1000, "1,500,501,1000", false, 4, 100},
        {1000, "1,500,501,1000", true, 4, 100},
        {5, "1:5", false, 5, 20},
        {1000, "1:1000", false, 1000, 34}, /* in vain: they are not asked for one by one */
        {250000, "123456", false, 1, 50},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stub s = {0};
        struct refuser r = {.n = cases[i].n, .doubt = cases[i].doubt, .rows = cases[i].rows};
        size_t shown, nameless;
        stub_open(&s, "INBOX");
        assert_in_range(load_from(&s, &r), 1, cases[i].most);
        assert_true(is_loaded(&s, "INBOX"));
        count_shown(&s, &shown, &nameless);
        assert_int_equal(shown, cases[i].n);
        assert_int_equal(nameless, cases[i].nameless);
        /* They are not asked for each time. */
        assert_int_equal(load_from(&s, &r), 0);
        stub_close(&s);
    }
}

/* Two that are listed by their UIDs; the flags are asked for all the same. */
static void test_doubted_flags(void **state)
{
    (void)state;
    struct stub s = {0};
    struct asker q = ASKER;
    struct buf shown = {0};
    stub_open(&s, "INBOX");
    uint32_t inbox = stub_folder(&s, "INBOX");
    stub_ask(&s, inbox, &q);
    stub_answer_look(stub_take(OP_CHECK), 7, 10, 3, 0);
    struct op *op = stub_take(OP_META);
    stub_meta("INBOX", 7, 1, 1, "");
    stub_answer(op, 0);
    stub_answer_search(stub_take(OP_SEARCH), "1,5,9");
    stub_answer(stub_take(OP_META), 0);
    op = stub_take(OP_FLAGS);
    assert_string_equal(stub_uids(op), "5,9");
    assert_true(op_as_flags(op)->modseq == 0);
    stub_row("INBOX", 7, 2, "UID 5 FLAGS (\\Deleted)");
    stub_row("INBOX", 7, 3, "UID 9 FLAGS (\\Seen)");
    stub_answer(op, -EIO);
    assert_int_equal(asker_wait(&q), 0);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 9? ");

    /* It is no message whose name is still on its way, whatever is under way. */
    struct msg_info m;
    stub_meta("INBOX", 7, 4, 10, "");
    stub_ask(&s, inbox, &q);
    op = stub_take(OP_CHECK);
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 9? 10 ");
    assert_int_equal(account_find(s.account, inbox, 9, TRUST_KNOWN, 0, &m, NULL), 0);
    stub_answer_look(op, 7, 11, 4, 0);
    op = stub_take(OP_META);
    assert_string_equal(stub_uids(op), "10:*");
    assert_string_equal(stub_shown(&s, inbox, &shown), "1 9? 10 ");
    stub_answer(op, 0);
    stub_answer(stub_take(OP_FLAGS), 0);
    assert_int_equal(asker_wait(&q), 0);
    buf_free(&shown);
    stub_close(&s);
}

/* Which UIDs there are is told by a FETCH where SEARCH is refused, but nothing is taken for gone
 * that it may have left out. */
static void test_search_refused(void **state)
{
    (void)state;
    static const struct {
        int search, rows; /* errors */
        const char *told;
        uint32_t exists;
        const char *shown;
    } cases[] = {
        {-EIO, 0, "1,3", 2, "1 3 "},
        {-EINVAL, 0, "1,3", 2, "1 3 "},
        {-EIO, 0, "1,3", 3, "1 2 3 "},
        {-EIO, -EIO, "1,3", 2, "1 2 3 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stub s = {0};
        struct asker q = ASKER;
        struct buf shown = {0};
        struct uidset told = {0};
        char flags[40];
        stub_ask(&s, stub_open_inbox(&s, "INBOX", 3), &q);
        struct op *op = stub_take(OP_CHECK);
        stub_changed("INBOX", 7, CHANGE_EXPUNGE);
        op_as_check(op)->state =
            (struct mailbox_state){.uidvalidity = 7, .exists = cases[i].exists};
        stub_answer(op, 0);
        stub_answer(stub_take(OP_SEARCH), cases[i].search);
        op = stub_take(OP_FLAGS);
        assert_string_equal(stub_uids(op), "1:*");
        assert_int_equal(uidset_parse(&told, cases[i].told, strlen(cases[i].told)), 0);
        for (uint32_t uid = 1; uid < 4; uid++) {
            snprintf(flags, sizeof flags, "UID %u FLAGS ()", uid);
            if (uidset_has(&told, uid))
                stub_row("INBOX", 7, uid, flags);
        }
        stub_answer(op, cases[i].rows);
        assert_int_equal(asker_wait(&q), 0);
        assert_string_equal(stub_shown(&s, stub_folder(&s, "INBOX"), &shown), cases[i].shown);
        uidset_free(&told);
        buf_free(&shown);
        stub_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_remade_under_sync),
        cmocka_unit_test(test_remade_under_load),
        cmocka_unit_test(test_remade_under_probe),
        cmocka_unit_test(test_stale_step),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_late_after_break),
        cmocka_unit_test(test_no_header),
        cmocka_unit_test(test_taken_back),
        cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_doubted_flags),
        cmocka_unit_test(test_search_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
