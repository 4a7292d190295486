#include "imap/exec/arrival.h"

#include <errno.h>
#include <stdlib.h>

#include "imap/base/log.h"
#include "imap/exec/msglimit.h"
#include "imap/wire/fetch.h"
#include "imap/wire/msgid.h"

#define FACTS "RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"

/* ---- before ---- */

const char *arrival_mailbox(const struct op *op)
{
    return op->kind == OP_APPEND ? op->mailbox : op->dest;
}

static void note_message(struct arrival *a, uint64_t size, struct str header)
{
    struct buf id = {0};
    a->known = true;
    a->size = size;
    free(a->id);
    a->id = msgid_find(header, &id) ? buf_steal(&id) : NULL;
    buf_free(&id);
}

void arrival_note_message(struct conn *c, struct op *op)
{
    struct arrival *a = &op->arrival;
    if (!a->known && op->kind == OP_APPEND) {
        note_message(a, op->bytes->len, (struct str){op->bytes->data, op->bytes->len});
    } else if (!a->known) {
        buf_addf(conn_begin(c, op, ARRIVAL_MESSAGE, WANT_MESSAGE), "UID FETCH %u (" FACTS ")",
                 op->uid);
        conn_end(c);
    }
}

static void ask_uidnext(struct conn *c, struct op *op, int step)
{
    struct buf *b = conn_begin(c, op, step, WANT_WINDOW);
    buf_adds(b, "STATUS ");
    conn_mailbox(c, b, arrival_mailbox(op));
    buf_adds(b, " (UIDNEXT UIDVALIDITY)");
    conn_end(c);
}

void arrival_note(struct conn *c, struct op *op)
{
    arrival_note_message(c, op);
    if (!op->arrival.uidnext)
        ask_uidnext(c, op, ARRIVAL_WINDOW);
}

void arrival_ask_uid(struct conn *c, struct op *op)
{
    op->arrival.uidnext_now = 0;
    if (op->arrival.uidnext && !op->new_uid)
        ask_uidnext(c, op, ARRIVAL_UID);
}

void arrival_message_row(struct op *op, struct fetch_row *row)
{
    struct arrival *a = &op->arrival;
    if (!(row->has & FETCH_SIZE) || !(row->has & FETCH_HEADER) || row->uid != op->uid)
        return;
    if (!a->known)
        note_message(a, row->size, row->header);
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
    struct arrival *a = &op->arrival;
    /* The first word counts: what came after it may be what is looked for. */
    if (uidnext && uidvalidity && !a->uidnext) {
        a->uidnext = (uint32_t)uidnext;
        a->uidvalidity = (uint32_t)uidvalidity;
    } else if (uidvalidity == a->uidvalidity) {
        a->uidnext_now = (uint32_t)uidnext;
    }
}

static void learn_uid(struct op *op)
{
    const struct arrival *a = &op->arrival;
    if (op->new_uid || a->uidnext_now != (uint64_t)a->uidnext + 1)
        return; /* others came, too: it is one of several */
    op->new_uid = a->uidnext;
    op->new_uidvalidity = a->uidvalidity;
}

/* ---- after ---- */

static enum arrival_verdict unclear(struct op *op, int err)
{
    log_warn("%s: the connection was lost while a message was put there, and nobody can tell "
             "whether it arrived",
             arrival_mailbox(op));
    op->new_uid = op->new_uidvalidity = 0;
    op->fail = err;
    return ARRIVAL_UNCLEAR;
}

enum arrival_verdict arrival_look(struct conn *c, struct op *op)
{
    struct arrival *a = &op->arrival;
    op->fail = 0;
    op->new_uid = op->new_uidvalidity = 0;
    a->uidnext_now = a->uid = a->rows = 0;
    a->doubt = false;
    if (!a->id && !a->uidnext)
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
        exec_search_begin(op);
        b = conn_begin(c, op, ARRIVAL_SEARCH, WANT_SEARCH);
        buf_adds(b, "UID SEARCH HEADER MESSAGE-ID ");
        conn_quote(b, a->id);
    }
    conn_end(c);
    return ARRIVAL_OPEN;
}

void arrival_row(struct op *op, const struct fetch_row *row)
{
    struct arrival *a = &op->arrival;
    struct buf id = {0};
    /* n:* names the last message also where its UID is below n (RFC 3501 section 9). */
    if (row->uid < a->uidnext || !(row->has & (FETCH_SIZE | FETCH_HEADER)))
        return;
    a->rows++;
    bool whole = row->has & FETCH_SIZE && row->has & FETCH_HEADER;
    bool named = whole && msgid_find(row->header, &id);
    if (!whole || !a->id) {
        a->doubt = true;
    } else if (named && strcmp(buf_str(&id), a->id) == 0) {
        a->doubt |= row->size != a->size || (a->uid && a->uid != row->uid);
        a->uid = row->uid;
    }
    buf_free(&id);
}

/* Among what is new since: one and only one, or surely none. */
static enum arrival_verdict judge_rows(const struct op *op, const struct response *r)
{
    const struct arrival *a = &op->arrival;
    if (op->new_uidvalidity != a->uidvalidity || a->doubt || msglimit_partial(r))
        return ARRIVAL_UNCLEAR;
    if (a->uid)
        return ARRIVAL_THERE;
    /* Something came, and nothing of it is told: it may be gone again, or the server keeps it back.
     */
    if (!a->rows && a->uidnext_now && a->uidnext_now != a->uidnext)
        return ARRIVAL_UNCLEAR;
    return ARRIVAL_NOT;
}

/* Anywhere in the mailbox: what is found may have been there before. */
static enum arrival_verdict judge_search(const struct op *op, const struct response *r)
{
    return exec_search_error(op, r) || op->found.n ? ARRIVAL_UNCLEAR : ARRIVAL_NOT;
}

enum arrival_verdict arrival_answered(struct conn *c, struct op *op, int step,
                                      const struct response *r)
{
    int err = outcome_errno(r);
    if (step == ARRIVAL_UID) {
        learn_uid(op);
        return ARRIVAL_OPEN;
    }
    if (step < ARRIVAL_EXAMINE) {
        op->new_uid = 0; /* a COPYUID or APPENDUID in such an answer is none */
        return ARRIVAL_OPEN;
    }
    if (step == ARRIVAL_EXAMINE) {
        op->fail = err;
        return ARRIVAL_OPEN; /* the next one is on its way */
    }
    if (op->fail || err)
        return unclear(op, op->fail ? op->fail : err);
    enum arrival_verdict v = step == ARRIVAL_ROWS ? judge_rows(op, r) : judge_search(op, r);
    if (v == ARRIVAL_NOT && !op->arrival.repeated && exec_too_early(c, op)) {
        op->new_uidvalidity = 0;
        return ARRIVAL_LATER;
    }
    /* A server that was silent for so long may be at it still. */
    if (v == ARRIVAL_NOT && op->timed_out)
        return unclear(op, -ETIMEDOUT);
    if (v == ARRIVAL_UNCLEAR || (v == ARRIVAL_NOT && op->arrival.repeated))
        return unclear(op, -EIO);
    op->new_uid = op->arrival.uid;
    if (v == ARRIVAL_NOT) {
        op->arrival.repeated = true;
        op->new_uidvalidity = 0;
    }
    return v;
}
