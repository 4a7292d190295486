#include "imap/exec/arrival.h"

#include <errno.h>
#include <stdlib.h>

#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/conn/handler.h"
#include "imap/exec/msglimit.h"
#include "imap/exec/op_message.h"
#include "imap/exec/search.h"
#include "imap/wire/fetch.h"
#include "imap/wire/msgid.h"

#define FACTS "RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"

static struct arrival *of(const struct op *op)
{
    return op_class(op)->arrival(op);
}

const char *arrival_mailbox(const struct op *op)
{
    switch (op->kind) {
    case OP_MOVE:
        return op_as_move(op)->dest;
    case OP_COPY:
        return op_as_copy(op)->dest;
    default:
        return op->mailbox;
    }
}

/* ---- before ---- */

static struct traveller *find(const struct arrival *a, uint32_t uid)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->travellers[i].uid == uid)
            return &a->travellers[i];
    return NULL;
}

static struct traveller *find_or_add(struct arrival *a, uint32_t uid)
{
    struct traveller *t = find(a, uid);
    if (t)
        return t;
    a->travellers = mem_realloc(a->travellers, (a->n + 1) * sizeof *a->travellers);
    t = &a->travellers[a->n++];
    *t = (struct traveller){.uid = uid};
    return t;
}

static void note_message(struct traveller *t, uint64_t size, struct str header)
{
    struct buf id = {0};
    t->known = true;
    t->size = size;
    t->id = msgid_find(header, &id) ? buf_steal(&id) : NULL;
    buf_free(&id);
}

uint64_t arrival_known(const struct op *op, const struct uidset *uids)
{
    const struct arrival *a = of(op);
    uint64_t n = 0;
    for (size_t i = 0; i < a->n; i++)
        n += a->travellers[i].known && uidset_has(uids, a->travellers[i].uid);
    return n;
}

static void note_bytes(struct arrival *a, const struct blob *bytes)
{
    struct traveller *t = find_or_add(a, 0);
    if (!t->known)
        note_message(t, bytes->len, (struct str){bytes->data, bytes->len});
}

void arrival_note_messages(struct conn *c, struct op *op, const struct uidset *uids)
{
    if (op->kind == OP_APPEND) {
        note_bytes(of(op), op_as_append(op)->bytes);
        return;
    }
    struct uidset unknown = {0};
    for (size_t i = 0; i < uids->n; i++)
        for (uint64_t uid = uids->r[i].lo; uid <= uids->r[i].hi; uid++)
            if (!find_or_add(of(op), (uint32_t)uid)->known)
                uidset_add(&unknown, (uint32_t)uid, (uint32_t)uid);
    if (unknown.n) {
        struct buf *b = conn_begin(c, op, ARRIVAL_MESSAGE, WANT_MESSAGE);
        buf_adds(b, "UID FETCH ");
        uidset_text(&unknown, b);
        buf_adds(b, " (" FACTS ")");
        conn_end(c);
    }
    uidset_free(&unknown);
}

static void ask_uidnext(struct conn *c, struct op *op, int step)
{
    struct buf *b = conn_begin(c, op, step, WANT_WINDOW);
    buf_adds(b, "STATUS ");
    conn_mailbox(c, b, arrival_mailbox(op));
    buf_adds(b, " (UIDNEXT UIDVALIDITY)");
    conn_end(c);
}

void arrival_note(struct conn *c, struct op *op, const struct uidset *uids)
{
    arrival_note_messages(c, op, uids);
    if (!of(op)->uidnext)
        ask_uidnext(c, op, ARRIVAL_WINDOW);
}

void arrival_ask_uid(struct conn *c, struct op *op)
{
    of(op)->uidnext_now = 0;
    if (of(op)->uidnext)
        ask_uidnext(c, op, ARRIVAL_UID);
}

/* Others came, too, where it is further: it is one of several. */
uint32_t arrival_new_uid(const struct op *op)
{
    const struct arrival *a = of(op);
    return a->uidnext && a->uidnext_now == (uint64_t)a->uidnext + 1 ? a->uidnext : 0;
}

void arrival_message_row(struct op *op, struct fetch_row *row)
{
    struct traveller *t = find(of(op), row->uid);
    if (!(row->has & FETCH_SIZE) || !(row->has & FETCH_HEADER) || !t)
        return;
    if (!t->known)
        note_message(t, row->size, row->header);
    row->has &= ~(unsigned)(FETCH_SIZE | FETCH_HEADER);
}

void arrival_status(struct op *op, const struct arg *items)
{
    uint64_t uidnext = 0, uidvalidity = 0;
    for (const struct arg *i = items; i && i->next; i = i->next->next) {
        if (arg_is(i, "UIDNEXT") && !arg_number(i->next, UINT32_MAX, &uidnext))
            return;
        if (arg_is(i, "UIDVALIDITY") && !arg_number(i->next, UINT32_MAX, &uidvalidity))
            return;
    }
    struct arrival *a = of(op);
    /* The first word counts: what came after it may be what is looked for. */
    if (uidnext && uidvalidity && !a->uidnext) {
        a->uidnext = (uint32_t)uidnext;
        a->uidvalidity = (uint32_t)uidvalidity;
    } else if (uidvalidity == a->uidvalidity) {
        a->uidnext_now = (uint32_t)uidnext;
    }
}

/* ---- after ---- */

static enum arrival_verdict unclear(struct op *op, int err)
{
    log_warn("%s: the connection was lost while a message was put there, and nobody can tell "
             "whether it arrived",
             arrival_mailbox(op));
    of(op)->fail = err;
    return ARRIVAL_JUDGED;
}

/* Asked about are those of `uids`; of the others nothing is to be said. */
static bool begin_look(struct arrival *a, const struct uidset *uids)
{
    bool named = true;
    for (size_t i = 0; uids && i < uids->n; i++)
        for (uint64_t uid = uids->r[i].lo; uid <= uids->r[i].hi; uid++)
            find_or_add(a, (uint32_t)uid);
    a->fail = 0;
    a->uidnext_now = a->uidvalidity_now = 0;
    a->rows = 0;
    a->doubt = false;
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++) {
        struct traveller *t = &a->travellers[i];
        if (uids && !uidset_has(uids, t->uid)) {
            free(t->id);
            continue;
        }
        t->doubt = false;
        t->there = 0;
        t->fate = FATE_UNCLEAR;
        named &= t->id != NULL;
        a->travellers[n++] = *t;
    }
    a->n = n;
    return named && n;
}

/* HEADER MESSAGE-ID of any of them. */
static void search_ids(const struct arrival *a, struct buf *b)
{
    for (size_t i = 0; i < a->n; i++) {
        buf_adds(b, i + 1 < a->n ? " OR HEADER MESSAGE-ID " : " HEADER MESSAGE-ID ");
        conn_quote(b, a->travellers[i].id);
    }
}

enum arrival_verdict arrival_look(struct conn *c, struct op *op, const struct uidset *uids)
{
    struct arrival *a = of(op);
    if (!begin_look(a, uids) && !a->uidnext)
        return unclear(op, -EIO);
    conn_forget_box(c);
    struct buf *b = conn_begin(c, op, ARRIVAL_EXAMINE, WANT_SELECTED);
    buf_adds(b, "EXAMINE ");
    conn_mailbox(c, b, arrival_mailbox(op));
    conn_end(c);
    if (a->uidnext) {
        buf_addf(conn_begin(c, op, ARRIVAL_ROWS, WANT_ROWS), "UID FETCH %u:* (UID " FACTS ")",
                 a->uidnext);
    } else {
        search_begin(op_class(op)->search(op));
        b = conn_begin(c, op, ARRIVAL_SEARCH, WANT_SEARCH);
        buf_adds(b, "UID SEARCH");
        search_ids(a, b);
    }
    conn_end(c);
    return ARRIVAL_OPEN;
}

void arrival_row(struct op *op, const struct fetch_row *row)
{
    struct arrival *a = of(op);
    struct buf id = {0};
    /* n:* names the last message also where its UID is below n (RFC 3501 section 9). */
    if (row->uid < a->uidnext || !(row->has & (FETCH_SIZE | FETCH_HEADER)))
        return;
    a->rows++;
    bool whole = row->has & FETCH_SIZE && row->has & FETCH_HEADER;
    bool named = whole && msgid_find(row->header, &id);
    a->doubt |= !whole;
    struct traveller *one = NULL;
    for (size_t i = 0; i < a->n; i++) {
        struct traveller *t = &a->travellers[i];
        if (!t->id)
            t->doubt = true;
        if (!t->id || !named || strcmp(buf_str(&id), t->id) != 0)
            continue;
        t->doubt |= row->size != t->size || (t->there && t->there != row->uid);
        t->there = row->uid;
        if (one) /* two of the same name cannot be told apart */
            one->doubt = t->doubt = true;
        one = t;
    }
    buf_free(&id);
}

/* Among what is new since: one and only one, or surely none. */
static void judge_rows(struct arrival *a, const struct response *r)
{
    if (a->uidvalidity_now != a->uidvalidity || a->doubt || msglimit_partial(r))
        return;
    /* Something came, and nothing of it is told: it may be gone again, or the server keeps it back.
     */
    bool kept_back = !a->rows && a->uidnext_now && a->uidnext_now != a->uidnext;
    for (size_t i = 0; i < a->n; i++) {
        struct traveller *t = &a->travellers[i];
        if (!t->doubt)
            t->fate = t->there ? FATE_THERE : kept_back ? FATE_UNCLEAR : FATE_NOT;
    }
}

/* Anywhere in the mailbox: what is found may have been there before. */
static void judge_search(struct arrival *a, const struct search *s, const struct response *r)
{
    if (search_error(s, r) || s->found.n)
        return;
    for (size_t i = 0; i < a->n; i++)
        a->travellers[i].fate = FATE_NOT;
}

static bool any(const struct arrival *a, int fate)
{
    for (size_t i = 0; i < a->n; i++)
        if ((int)a->travellers[i].fate == fate)
            return true;
    return false;
}

/* Where one is unclear, none is sent once more. */
static enum arrival_verdict none_again(struct op *op, int err)
{
    struct arrival *a = of(op);
    for (size_t i = 0; i < a->n; i++)
        if (a->travellers[i].fate == FATE_NOT)
            a->travellers[i].fate = FATE_UNCLEAR;
    return unclear(op, err);
}

static enum arrival_verdict judge(struct conn *c, struct op *op)
{
    struct arrival *a = of(op);
    bool not_there = any(a, FATE_NOT);
    if (not_there && !a->repeated && exec_too_early(c, op))
        return ARRIVAL_LATER;
    /* A server that was silent for so long may be at it still. */
    if (not_there && op->timed_out)
        return none_again(op, -ETIMEDOUT);
    if (any(a, FATE_UNCLEAR) || (not_there && a->repeated))
        return none_again(op, -EIO);
    a->repeated |= not_there;
    return ARRIVAL_JUDGED;
}

enum arrival_verdict arrival_answered(struct conn *c, struct op *op, int step,
                                      const struct response *r)
{
    struct arrival *a = of(op);
    int err = outcome_errno(r);
    if (step < ARRIVAL_EXAMINE)
        return ARRIVAL_OPEN;
    if (step == ARRIVAL_EXAMINE) {
        a->fail = err;
        return ARRIVAL_OPEN; /* the next one is on its way */
    }
    if (a->fail || err)
        return unclear(op, a->fail ? a->fail : err);
    if (step == ARRIVAL_ROWS)
        judge_rows(a, r);
    else
        judge_search(a, op_class(op)->search(op), r);
    return judge(c, op);
}

static void with_fate(const struct arrival *a, int fate, struct uidset *uids)
{
    for (size_t i = 0; i < a->n; i++)
        if ((int)a->travellers[i].fate == fate)
            uidset_add(uids, a->travellers[i].uid, a->travellers[i].uid);
}

void arrival_there(const struct op *op, struct uidset *uids)
{
    with_fate(of(op), FATE_THERE, uids);
}

void arrival_not(const struct op *op, struct uidset *uids)
{
    with_fate(of(op), FATE_NOT, uids);
}

const struct traveller *arrival_of(const struct op *op, uint32_t uid)
{
    return find(of(op), uid);
}

void arrival_free(struct arrival *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->travellers[i].id);
    free(a->travellers);
    *a = (struct arrival){0};
}
